"""Gates by name: from what a playbook or a task writes to the gates that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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


_MEMBERS = ("gates", "if", "then")
"""Keys under which gates made of gates hold them: tables, or names of gates in hqd.toml."""
_DEEPEST = 10  # more gates inside each other than any registry takes


def members_of(gate: GateSpec) -> tuple[Any, ...]:
    """The gates inside a gate, as written: names and tables."""
    held = (gate.params.get(key) for key in _MEMBERS)
    return tuple(each for value in held for each in (value if isinstance(value, list | tuple) else (value,)) if each)


def spelled_out(gate: GateSpec, named: Mapping[str, GateSpec], deep: int = 0) -> GateSpec:
    """A gate made of gates with what hqd.toml says of its members in the place of their names."""
    written = {key: gate.params[key] for key in _MEMBERS if key in gate.params}
    if not written or deep >= _DEEPEST:
        return gate
    told = {
        key: [_member(each, named, deep) for each in value] if isinstance(value, list | tuple) else
        _member(value, named, deep)
        for key, value in written.items()
    }  # fmt: skip
    return gate.model_copy(update={"params": {**gate.params, **told}})


def _member(written: Any, named: Mapping[str, GateSpec], deep: int) -> Any:
    if isinstance(written, Mapping) and isinstance(written.get("kind"), str):
        inner = {key: written[key] for key in _MEMBERS if key in written}
        return {**written, **spelled_out(GateSpec(name="", kind="", params=inner), named, deep + 1).params}
    found = named.get(written) if isinstance(written, str) else None
    if found is None:
        return written
    common = found.model_dump(by_alias=True, exclude_defaults=True, exclude={"level", "params"})
    return {**spelled_out(found, named, deep + 1).params, **common}


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
