"""Gates by name: from what a playbook or a task writes to the gates that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hqd.model.gate import GateSpec


def resolve_gates(uses: Sequence[str | GateSpec], named: Mapping[str, GateSpec]) -> tuple[GateSpec, ...]:
    """The gates of a step in order. A name that hqd.toml lacks becomes a gate that cannot judge, never silence."""
    return tuple(_resolve(use, named) for use in uses)


def _resolve(use: str | GateSpec, named: Mapping[str, GateSpec]) -> GateSpec:
    if isinstance(use, GateSpec):
        return use
    found = named.get(use)
    return found if found is not None else GateSpec(name=use, kind=use)
