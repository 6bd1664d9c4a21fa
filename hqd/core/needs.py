"""`needs` between tasks: whom a name means, whether it is done, and circles. Pure.

A name is an id, a slug, an alias or the beginning of an id, looked for in this order; open tasks before ended ones,
and of several ended ones the newest. `board.closed` holds the ended tasks that names of open ones mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

from hqd.core.moves import Park, Wait
from hqd.model.board import Board, Task
from hqd.model.failure import ParkReason
from hqd.model.names import slug_of
from hqd.model.spelling import meant
from hqd.model.task import State

_slug = lru_cache(maxsize=50_000)(slug_of)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
SHORTEST_PREFIX = 8
"""Letters of an id that a name must have to be taken for its beginning: the day."""


def unmet(task: Task, board: Board) -> Wait | Park | None:
    """What the task's `needs` keep it from: a wait that names whom, a park for what can never be; None: nothing."""
    waits: Wait | None = None
    for name in task.document.header.needs:
        found = _unmet(name, task, board)
        if isinstance(found, Park):
            return found
        waits = waits or found
    return waits


def _unmet(name: str, task: Task, board: Board) -> Wait | Park | None:
    fits = named(name, task, board)
    if len(fits) > 1:
        which = ", ".join(each.id for each in fits[:5])
        return Park(ParkReason.MISSING_NEED, f"needs {name}, which fits {len(fits)} tasks: {which}; name one by its id")
    if not fits:
        if name in board.coming:
            return Wait(f"needs {name}, which is still in the inbox", "task")
        known = {_slug(each) for each in board.tasks if each != task.id} | set(board.slugs)
        return Park(ParkReason.MISSING_NEED, f"needs {name}, which is no task: {meant(name, sorted(known)[:200])}")
    need = fits[0]
    if need.state is State.DONE:
        return None
    if need.state is State.DROPPED:
        return Park(ParkReason.MISSING_NEED, f"needs {name}, which was dropped ({need.id})")
    circle = _circle(task, board)
    if circle is not None:
        return Park(ParkReason.MISSING_NEED, f"needs go in a circle: {' -> '.join(_slug(each) for each in circle)}")
    return Wait(f"needs {name}, which is {_standing(need)}", "task")


def _standing(need: Task) -> str:
    reason = f": {need.cursor.reason.value}" if need.state is State.BLOCKED and need.cursor.reason is not None else ""
    return f"in {need.state.value}/{reason}"


def named(name: str, task: Task, board: Board) -> tuple[Task, ...]:
    """The task that a name means; several where it is ambiguous, none where there is none.

    The task itself is meant only where nothing else is.
    """
    exact = board.known.get(name)
    if exact is not None:
        return (exact,)
    others = [each for each in board.tasks.values() if each.id != task.id]
    for fits in (_by_slug, _by_alias):
        found = tuple(fits(name, others)) or _newest(fits(name, board.closed.values()))
        if found:
            return found
    found = tuple(_by_start(name, (*others, *board.closed.values())))
    return found or tuple(fits for fits in (task,) if name in (_slug(task.id), *task.document.header.aliases))


def _by_slug(name: str, tasks: Iterable[Task]) -> Iterator[Task]:
    return (each for each in tasks if _slug(each.id) == name)


def _by_alias(name: str, tasks: Iterable[Task]) -> Iterator[Task]:
    return (each for each in tasks if name in each.document.header.aliases)


def _by_start(name: str, tasks: Iterable[Task]) -> Iterator[Task]:
    return (each for each in tasks if len(name) >= SHORTEST_PREFIX and each.id.startswith(name))


def _newest(tasks: Iterable[Task]) -> tuple[Task, ...]:
    newest = max(tasks, key=lambda each: (each.id[:8], each.cursor.since or _LONG_AGO), default=None)
    return (newest,) if newest is not None else ()


def _circle(task: Task, board: Board) -> tuple[str, ...] | None:
    """The way from a task over what it waits for back to itself; None where there is none."""
    seen: set[str] = set()
    ways: list[tuple[str, ...]] = [(task.id,)]
    while ways:
        way = ways.pop()
        for following in waited_for(board.tasks[way[-1]], board):
            if following == task.id:
                return (*way, task.id)
            if following not in seen:
                seen.add(following)
                ways.append((*way, following))
    return None


def waited_for(task: Task, board: Board) -> tuple[str, ...]:
    """Ids of open tasks that a task waits for: its needs, and the children of its step."""
    needs = (each for name in task.document.header.needs for each in named(name, task, board)[:1])
    children = task.cursor.children.get(task.cursor.step or "", ())
    return (*(each.id for each in needs if each.state.open), *(each for each in children if each in board.tasks))
