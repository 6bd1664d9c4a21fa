"""A lesson: a recorded failure with evidence, which feeds a gate and/or a context rule once a human merges it."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Any

from pydantic import Field

from hqd.model.gate import GateSpec, Level
from hqd.model.value import Value


class LessonStatus(StrEnum):
    RECORDED = "recorded"
    PROPOSED = "proposed"
    SHADOW = "shadow"
    WARN = "warn"
    ENFORCE = "enforce"
    RETIRED = "retired"


class Scope(Value):
    playbooks: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class LessonContext(Value):
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
    id: str = Field(pattern=r"L-[0-9a-z]{4,}")
    status: LessonStatus
    level: Level | None = None
    class_: str | None = Field(default=None, alias="class")
    topic: str | None = None
    scope: Scope = Scope()
    born_at: str | None = None
    caught_at: str | None = None
    rework_usd: float | None = None
    gate: GateSpec | None = None
    context: LessonContext | None = None
    evidence: tuple[LessonEvidence, ...] = ()
    backtest: dict[str, Any] | None = None
    owner: str | None = None
    review_after: date | None = None
    supersedes: tuple[str, ...] = ()
    account: str = ""
