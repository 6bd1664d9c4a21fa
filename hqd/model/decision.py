"""A decision: something settled by a task that later tasks must know, and may be checked against."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from hqd.model.gate import GateSpec
from hqd.model.value import Value

DECISION_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
MAX_TITLE = 200
MAX_TEXT = 4_000
MAX_LABELS = 20


class Recorded(Value):
    """What a step says that it has settled.

    `topic` names the question that it answers: two active decisions on one topic contradict each other unless they say
    the same. In scope: tasks of one of `playbooks`, or with one of `tags`; with neither, every task. `steps`: only
    those, in tasks in scope. `check` gates what later tasks in scope make.
    """

    title: str = Field(min_length=1, max_length=MAX_TITLE)
    decision: str = Field(min_length=1, max_length=MAX_TEXT)
    why: str = Field(default="", max_length=MAX_TEXT)
    topic: str | None = Field(default=None, max_length=MAX_TITLE)
    tags: tuple[str, ...] = Field(default=(), max_length=MAX_LABELS)
    playbooks: tuple[str, ...] = Field(default=(), max_length=MAX_LABELS)
    steps: tuple[str, ...] = Field(default=(), max_length=MAX_LABELS)
    check: GateSpec | None = None
    supersedes: tuple[str, ...] = Field(
        default=(), max_length=MAX_LABELS
    )  # ids of decisions that it takes the place of


class Decision(Recorded):
    """A decision in `workspace/decisions/`: recorded by a task and filed when its work was accepted, or a person's own.

    `at` None: a person gave no date; it then counts as older than all others. `commit`: what
    landed the task's work; of work that lands nothing, the commit of main on which it was accepted.
    """

    id: str = Field(pattern=DECISION_ID)
    status: Literal["active", "withdrawn"] = "active"
    at: datetime | None = None
    task: str | None = None
    step: str | None = None
    attempt: int | None = None
    commit: str | None = None
