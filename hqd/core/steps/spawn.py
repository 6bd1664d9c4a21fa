"""`spawn` steps: which children a step has, what its parent waits for, what it pays, and when that has failed. Pure.

The step passes in the moment in which its children are accepted; then the parent waits in queue/ until enough of them
are done. Children are known by what they were asked (playbook, title, text): the step done again makes anew only what
was dropped, or was never asked before.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hqd.core.language.expressions import compile_expression, compile_text
from hqd.core.language.facts import facts
from hqd.core.moves import FailStep, Park, Wait
from hqd.core.recovery import cost_cap
from hqd.model.board import Board, Task
from hqd.model.failure import Failure, ParkReason
from hqd.model.names import slug_of
from hqd.model.playbook import Playbook, Spawn, Step
from hqd.model.problem import one_line
from hqd.model.record import Finding, Phase
from hqd.model.task import State

MOST = 500
"""Children of one step, whatever `max` says."""

MOST_DEEP = 4
"""Generations below a task that a person dropped: a playbook that spawns itself ends here."""

_SHOWN = 5
_TITLE = 200


@dataclass(frozen=True, slots=True)
class Child:
    """One child as asked for. `id`: the child that was made for it before and still counts; None: to be made."""

    title: str
    body: str
    playbook: str | None
    key: str
    id: str | None = None


def plan(task: Task, step: Step, board: Board, now: datetime) -> tuple[Child, ...] | Park:
    """The children of a step, in the order of its list. Raises ExpressionFault."""
    spawn = step.spawn
    assert spawn is not None  # noqa: S101 - only spawn steps come here
    generation = _generation(task, board)
    if generation >= MOST_DEEP:
        return _park(step, f"its task is a child in generation {generation}; there may be {MOST_DEEP}")
    known = facts(task, board.values, now, kin=board.known)
    items = compile_expression(spawn.each).evaluate(known)
    if isinstance(items, str | Mapping) or not isinstance(items, Sequence):
        return _park(step, f"`{spawn.each}` is no list but a {_kind(items)}")
    most = min(spawn.max, MOST)
    if len(items) > most:
        return _park(step, f"`{spawn.each}` has {len(items)} items, and max = {spawn.max}")
    if isinstance(spawn.need, int) and spawn.need > len(items):
        return _park(step, f"needs {spawn.need} children, and `{spawn.each}` has {len(items)} items")
    return _kept([_child(spawn, {**known, "item": item}) for item in items], task, step, board)


def _child(spawn: Spawn, known: Mapping[str, Any]) -> Child:
    title = one_line(" ".join(compile_text(spawn.title).render(known).split()))[:_TITLE] or "task"
    body = compile_text(spawn.body).render(known)
    key = hashlib.sha256(f"{spawn.playbook}\0{title}\0{body}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Child(title, body, spawn.playbook, key)


def _kept(children: list[Child], task: Task, step: Step, board: Board) -> tuple[Child, ...]:
    """Children that were asked the same before, and were not dropped, are not made a second time."""
    there: dict[str, list[str]] = defaultdict(list)
    ids, keys = task.cursor.children.get(step.name, ()), task.cursor.spawned.get(step.name, ())
    for child, key in zip(ids, keys, strict=False):
        known = board.known.get(child)
        if known is not None and known.state is not State.DROPPED:
            there[key].append(child)
    return tuple(
        Child(each.title, each.body, each.playbook, each.key, there[each.key].pop(0) if there[each.key] else None)
        for each in children
    )


def _park(step: Step, said: str) -> Park:
    return Park(ParkReason.SPAWN, f"step {step.name}: {said}")


def _kind(value: object) -> str:
    return {str: "text", dict: "mapping", int: "number", float: "number"}.get(type(value), type(value).__name__)


def _generation(task: Task, board: Board) -> int:
    generation, parent = 0, task.cursor.parent
    while parent is not None and generation < MOST_DEEP:
        generation += 1
        above = board.known.get(parent)
        parent = above.cursor.parent if above is not None else None
    return generation


def standing(task: Task, playbook: Playbook | None, step: Step | None, board: Board) -> Wait | FailStep | Park | None:
    """What a spawn step's children say: wait, failed, a human's; None: enough of them are done."""
    if step is None or playbook is None or step.spawn is None:
        return None
    if task.cursor.phase is Phase.PASSED:
        return _children(task, step, step.spawn, board)
    written = step.on_fail is not None or Failure.CHILD.value in playbook.on
    if task.cursor.phase is Phase.FAILED and task.cursor.failure is Failure.CHILD and not written:
        return Park(ParkReason.CHILD_BLOCKED, task.cursor.missing or f"step {step.name}: children were dropped")
    return None


def _children(task: Task, step: Step, spawn: Spawn, board: Board) -> Wait | FailStep | None:
    ids = task.cursor.children.get(step.name, ())
    need = len(ids) if spawn.need == "all" else min(1, len(ids)) if spawn.need == "any" else spawn.need
    states = {each: board.known[each].state if each in board.known else State.QUEUE for each in ids}
    done = sum(1 for state in states.values() if state is State.DONE)
    dropped = [each for each, state in states.items() if state is State.DROPPED]
    if done >= need:
        return None
    if len(ids) - len(dropped) < need:
        return FailStep(step.name, tuple(_finding(each, step, task, board) for each in dropped))
    waits = sorted((each for each, state in states.items() if state.open), key=lambda each: states[each] != "blocked")
    said = [_said(each, board) for each in waits[:_SHOWN]] + (["…"] if len(waits) > _SHOWN else [])
    return Wait(f"children: {done} of {need} done; waits for {', '.join(said)}", "task")


def _said(child: str, board: Board) -> str:
    task = board.tasks.get(child)
    if task is None:
        return slug_of(child)
    why = task.cursor.reason.value if task.state is State.BLOCKED and task.cursor.reason is not None else ""
    missing = f": {task.cursor.missing}" if why and task.cursor.missing else ""
    return f"{slug_of(child)} ({task.state.value}{': ' + why if why else ''}{one_line(missing)[:200]})"


def _finding(child: str, step: Step, task: Task, board: Board) -> Finding:
    known = board.known.get(child)
    said = known.last.message if known is not None and known.last is not None else None
    title = f" ({known.document.title})" if known is not None else ""
    text = f"child {child}{title} was dropped" + (f": {said}" if said else "")
    return Finding(source="hqd", text=text, step=step.name, attempt=task.cursor.attempts.get(step.name))


def family_cost(task: Task, board: Board) -> float:
    """Dollars that a task's children have cost since its round began; a child may have children of its own."""
    ids = [each for found in task.cursor.children.values() for each in found]
    return max(0.0, sum(_cost(each, board, MOST_DEEP) for each in dict.fromkeys(ids)) - task.cursor.borne)


def _cost(task_id: str, board: Board, deep: int) -> float:
    task = board.known.get(task_id)
    if task is None:
        return 0.0
    below = (each for found in task.cursor.children.values() for each in found)
    return task.cursor.cost + (sum(_cost(each, board, deep - 1) for each in below) if deep else 0.0)


def over_family_budget(task: Task, board: Board) -> Park | None:
    """A parent pays for its children: neither goes on when they have spent its round's dollars together.

    A child that a person has un-parked since goes on under its own limits alone: the person's word counts.
    """
    parent = board.tasks.get(task.cursor.parent or "") if task.cursor.round == 1 else None
    for payer, whose in ((task, "it and its children have"), (parent, "its parent and all children have")):
        playbook = board.playbook_of(payer) if payer is not None else None
        if payer is None or playbook is None:
            continue
        borne = family_cost(payer, board)
        cap = cost_cap(payer, board.rules_of(payer), playbook)
        if borne > 0 and payer.cursor.spent + borne >= cap:
            sums = f"spent ${payer.cursor.spent + borne:.2f} of ${cap:.2f}"
            return Park(ParkReason.BUDGET, f"{whose} {sums} ({slug_of(payer.id)}); `hqd retry` begins a new round")
    return None


def orphaned(task: Task, board: Board) -> str | None:
    """Why an open child ends with its parent; None: it does not.

    Children of a dropped parent that wait in queue/ or blocked/ are dropped with it. One that is being worked on first
    ends its attempt; one in review stays with the people who have it before them.
    """
    parent = board.closed.get(task.cursor.parent or "")
    if parent is None or parent.state is not State.DROPPED or task.state not in (State.QUEUE, State.BLOCKED):
        return None
    return f"its parent {parent.id} was dropped"
