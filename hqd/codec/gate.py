"""Gates as people write them: a name, or a flat table whose common keys and parameters stand side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hqd.codec.shapes import LineOf, shape
from hqd.model.gate import GateSpec
from hqd.model.playbook import GateUse, Step
from hqd.model.problem import Place, Problem, spell

COMMON = frozenset({"name", "kind", "level", "target", "when", "not", "message"})
"""Keys of every gate; all others are parameters of its kind (which `check_gate` knows)."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_OF_STEP = frozenset(Step.model_fields) - {"name", "agent", "when", "gates", "output"}
"""Keys that no gate kind has: under a gate's table they were meant for the step."""


def read_gates(
    raw: Any, path: str, place: Place, line_of: LineOf, data: Any = None, taken: set[str] | None = None
) -> tuple[list[GateUse], list[Problem]]:
    """A list of gates. A gate without a name is called after its kind, numbered where that repeats.

    `taken` are names given out before in the same step; it is added to. `data` is the file, to spell keys.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        remedy = 'write gates = ["NAME", { kind = "…" }]'
        return [], [Problem(path, line_of(place), spell(place, data), "has to be a list", remedy, place=place)]
    taken = set() if taken is None else taken
    explicit = {item.get("name") for item in raw if isinstance(item, Mapping)} | {
        item for item in raw if isinstance(item, str)
    }
    gates: list[GateUse] = []
    problems: list[Problem] = []
    for index, item in enumerate(raw):
        inner = (*place, index)
        if isinstance(item, str):
            gates.append(item)
            problems += _once(item, taken, path, inner, line_of, data)
            continue
        name = item.get("name") if isinstance(item, Mapping) else None
        if isinstance(item, Mapping) and name is None and isinstance(item.get("kind"), str):
            item = {**item, "name": _numbered(item["kind"], taken | explicit)}
            name = item["name"]
        gate, wrong = read_gate(item, path, inner, line_of, data)
        problems += wrong
        if isinstance(name, str):
            problems += _once(name, taken, path, (*inner, "name"), line_of, data)
        if gate is not None:
            gates.append(gate)
    return gates, problems


def read_gate(
    raw: Any, path: str, place: Place, line_of: LineOf, data: Any = None
) -> tuple[GateSpec | None, list[Problem]]:
    """One gate's table."""
    if not isinstance(raw, Mapping):
        message = "a gate is a name or a table with a kind"
        return None, [Problem(path, line_of(place), spell(place, data), message, place=place)]
    misplaced = [key for key in raw if key in _OF_STEP and place[0] == "steps"]
    problems = [_misplaced(path, (*place, key), line_of, data) for key in misplaced]
    common: dict[str, Any] = {key: value for key, value in raw.items() if key in COMMON}
    common.setdefault("name", str(raw.get("kind") or "gate"))
    common["params"] = {key: value for key, value in raw.items() if key not in COMMON and key not in misplaced}
    gate, wrong = shape(GateSpec, common, path, lambda inner: line_of((*place, *inner)))
    problems += [
        Problem(
            path,
            fault.line,
            spell((*place, *fault.place), data),
            fault.message,
            fault.remedy,
            fault.level,
            (*place, *fault.place),
        )
        for fault in wrong
    ]
    if gate is not None and NAME.fullmatch(gate.name) is None:
        message = f"{gate.name!r} is no name for a gate"
        problems.append(
            Problem(path, line_of((*place, "name")), spell(place, data), message, "use letters, digits, _ . -")
        )
    return gate, problems


def _misplaced(path: str, place: Place, line_of: LineOf, data: Any) -> Problem:
    """`on_fail` after `[[steps.gates]]`: TOML puts it into the gate, its author meant the step."""
    step, key = place[:2], str(place[-1])
    table = ".".join(str(part) for part in place[:-1] if isinstance(part, str))
    inline = line_of(place[:-1]) == line_of((*place[:-1], "kind"))  # a header stands in a line of its own
    return Problem(
        path,
        line_of(place),
        spell((*step, key), data),
        "belongs to the step, but stands under its gate table",
        "move it out of the gate's braces" if inline else f"move it above [[{table}]]",
        place=place,
    )


def _numbered(kind: str, taken: set[Any]) -> str:
    name, number = kind, 1
    while name in taken:
        number += 1
        name = f"{kind}_{number}"
    return name


def _once(name: str, taken: set[str], path: str, place: Place, line_of: LineOf, data: Any) -> list[Problem]:
    if name in taken:
        message = f"a second gate named {name}"
        return [Problem(path, line_of(place), spell(place, data), message, "give each its own name", place=place)]
    taken.add(name)
    return []
