"""What an attempt would be sent if it began now: the same gathering as the worker's, without a claim."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from hqd.core.flow import next_move
from hqd.core.moves import ClaimStep, Park
from hqd.core.prompt import Prompt
from hqd.core.routing import choose
from hqd.daemon.work.gather import Means, prompt
from hqd.daemon.work.job import Job
from hqd.errors import Usage
from hqd.model.board import Board, Rules, Task
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, EventKind, Phase
from hqd.model.spelling import meant
from hqd.model.task import OPEN_STATES, State


def preview(
    task: Task,
    step: str,
    board: Board,
    means: Means,
    now: datetime,
    rules: Rules | None = None,
    without: Collection[str] = (),
) -> Prompt:
    """The prompt of the next attempt at a step. `rules`: others than those that would count for the task.

    Raises Usage for a step that asks no agent, MissingContext, ExpressionFault.
    """
    counted = rules or rules_for(task, board)
    playbook = playbook_of(task, counted)
    return prompt(_job(task, _step(playbook, step), playbook, counted, board, now), means, without)


def rules_for(task: Task, board: Board) -> Rules:
    """The pinned rules; those in force before the first claim, and for a blocked task, whose next round takes them."""
    return board.current if task.state is State.BLOCKED else board.rules_of(task)


def playbook_of(task: Task, rules: Rules) -> Playbook:
    """The playbook that has the task, or would take it. Raises Usage."""
    found = rules.playbooks.get(task.cursor.playbook or "") or choose(task, rules)
    if isinstance(found, Park):
        raise Usage(f"no playbook takes it: {found.missing}")
    return found


def _step(playbook: Playbook, name: str) -> Step:
    names = [step.name for step in playbook.steps if step.kind is StepKind.AGENT]
    if name not in names:
        remedy = meant(name, names) or f"agent steps of {playbook.name}: {', '.join(names) or 'none'}"
        raise Usage(f"{name!r} is no agent step of playbook {playbook.name}", remedy=remedy)
    return playbook.step(name)


def _job(task: Task, step: Step, playbook: Playbook, rules: Rules, board: Board, now: datetime) -> Job:
    here = task.cursor.step == step.name
    claimed = here and task.cursor.phase is Phase.CLAIMED
    move = next_move(task, board, now) if task.state in OPEN_STATES and not claimed else None
    coming = move if isinstance(move, ClaimStep) and move.step == step.name else None
    cursor = task.cursor.model_copy(
        update={
            "playbook": playbook.name,
            "step": step.name,
            "findings": task.cursor.findings if here else (),
        }
    )
    event = Event(
        event=EventKind.CLAIMED,
        to=State.ACTIVE,
        at=now,
        playbook=playbook.name,
        step=step.name,
        attempt=task.cursor.attempts.get(step.name, 0) + (0 if claimed else 1),
        mode=coming.mode if coming is not None else task.cursor.mode if here else "first",
        agent=(coming.agent if coming is not None else task.cursor.agent if here else None) or step.agent,
        pin=rules.pin,
        snapshot=board.snapshot,
    )
    known: Mapping[str, Task] = board.known
    return Job.of(event, replace(task, cursor=cursor), rules, board.snapshot, known, board.values, (0.0, 0), now)
