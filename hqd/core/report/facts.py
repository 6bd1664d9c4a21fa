"""What the numbers are made of: one small value for each event of a task, without prompt, output and cursor.

Ten thousand tasks are some hundred and fifty thousand of these, so what is not looked at is not parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

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


class Fact(NamedTuple):
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


_KINDS = {each.value: each for each in EventKind}
_STATES = {each.value: each for each in State}
_OUTCOMES: dict[str | None, Outcome | None] = {None: None, **{each.value: each for each in Outcome}}
_FAILURES: dict[str | None, Failure | None] = {None: None, **{each.value: each for each in Failure}}
_REASONS: dict[str | None, ParkReason | None] = {None: None, **{each.value: each for each in ParkReason}}
_VIAS: dict[str | None, Via | None] = {None: None, **{each.value: each for each in Via}}
_FINISHED = EventKind.FINISHED.value
_NOTHING: Mapping[str, Any] = {}
_WORD = {
    EventKind.CLAIMED.value: re.compile(r'"(mode)":"(\w+)"'),
    EventKind.ROUTED.value: re.compile(r'"(route)":"([^"\\]+)"'),
    EventKind.FEEDBACK.value: re.compile(r'"(label)":"(\w+)"'),
    EventKind.REVIEW_OPENED.value: re.compile(r'"(sample)":([-+.0-9eE]+)'),
}
"""The one word of a record's rest that the numbers need, by event. No text looks like it: there, quotes are escaped."""


def facts_of(events: Iterable[PastEvent]) -> dict[str, list[Fact]]:
    """The facts of history by task, each task's in the order of its records."""
    found: dict[str, list[Fact]] = {}
    for event in events:
        found.setdefault(event.task, []).append(_fact(event))
    return found


def _fact(event: PastEvent) -> Fact:
    (
        _order, _commit, task, n, kind, at, _was, to, _round, by, via, step, attempt, playbook, pin, agent, model,
        outcome, failure, reason, _output, _blob, cost, tokens, _record, _record_blob, text,
    ) = event  # fmt: skip
    rest = _rest(kind, text)
    usage = rest.get("usage")
    return Fact(
        task,
        n,
        _KINDS[kind],
        _STATES[to],
        datetime.fromtimestamp(at, UTC),
        by,
        _VIAS[via],
        step,
        attempt,
        rest.get("mode"),
        agent,
        model,
        _OUTCOMES[outcome],
        _FAILURES[failure],
        _REASONS[reason],
        rest.get("route"),
        playbook,
        cost if cost or (usage is not None and usage.get("cost") is not None) else None,
        tokens,
        rest.get("wall"),
        tuple([_verdict(*_words(gate)) for gate in rest["gates"]]) if "gates" in rest else (),
        pin,
        rest.get("audit"),
        float(rest["sample"]) if "sample" in rest else None,
        rest.get("label"),
    )


def _rest(kind: str, text: str) -> Mapping[str, Any]:
    """What the numbers need of the rest of a record."""
    if kind == _FINISHED:
        found: dict[str, Any] = json.loads(text)
        return found
    word = _WORD.get(kind)
    match = word.search(text) if word is not None else None
    return {match[1]: match[2]} if match is not None else _NOTHING


def _words(gate: dict[str, Any]) -> tuple[str, str, str, str]:
    return gate["name"], gate["kind"], gate.get("level", Level.ENFORCE.value), gate["status"]


@lru_cache(maxsize=4096)
def _verdict(name: str, kind: str, level: str, status: str) -> Verdict:
    return Verdict(name, kind, Level(level), GateStatus(status))
