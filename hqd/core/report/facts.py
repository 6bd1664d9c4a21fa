"""What the numbers are made of: one small value for each event of a task, without prompt, output and cursor.

Ten thousand tasks are some hundred and fifty thousand of these, so what is not looked at is not parsed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from hqd.model.corpus import PastEvent
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateStatus, Level
from hqd.model.record import EventKind, Record, Via
from hqd.model.task import State

LESSON = "lesson:"
"""How the name of a gate begins that a lesson brought."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate said of one attempt."""

    name: str
    kind: str
    level: Level
    status: GateStatus

    @property
    def stops(self) -> bool:
        return self.level is Level.ENFORCE and self.status in (GateStatus.FAIL, GateStatus.ERROR)

    @property
    def lesson(self) -> str | None:
        """The id of the lesson that the gate is of."""
        return self.name.removeprefix(LESSON) if self.name.startswith(LESSON) else None


@dataclass(frozen=True, slots=True)
class Fact:
    """One event. `cost` in dollars, None where nobody told; `wall` in seconds."""

    task: str
    n: int
    event: EventKind
    to: State
    at: datetime
    by: str = "hqd"
    via: Via | None = None
    step: str | None = None
    attempt: int | None = None
    mode: str | None = None
    agent: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    reason: ParkReason | None = None
    route: str | None = None
    playbook: str | None = None
    cost: float | None = None
    tokens: int = 0
    wall: float | None = None
    gates: tuple[Verdict, ...] = ()
    pin: str | None = None
    audit: float | None = None
    sample: float | None = None
    label: str | None = None

    @property
    def human(self) -> bool:
        """A person's word, by whatever way it came."""
        return self.via is not None


def fact_of(task: str, record: Record) -> Fact:
    """The small value of a whole record."""
    usage = record.usage
    return Fact(
        task=task,
        n=record.n,
        event=record.event,
        to=record.to,
        at=record.at,
        by=record.by,
        via=record.via,
        step=record.step,
        attempt=record.attempt,
        mode=record.mode,
        agent=record.agent,
        model=record.model,
        outcome=record.outcome,
        failure=record.failure,
        reason=record.reason,
        route=record.route,
        playbook=record.playbook,
        cost=usage.cost if usage is not None else None,
        tokens=usage.tokens if usage is not None else 0,
        wall=record.wall,
        gates=tuple(Verdict(each.name, each.kind, each.level, each.status) for each in record.gates),
        pin=str(record.pin) if record.pin is not None else None,
        audit=record.audit,
        sample=record.sample,
        label=record.label,
    )


_CLAIMED, _FINISHED, _ROUTED = EventKind.CLAIMED.value, EventKind.FINISHED.value, EventKind.ROUTED.value
_TELLING = {
    _CLAIMED: ("mode",),
    _FINISHED: ("wall", "gates", "audit", "sample", "mode", "usage"),
    _ROUTED: ("route",),
    EventKind.FEEDBACK.value: ("label",),
    EventKind.REVIEW_OPENED.value: ("sample",),
}
"""What the numbers need of the rest of a record, by event."""


def facts_of(events: Iterable[PastEvent]) -> dict[str, list[Fact]]:
    """The facts of history by task, each task's in the order of its records."""
    found: dict[str, list[Fact]] = {}
    for event in events:
        found.setdefault(event.task, []).append(_fact(event))
    return found


def _fact(event: PastEvent) -> Fact:
    wanted = _TELLING.get(event.event, ())
    rest: dict[str, Any] = json.loads(event.rest) if wanted and event.rest != "{}" else {}
    usage = rest.get("usage")
    return Fact(
        task=event.task,
        n=event.n,
        event=EventKind(event.event),
        to=State(event.to),
        at=event.moment,
        by=event.by,
        via=Via(event.via) if event.via is not None else None,
        step=event.step,
        attempt=event.attempt,
        mode=rest.get("mode"),
        agent=event.agent,
        model=event.model,
        outcome=Outcome(event.outcome) if event.outcome is not None else None,
        failure=Failure(event.failure) if event.failure is not None else None,
        reason=ParkReason(event.reason) if event.reason is not None else None,
        route=rest.get("route"),
        playbook=event.playbook,
        cost=event.cost if event.cost or (usage or {}).get("cost") is not None else None,
        tokens=event.tokens,
        wall=rest.get("wall"),
        gates=tuple(_verdict(*_words(gate)) for gate in rest.get("gates", ())),
        pin=event.pin,
        audit=rest.get("audit"),
        sample=rest.get("sample"),
        label=rest.get("label"),
    )


def _words(gate: dict[str, Any]) -> tuple[str, str, str, str]:
    return gate["name"], gate["kind"], gate.get("level", Level.ENFORCE.value), gate["status"]


@lru_cache(maxsize=4096)
def _verdict(name: str, kind: str, level: str, status: str) -> Verdict:
    return Verdict(name, kind, Level(level), GateStatus(status))
