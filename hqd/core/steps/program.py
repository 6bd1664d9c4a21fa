"""`run` steps: what a program with an effect outside is called with, and what `once` forbids. Pure.

`HQD_KEY` is the same for every attempt of one step of one task, in all rounds: whoever receives it can tell a second
call from a second order. A `once` program is never started again by hqd itself: not by the ladder, not after an
interruption, not by a route that leads back past it. Only a person starts it again (`hqd retry`), with the same key.
"""

from __future__ import annotations

import hashlib

from hqd.core.moves import Park
from hqd.model.board import Task
from hqd.model.failure import Failure, ParkReason
from hqd.model.playbook import Step
from hqd.model.record import Phase


def key_of(task: str, step: str) -> str:
    """The idempotency key: 32 hexadecimal digits that follow from task id and step name alone."""
    return hashlib.sha256(f"{task}\0{step}".encode()).hexdigest()[:32]


def is_once(step: Step) -> bool:
    return step.run is not None and step.run.once


def acted(task: Task, step: Step) -> bool:
    """Whether a `once` program has done its work for this task: the flow passes it by."""
    ref = task.cursor.outputs.get(step.name)
    return is_once(step) and ref is not None and not ref.stale


def may_have_acted(task: Task, step: Step | None) -> Park | None:
    """The park of a task whose `once` program was begun and did not pass; None where it may be started.

    Exit code 75 is the program's own word that it did nothing and may be called again.
    """
    cursor = task.cursor
    if step is None or not is_once(step) or cursor.phase not in (Phase.AGAIN, Phase.FAILED):
        return None
    if cursor.failure is Failure.TRANSIENT:
        return None
    failed = cursor.missing if cursor.phase is Phase.FAILED and cursor.missing else "it was interrupted"
    return Park(
        ParkReason.ONCE,
        f"step {step.name} runs a program that may act once only, and {failed}; see whether it has acted:"
        f" `hqd retry` starts it again with the same HQD_KEY ({key_of(task.id, step.name)})",
    )
