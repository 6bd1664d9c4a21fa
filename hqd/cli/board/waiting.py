"""What an open task waits for, in one line: what is missing, or what comes next. Decides nothing."""

from __future__ import annotations

from datetime import datetime

from hqd.core.decide import holds_on, place_of
from hqd.core.flow import next_move
from hqd.core.moves import ClaimStep, End, FailStep, GoTo, Land, Move, Park, Wait
from hqd.model.board import Board, Task
from hqd.model.task import State

NO_DAEMON = "no daemon runs here: `hqd run`"
AUDIT = (
    "an audit: would you accept this output (`hqd show TASK --output`)? `hqd approve` or `hqd reject -m TEXT` says so;"
    " nothing of it lands"
)

UNASKED = "hqd, which merges it as soon as the forge lets it: nobody is asked (review.sample)"


def unasked(task: Task) -> bool:
    """Whether hqd merges this pull request by itself, since people are asked for a share only."""
    return task.state is State.REVIEW and task.cursor.review is not None and task.cursor.review.sample is not None


def waits_for(task: Task, board: Board, now: datetime, *, alive: bool, doing: str = "") -> str:
    """One line for the board. `alive`: a daemon runs; `doing`: what its worker does, or its review waits for."""
    cursor = task.cursor
    if task.state is State.BLOCKED:
        return cursor.missing or (cursor.reason.value if cursor.reason is not None else "a human")
    if task.state is State.REVIEW and cursor.review is not None and cursor.review.audit:
        return AUDIT
    if task.state is State.REVIEW:
        return doing or "a human's word on the review: `hqd approve`, `request-changes` or `reject`"
    if task.state is State.ACTIVE:
        if doing:
            return doing
        return "being worked on" if alive else f"its work was cut off; {NO_DAEMON}"
    return _queued(task, next_move(task, board, now), board, now, alive=alive)


def _queued(task: Task, move: Move, board: Board, now: datetime, *, alive: bool) -> str:
    if isinstance(move, Wait):
        return move.missing
    if isinstance(move, Park):
        return f"{move.reason.value}: {move.missing}"
    if isinstance(move, ClaimStep):
        return _claimable(task, move, board, now, alive=alive)
    return next_step(move) if alive else f"{next_step(move)}; {NO_DAEMON}"


def _claimable(task: Task, move: ClaimStep, board: Board, now: datetime, *, alive: bool) -> str:
    if board.paused:
        return "paused: `hqd resume`"
    rules, playbook, step = place_of(task, move, board, now)
    held = holds_on(board, task, rules, playbook, step, move.agent or step.agent)
    if held:
        return f"hold {held[0].name}: {held[0].missing}"
    if not alive:
        return f"{next_step(move)}; {NO_DAEMON}"
    limit = rules.settings.limits.concurrency
    if len(board.slots.running) >= limit:
        return f"a free slot ({limit} at a time)"
    return next_step(move)


def next_step(move: Move) -> str:
    """What comes next, in words."""
    match move:
        case ClaimStep(step, mode):
            how = {"retry": ", again with the findings", "fresh": ", with a fresh context", "agent": "", "again": ""}
            by = f" by {move.agent}" if move.agent else ""
            return f"next: step {step}{by}{how.get(mode, '')}"
        case GoTo(step):
            return f"next: back to step {step}"
        case FailStep(step):
            return f"next: step {step} has failed after all"
        case Land():
            return "next: it lands on main"
        case End(dropped):
            return "next: dropped" if dropped else "next: done"
        case Park(reason, missing):
            return f"next: parked, {reason.value}: {missing}"
        case Wait(missing):
            return missing
