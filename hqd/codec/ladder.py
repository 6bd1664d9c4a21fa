"""Ladders as people write them: `[{ retry = 2 }, { agent = "strong" }, "human"]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hqd.codec.shapes import LineOf, shape
from hqd.model.playbook import Rung
from hqd.model.problem import Place, Problem, spell

KINDS = ("retry", "fresh", "agent", "route", "human")
_FORM = 'write on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "NAME" }, { route = "STEP" }, "human"]'


def read_ladder(
    raw: Any, path: str, place: Place, line_of: LineOf, data: Any = None
) -> tuple[tuple[Rung, ...], list[Problem]]:
    """The rungs of a ladder, and what is wrong with them."""

    def fault(inner: Place, message: str, remedy: str = "") -> Problem:
        return Problem(path, line_of(inner), spell(inner, data), message, remedy, place=inner)

    if not isinstance(raw, Sequence) or isinstance(raw, str):
        return (), [fault(place, "has to be a list of rungs", _FORM)]
    rungs: list[Rung] = []
    problems: list[Problem] = []
    for index, item in enumerate(raw):
        inner = (*place, index)
        if item == "human":
            rungs.append(Rung(human=True))
        elif not isinstance(item, Mapping):
            problems.append(fault(inner, f"{item!r} is no rung", _FORM))
        else:
            rung, wrong = shape(Rung, item, path, lambda at, inner=inner: line_of((*inner, *at)))  # type: ignore[misc]
            problems += [fault((*inner, *problem.place), problem.message, problem.remedy) for problem in wrong]
            problems += [fault(inner, message, _FORM) for message in _odd(item)]
            rungs += [rung] if rung is not None else []
    return tuple(rungs), problems


def _odd(item: Mapping[str, Any]) -> list[str]:
    kinds = [kind for kind in KINDS if kind in item]
    if len(kinds) != 1:
        return ["a rung has exactly one of retry, fresh, agent, route, or is human"]
    if "times" in item and kinds[0] not in ("agent", "route"):
        return [f"times goes with agent and route; write {kinds[0]} = {item['times']}"]
    return []
