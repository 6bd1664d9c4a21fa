"""What attempts are made with: copies, agents, gates, programs, secrets, earlier work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hqd.model.attempt import Answer, Question
from hqd.model.gate import GateResult, GateSpec, Subject
from hqd.model.program import Ran
from hqd.model.record import Work
from hqd.ports.keeping import Tree


class Copy(Protocol):
    """A working copy lent to one attempt. Disposable; nothing in it is trusted."""

    @property
    def path(self) -> Path: ...

    @property
    def slot(self) -> int: ...

    def apply(self, patch: bytes) -> None:
        """Lays a failed attempt's patch on top, for a retry to go on from. Raises Expected if it does not fit."""

    def collect(self, message: str) -> Work:
        """Commits the difference to the base inside the copy (`Hqd-Work: TASK`), and brings the objects home."""

    def patch(self, limit: int) -> bytes:
        """The binary patch of base..now, cut off (empty) above `limit` bytes."""


class Copies(Protocol):
    """The pool of working copies outside the HQ."""

    def borrow(
        self, task: str, repo: str | None, base: str, stop: threading.Event | None = None
    ) -> AbstractContextManager[Copy]:
        """A clean copy at commit `base`. Raises Expected (no space) and SetupFailed, soon after `stop` is set too."""

    def forget(self, task: str) -> None:
        """The task has ended: what only served to bring its attempts home may go."""


class Agent(Protocol):
    """A worker of one provider. Called from worker threads; must return soon after `stop` is set."""

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """Never raises for what a provider, a model or a program does: that is an Answer with a failure."""


class Gates(Protocol):
    """The registry of gate kinds with what they need of the outside."""

    def check(self, spec: GateSpec) -> tuple[str, ...]:
        """What is wrong with a gate as written; empty: nothing."""

    def plain(self, spec: GateSpec) -> bool:
        """Whether a gate only looks: it starts no program and asks nobody, nor does any gate in it."""

    def run(self, specs: Sequence[GateSpec], subject: Subject) -> tuple[GateResult, ...]:
        """One result each, cheap ones first in time, in the order given. Never raises for a gate's own fault."""


class Programs(Protocol):
    """The door to processes other than git, as gates and `run` steps need it."""

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stop: threading.Event | None,
        file: Path | None = None,
    ) -> Ran:
        """Runs a program to its end, `timeout` seconds at most, and leaves nothing of it running. Raises Expected.

        `file`: one that it may write; its content comes back.
        """


@dataclass(frozen=True, slots=True)
class Accepted:
    """Work that was accepted: the output of a step of a task in done/, and how well it fits (higher is better).

    `remark`: what went wrong with the ranking, for the manifest.
    """

    task: str
    blob: str
    score: float
    remark: str = ""


class Similar(Protocol):
    """Retrieval among accepted work. Called from worker threads."""

    def find(self, tree: Tree, playbook: str, step: str, query: str, most: int) -> tuple[Accepted, ...]:
        """The outputs of `step` in tasks of `playbook` that had ended in done/ by `tree`, best first. Never raises."""


class Secrets(Protocol):
    """Where `secret:NAME` is found."""

    def get(self, name: str) -> str | None: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware datetime, UTC."""
