"""Gates by name: from what a playbook or a task writes to the gates that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateSpec, GateStatus


def resolve_gates(uses: Sequence[str | GateSpec], named: Mapping[str, GateSpec]) -> tuple[GateSpec, ...]:
    """The gates of a step in order. A name that hqd.toml lacks becomes a gate that cannot judge, never silence."""
    return tuple(_resolve(use, named) for use in uses)


def _resolve(use: str | GateSpec, named: Mapping[str, GateSpec]) -> GateSpec:
    if isinstance(use, GateSpec):
        return use
    found = named.get(use)
    return found if found is not None else GateSpec(name=use, kind=use)


BREACHES = frozenset({"protected_paths", "secrets"})
"""Kinds whose failing is a breach: a human's at once, whatever the ladder says (design section 11)."""


def outcome_of(results: Sequence[GateResult]) -> tuple[Outcome, Failure | None, str]:
    """What an attempt comes to by its gates' verdicts alone: outcome, class of failure, one line of why."""
    stopping = [result for result in results if result.stops]
    if not stopping:
        return Outcome.PASSED, None, ""
    failed = [result for result in stopping if result.status is GateStatus.FAIL]
    breach = next((result for result in failed if result.kind in BREACHES), None)
    if breach is not None:
        return Outcome.FAILED, Failure.POLICY, f"{breach.name}: {breach.message}"
    if failed:
        return Outcome.FAILED, Failure.GATE, failed[0].message
    return Outcome.FAILED, Failure.GATE_ERROR, f"{stopping[0].name}: {stopping[0].message}"
