"""Lessons that contradict: nothing could pass both. What can be known from the gates as written. Pure.

What only texts tell (the correction of one is red under the other) is found by `hqd lessons check`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson


def contradictions(lessons: Sequence[Lesson]) -> Iterator[tuple[Lesson, Lesson, str]]:
    """(one, other, why) for every pair on one topic that may meet at one step."""
    for one, other in combinations(lessons, 2):
        if one.id == other.id or not same_topic(one, other) or not may_meet(one, other):
            continue
        why = contradict(one.gate, other.gate)
        if why is not None:
            yield one, other, why


def same_topic(one: Lesson, other: Lesson) -> bool:
    return bool(one.topic) and (one.topic or "").strip().casefold() == (other.topic or "").strip().casefold()


def may_meet(one: Lesson, other: Lesson) -> bool:
    """Whether both may look at one output."""
    pairs: tuple[tuple[Collection[str], Collection[str]], ...] = (
        (one.scope.playbooks, other.scope.playbooks),
        (one.scope.agents, other.scope.agents),
        (_steps(one), _steps(other)),
    )
    return all(not a or not b or not set(a).isdisjoint(b) for a, b in pairs)


def contradict(one: GateSpec | None, other: GateSpec | None) -> str | None:
    """Why no text passes both; None: nothing says so."""
    if one is None or other is None or one.target != other.target or one.when or other.when:
        return None
    if one.kind == other.kind and one.params == other.params and one.negate is not other.negate:
        return f"one asks for what the other forbids ({one.kind})"
    if one.negate or other.negate:
        return None
    for first, second in ((one, other), (other, one)):
        rule = _RULES.get((first.kind, second.kind))
        why = rule(first.params, second.params) if rule is not None else None
        if why is not None:
            return why
    return None


def _steps(lesson: Lesson) -> tuple[str, ...]:
    return (lesson.born_at,) if lesson.born_at is not None else lesson.scope.steps


def _words(params: Mapping[str, Any]) -> list[str]:
    values = params.get("values", ())
    listed = [values] if isinstance(values, str) else list(values) if isinstance(values, list | tuple) else []
    fold = params.get("ignore_case") is True
    return [str(each).casefold() if fold else str(each) for each in listed]


def _included_and_forbidden(must: Mapping[str, Any], must_not: Mapping[str, Any]) -> str | None:
    forbidden = _words(must_not)
    folded = must_not.get("ignore_case") is True
    wanted = [word.casefold() if folded else word for word in _words(must)]
    clashing = [word for word in wanted if any(each and each in word for each in forbidden)]
    needed = clashing if must.get("mode", "all") == "all" else clashing if len(clashing) == len(wanted) else []
    return f"one asks for {needed[0]!r}, the other forbids it" if needed else None


def _ranges(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    least, most = one.get("min"), other.get("max")
    if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
        return f"one asks for at least {least}, the other for at most {most}"
    return None


def _ends(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    first, second = str(one.get("value", "")), str(other.get("value", ""))
    if first and second and not first.startswith(second) and not second.startswith(first):
        return f"one asks for {first!r}, the other for {second!r}"
    return None


_Rule = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
_RULES: dict[tuple[str, str], _Rule] = {
    ("must_include", "must_not_include"): _included_and_forbidden,
    ("starts_with", "starts_with"): _ends,
    **{
        (kind, kind): _ranges
        for kind in ("word_count", "char_count", "list_items", "line_length", "token_count", "citations")
    },
}
