"""Gates inside gates: members are names of gates in hqd.toml (or of kinds), or tables like any other gate's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from hqd.gates.kind import GateKind
from hqd.gates.parameters import COMMON_KEYS, BadParameters, validate
from hqd.model.gate import GateSpec


def specs(
    kind: GateKind, spec: GateSpec, named: Mapping[str, GateSpec]
) -> tuple[tuple[GateSpec, ...], tuple[str, ...]]:
    """The gates in a gate, and what is wrong with those that cannot be read."""
    if kind.members is None:
        return (), ()
    try:
        params = validate(kind, spec.params)
    except BadParameters as bad:
        return (), bad.faults
    return read(kind.members(params), spec.name, named)


def read(
    members: tuple[Any, ...], parent: str, named: Mapping[str, GateSpec]
) -> tuple[tuple[GateSpec, ...], tuple[str, ...]]:
    """Members as gates. A member without a name is called after its kind and place."""
    found: list[GateSpec] = []
    faults: list[str] = []
    for place, member in enumerate(members, start=1):
        if isinstance(member, str):
            found.append(named.get(member) or GateSpec(name=member, kind=member))  # a kind's own name will do
        elif isinstance(member, Mapping):
            try:
                found.append(from_table(member, f"{parent}.{member.get('kind', 'gate')}-{place}"))
            except (ValueError, ValidationError) as error:
                faults.append(f"gate {place}: {_reason(error)}")
        else:
            faults.append(f"gate {place}: must be a name or a table with a kind")
    return tuple(found), tuple(faults)


def from_table(table: Mapping[str, Any], name: str) -> GateSpec:
    """A gate from a table as written: common keys, everything else a parameter. Raises ValueError."""
    if not isinstance(table.get("kind"), str):
        raise ValueError("kind: is missing")
    common: dict[str, Any] = {key: value for key, value in table.items() if key in COMMON_KEYS}
    common.setdefault("name", name)
    return GateSpec(**common, params={key: value for key, value in table.items() if key not in COMMON_KEYS})


def _reason(error: ValueError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)
