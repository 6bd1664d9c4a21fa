"""When people are reminded of a review (`review.remind`). Pure; for every forge, `local` too."""

from __future__ import annotations

from datetime import datetime, timedelta

from hqd.model.board import Board, Task
from hqd.model.duration import seconds
from hqd.model.record import Event, EventKind
from hqd.model.task import State


def due(task: Task, board: Board) -> datetime | None:
    """When the next reminder of this task's review is due, counted from its opening or the last one; None: never."""
    step, state, since = board.step_of(task), task.cursor.review, task.cursor.since
    if task.state is not State.REVIEW or state is None or since is None:
        return None
    if step is None or step.review is None or step.review.remind is None or state.closed_since is not None:
        return None
    period = timedelta(seconds=max(1.0, seconds(step.review.remind)))
    return max(since, state.opened or since, state.reminded or since) + period


def remind(task: Task, now: datetime) -> Event | None:
    """The event of one reminder: what is kept of it is why a restart does not remind again."""
    state = task.cursor.review
    if state is None:
        return None
    return Event(
        event=EventKind.FEEDBACK,
        to=State.REVIEW,
        at=now,
        step=task.cursor.step,
        review=state.model_copy(update={"reminded": now}),
        message=f"reminded: it waits for a review since {state.opened or task.cursor.since:%Y-%m-%d %H:%M} UTC",
    )
