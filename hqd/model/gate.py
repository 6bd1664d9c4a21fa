"""A gate as it is written (`GateSpec`) and what one says of one attempt (`GateResult`)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from hqd.model.value import Value

LESSON_GATE = "lesson:"
"""What the names of lessons' gates begin with; no other gate's name has a colon."""


NOT_JUDGED = "not judged: "
"""What the message of a `skip` begins with where the work should have been judged and was not: people must hear it."""


class Level(StrEnum):
    """What a gate's failure does: nothing but be recorded, be shown, or stop the attempt."""

    SHADOW = "shadow"
    WARN = "warn"
    ENFORCE = "enforce"


class GateStatus(StrEnum):
    """`error` means that the gate itself could not judge; it is never a pass and never the agent's failure."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


class Evidence(Value):
    """Where a finding can be seen: a path (or `output`), a 1-based line (0: no single line), a short excerpt."""

    path: str = "output"
    line: int = 0
    excerpt: str = ""


class GateSpec(Value):
    """A gate with its parameters, as a playbook, a task or hqd.toml gives it.

    `params` holds the keys of the kind; the keys named here are common to all kinds. `not` is `negate`.
    """

    name: str
    kind: str
    level: Level = Level.ENFORCE
    target: str = "output"  # output | task | file:GLOB | diff | key:PATH
    when: str | None = None
    negate: bool = Field(default=False, alias="not")
    message: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)


class GateResult(Value):
    """One verdict. `message` is written for the agent: what is wrong, where, what would pass."""

    name: str
    kind: str
    level: Level = Level.ENFORCE
    status: GateStatus
    score: float | None = None
    threshold: float | None = None
    message: str = ""
    evidence: tuple[Evidence, ...] = ()
    cost: float = 0.0  # dollars; program gates cost nothing
    version: str = ""  # hash of kind version and rendered parameters

    @property
    def stops(self) -> bool:
        """An enforcing gate that does not let the attempt through (failed, or could not judge)."""
        return self.level is Level.ENFORCE and self.status in (GateStatus.FAIL, GateStatus.ERROR)

    @property
    def unjudged(self) -> bool:
        """It let the work through without a word on it; other skips had nothing to judge."""
        return self.status is GateStatus.SKIP and self.message.startswith(NOT_JUDGED)

    @property
    def hidden(self) -> bool:
        """A lesson's verdict in shadow: recorded, and shown to nobody whose word on the work is still to come."""
        return self.level is Level.SHADOW and self.name.startswith(LESSON_GATE)


class Files(Protocol):
    """A set of files that a gate may read: a work copy, a commit, a folder."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a regular file; None where there is none."""

    def paths(self) -> tuple[str, ...]:
        """All file paths, sorted."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One file of an attempt's difference. `status`: added, modified, deleted, renamed. Line counts; -1 if binary."""

    path: str
    status: str
    added: int
    removed: int
    old_path: str | None = None

    @property
    def binary(self) -> bool:
        return self.added < 0


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that gates may look at for one attempt. Program gates read nothing else.

    `facts` are the values of the expression language (task, inputs, output, outputs, answers, …). `files` is
    the work after the attempt, `base` before it, `sources` the HQ (or target repository) at the pinned snapshot.
    `accepted` yields earlier accepted outputs of the same playbook step: (task id, text). `name` is the output's in
    what gates say, and where its relative links start: a path, where it is a file.
    """

    output: str = ""
    name: str = "output"
    data: Any = None
    task_text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Files | None = None
    base: Files | None = None
    sources: Files | None = None
    changed: tuple[Changed, ...] = ()
    diff: str = ""
    accepted: tuple[tuple[str, str], ...] = ()
    cwd: Path | None = None
    stop: threading.Event | None = None
