"""What may come next for a task. Values only; `decide` turns them into events, the loop acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hqd.model.failure import ParkReason
from hqd.model.record import Finding

Mode = Literal["first", "retry", "fresh", "agent", "again"]


@dataclass(frozen=True, slots=True)
class ClaimStep:
    """Work on a step. `agent` None: the step's own (or no agent at all)."""

    step: str
    mode: Mode
    agent: str | None = None
    rung: int | None = None
    ladder: str | None = None  # the failure class whose own ladder the rung is of; None: the common one


@dataclass(frozen=True, slots=True)
class GoTo:
    """Take a route, or a rung that leads back to an earlier step. `stale`: steps whose outputs it outdates."""

    step: str
    key: str
    findings: tuple[Finding, ...] = ()
    stale: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailStep:
    """A step that had passed has failed after all: too many of its children were dropped."""

    step: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Park:
    """Only a human can move it on. `missing` is one line: what is missing, and who must act."""

    reason: ParkReason
    missing: str


@dataclass(frozen=True, slots=True)
class Land:
    """Bring the task's accepted work to main."""

    head: str


@dataclass(frozen=True, slots=True)
class End:
    """The flow is over; `dropped` when a route said so."""

    dropped: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now. `missing` is one line for `status` and `why`; `until` names what moves it on."""

    missing: str
    until: Literal["human", "time", "slot", "hold", "worker", "task"]


Move = ClaimStep | GoTo | FailStep | Park | Land | End | Wait
