"""`ask` steps: a question to a human as a stage of the flow. The answer resumes the same round."""

from __future__ import annotations

from datetime import datetime

from hqd.core.language.expressions import compile_text
from hqd.core.language.facts import facts
from hqd.model.board import Board, Task
from hqd.model.failure import ParkReason
from hqd.model.playbook import Step
from hqd.model.record import Event, EventKind
from hqd.model.task import State


def question(task: Task, step: Step, board: Board, now: datetime) -> Event:
    """The `asked` event: `missing` is the rendered question, with whom it is for. Raises ExpressionFault."""
    assert step.ask is not None  # noqa: S101 - only ask steps come here
    text = compile_text(step.ask.question).render(facts(task, board.values, now, kin=board.known)).strip()
    to = f"{', '.join(step.ask.to)}: " if step.ask.to else ""
    return Event(
        event=EventKind.ASKED,
        to=State.BLOCKED,
        at=now,
        step=step.name,
        attempt=task.cursor.attempts.get(step.name, 0) + 1,
        reason=ParkReason.ASKED,
        missing=to + text,
        choices=step.ask.choices,
    )
