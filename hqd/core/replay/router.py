"""Where tasks would have gone under other rules: routing alone, over all of history. Pure and exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hqd.core.moves import Park
from hqd.core.routing import choose
from hqd.model.board import Rules, Task
from hqd.model.record import Pin


@dataclass(frozen=True, slots=True)
class Routed:
    """One task that would have gone elsewhere. A park is written as its reason in brackets."""

    task: str
    was: str
    would_be: str
    why: str


@dataclass(frozen=True, slots=True)
class Routing:
    tasks: int
    moved: tuple[Routed, ...]
    taken: frozenset[str]  # tasks that the tried playbook takes, now or then
    unexplained: int  # went elsewhere than the rules of then say: a person's word, or another hqd


def reroute(
    tasks: Iterable[tuple[Task, Pin, str | None]], old: Callable[[Pin], Rules], new: Callable[[Pin], Rules], name: str
) -> Routing:
    """Asks for each (task as accepted, pin of its first claim, playbook recorded) where the new rules send it."""
    count, unexplained, moved, taken = 0, 0, [], set()
    for task, pin, recorded in tasks:
        count += 1
        was, _why = _where(task, old(pin))
        if recorded is not None and was != recorded:
            unexplained += 1
            was = recorded
            if recorded == name:
                taken.add(task.id)
            continue
        would_be, why = _where(task, new(pin))
        if name in (was, would_be):
            taken.add(task.id)
        if was != would_be:
            moved.append(Routed(task.id, was, would_be, why))
    return Routing(count, tuple(moved), frozenset(taken), unexplained)


def _where(task: Task, rules: Rules) -> tuple[str, str]:
    found = choose(task, rules)
    return (f"({found.reason.value})", found.missing) if isinstance(found, Park) else (found.name, "")
