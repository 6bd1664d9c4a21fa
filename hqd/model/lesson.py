"""A lesson: a recorded failure with evidence, which feeds a gate and/or a context rule once a human merges it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import Field

from hqd.model.gate import LESSON_GATE, GateSpec, Level
from hqd.model.value import Value

MOST_EVIDENCE = 20
"""Cases of one lesson that hqd itself writes down; more of the same teach nothing new."""


class LessonStatus(StrEnum):
    """How far a lesson has come. Only a person moves it from `proposed` on, by merging."""

    RECORDED = "recorded"
    PROPOSED = "proposed"
    SHADOW = "shadow"
    WARN = "warn"
    ENFORCE = "enforce"
    RETIRED = "retired"

    @property
    def level(self) -> Level | None:
        """The level of its gate; None: it is not in force."""
        return Level(self.value) if self in IN_FORCE else None


IN_FORCE = (LessonStatus.SHADOW, LessonStatus.WARN, LessonStatus.ENFORCE)
"""In the order in which a lesson rises."""

OPEN = (LessonStatus.RECORDED, LessonStatus.PROPOSED)
"""Not decided by a person yet: further cases of the same signature are added to it."""


class Scope(Value):
    """Where a lesson counts. An empty list means: everywhere."""

    playbooks: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class LessonContext(Value):
    """What agents are told. `max_tokens`: what it may take of a prompt."""

    text: str
    max_tokens: int = Field(default=80, ge=1)


class LessonEvidence(Value):
    """One case: named by path and blob, so that it can be read for as long as history stands."""

    task: str | None = None
    attempt: int | None = None
    path: str
    blob: str | None = None
    corrected_blob: str | None = None
    corrected_path: str | None = None


class Lesson(Value):
    """One file of lessons/. `born_at`: the step whose output was wrong; its gate stands there. `caught_at`: where it
    was found. `level`: the most that it may become; `review` proposes nothing above. `signature`: what makes another
    failure the same one. `variants`: how many gates were tried before this one was chosen."""

    id: str = Field(pattern=r"^L-[0-9a-z]{4,32}$")
    status: LessonStatus
    level: Level | None = None
    class_: str | None = Field(default=None, alias="class")
    topic: str | None = None
    scope: Scope = Scope()
    born_at: str | None = None
    caught_at: str | None = None
    rework_usd: float | None = Field(default=None, ge=0)
    signature: str | None = None
    gate: GateSpec | None = None
    context: LessonContext | None = None
    evidence: tuple[LessonEvidence, ...] = ()
    backtest: dict[str, Any] | None = None
    variants: int | None = Field(default=None, ge=0)
    owner: str | None = None
    drafted_by: str | None = None
    created: date | None = None
    review_after: date | None = None
    supersedes: tuple[str, ...] = ()
    account: str = ""

    @property
    def in_force(self) -> bool:
        return self.status in IN_FORCE

    @property
    def gate_name(self) -> str:
        """How its gate is called in records."""
        return LESSON_GATE + self.id

    @property
    def title(self) -> str:
        """The first line of its account, for lists."""
        first = next((line for line in self.account.splitlines() if line.strip()), "")
        return first.lstrip("# ").strip()
