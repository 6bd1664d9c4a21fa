"""A task: one markdown file whose folder is its state."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from hqd.model.value import Value


class State(StrEnum):
    """The folder under workspace/ that a task file is in. Written nowhere else."""

    INBOX = "inbox"
    QUEUE = "queue"
    ACTIVE = "active"
    REVIEW = "review"
    BLOCKED = "blocked"
    DONE = "done"
    DROPPED = "dropped"

    @property
    def open(self) -> bool:
        """Accepted and not ended."""
        return self in OPEN_STATES


OPEN_STATES = frozenset({State.QUEUE, State.ACTIVE, State.REVIEW, State.BLOCKED})
ENDED_STATES = frozenset({State.DONE, State.DROPPED})


class Budget(Value):
    """What one task may spend at most."""

    cost_usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    attempts: int | None = Field(default=None, ge=1)
    wall: str | None = None  # a duration: "4h"


class TaskHeader(Value):
    """The front matter of a task, all of it optional. Unknown keys are the author's own and stay in `extra`."""

    title: str | None = None
    playbook: str | None = None
    tags: tuple[str, ...] = ()
    priority: int = 0
    needs: tuple[str, ...] = ()
    not_before: datetime | date | None = None
    repo: str | None = None
    suspend: bool = False
    draft: bool = False
    inputs: dict[str, Any] = Field(default_factory=dict)
    gates: tuple[Any, ...] = ()  # acceptance checks of this very task: names or gate tables
    budget: Budget | None = None
    aliases: tuple[str, ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)


class TaskDocument(Value):
    """A task file as read: header, title (front matter, else first heading, else file name) and text without header."""

    header: TaskHeader
    title: str
    text: str
