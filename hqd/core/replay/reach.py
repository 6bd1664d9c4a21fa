"""Tasks that rest on others of which a decision differs: they were followed as recorded, which may not hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hqd.core.needs import SHORTEST_PREFIX
from hqd.model.board import Task
from hqd.model.names import slug_of


@dataclass(frozen=True, slots=True)
class Rests:
    """`task` rests on `on`: by `needs`, or as its parent or child."""

    task: str
    on: str
    by: str


def resting(tasks: Iterable[Task], different: Collection[str]) -> tuple[Rests, ...]:
    """Of all tasks, in order, those that rest on a different one and are none themselves."""
    known = list(tasks)
    named = {name: each.id for each in known if each.id in different for name in _names(each)}
    parents = {str(each.cursor.parent): each.id for each in known if each.id in different}
    found = (_rests(each, named, parents, different) for each in known if each.id not in different)
    return tuple(each for each in found if each is not None)


def _rests(task: Task, named: dict[str, str], parents: dict[str, str], different: Collection[str]) -> Rests | None:
    for name in task.document.header.needs:
        on = named.get(name) or next((each for each in different if _begins(each, name)), None)
        if on is not None:
            return Rests(task.id, on, "needs it")
    if task.cursor.parent in different:
        return Rests(task.id, str(task.cursor.parent), "is its child")
    if task.id in parents:
        return Rests(task.id, parents[task.id], "is its parent")
    return None


def _names(task: Task) -> tuple[str, ...]:
    return (task.id, slug_of(task.id), *task.document.header.aliases)


def _begins(task: str, name: str) -> bool:
    return len(name) > SHORTEST_PREFIX and task.startswith(name)
