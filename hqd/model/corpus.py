"""The corpus: what git history tells of every event, every attempt and every word of a person, as frozen values.

Order is main's first-parent line, never a date that an author wrote. What was recorded is here as it was recorded;
what follows from it (labels) is named with its reason and with the place in the line at which it became known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from hqd.model.gate import GateResult
from hqd.model.record import Finding, Pin, Usage


class PastEvent(NamedTuple):
    """One event of one task, with the commit that it came by. Words are those of the record (`finished`, `passed`).

    `order` is its place on main's first-parent line. Of a `finished` event, `playbook` and `pin` are its claim's.
    """

    order: int
    commit: str
    task: str
    n: int  # number of the record in its task
    event: str
    at: float  # seconds since 1970, as the record says
    was: str  # state before
    to: str  # state after
    round: int
    by: str
    via: str | None  # files, cli, forge, git: a person's word; None: hqd's own doing
    step: str | None
    attempt: int | None
    playbook: str | None
    pin: str | None  # ids joined by `:` (playbooks, settings, lessons), unshortened
    agent: str | None
    model: str | None
    outcome: str | None
    failure: str | None
    reason: str | None
    output: str | None  # path in git
    output_blob: str | None
    cost: float  # dollars
    tokens: int
    record: str  # path in git
    record_blob: str
    rest: str  # JSON: everything else that the record says beside its cursor, by the record's own keys

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    @property
    def human(self) -> bool:
        """A person said or did it."""
        return self.via is not None

    @property
    def details(self) -> dict[str, Any]:
        """`message, mode, rung, ladder, snapshot, prompt, prompt_hash, raw, manifest, wall, stop, usage, gates, work,
        findings, review, items, route, children, source, parent, landed, head, missing, answer, …`: what was said."""
        found: dict[str, Any] = json.loads(self.rest)
        return found

    @property
    def gates(self) -> tuple[GateResult, ...]:
        return tuple(GateResult.model_validate(each) for each in self.details.get("gates", ()))

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(Finding.model_validate(each) for each in self.details.get("findings", ()))

    @property
    def usage(self) -> Usage:
        return Usage.model_validate(self.details.get("usage", {}))

    @property
    def pinned(self) -> Pin | None:
        if self.pin is None:
            return None
        playbooks, settings, *lessons = self.pin.split(":")
        return Pin(playbooks=playbooks, settings=settings, lessons=tuple(lessons))


class Attempt(NamedTuple):
    """One finished try at a step. `claim` None: its record is missing (see the remarks)."""

    claim: PastEvent | None
    end: PastEvent


class Change(NamedTuple):
    """One commit of main that touches files beside workspace/: a landing, a revert, a person's work."""

    order: int
    commit: str
    at: float  # committer's date, seconds since 1970
    author: str
    subject: str
    reverts: tuple[str, ...]  # commits named in `This reverts commit …`
    work: str | None  # the task of a `Hqd-Work` trailer
    files: tuple[tuple[str, str | None, str | None], ...]  # (path, blob before, blob after); None: not there


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that could not be read, and what that means for figures. `code`: shallow, redacted, missing_blob,
    unreadable_record, unplaced, rewritten."""

    code: str
    message: str
    where: str = ""  # path or commit


@dataclass(frozen=True, slots=True)
class Past:
    """History as of one commit, as far as it is here."""

    tip: str
    events: Sequence[PastEvent]  # in order
    changes: Sequence[Change] = ()
    remarks: Sequence[Remark] = ()
    last: int = -1  # order of the tip

    def attempts(self) -> Iterator[Attempt]:
        """All finished attempts, in order of their ends."""
        claims: dict[tuple[str, str | None, int | None], PastEvent] = {}
        for each in self.events:
            if each.event == "claimed":
                claims[each.task, each.step, each.attempt] = each
            elif each.event == "finished":
                yield Attempt(claims.pop((each.task, each.step, each.attempt), None), each)

    def tasks(self) -> dict[str, list[PastEvent]]:
        """Events by task, each in order; tasks in order of their first event."""
        found: dict[str, list[PastEvent]] = {}
        for each in self.events:
            found.setdefault(each.task, []).append(each)
        return found


class Label(StrEnum):
    """A person's verdict on one output. `gated`: a gate or an agent reviewer stopped it and nobody saw it."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"
    GATED = "gated"
    UNKNOWN = "unknown"

    @property
    def decided(self) -> bool:
        return self in (Label.ACCEPTED, Label.EDITED, Label.REJECTED)


class Verdict(NamedTuple):
    """A label with where it comes from. It was not known before place `order` of the line."""

    label: Label
    source: str  # approved, landed, requested_changes, rejected, dropped, branch_gone, reverted, edited_later, gate, …
    reason: str  # the person's words, or what happened
    order: int
    at: float  # seconds since 1970
    by: str = ""
    size: int = 0  # lines added and removed by the person, of an edited one
    became: str | None = None  # blob of the file as the person left it, of an edited one


class Case(NamedTuple):
    """One output of one finished attempt, with its label as known at the revision that was asked for."""

    task: str
    n: int
    step: str
    attempt: int
    order: int  # of the finished event
    commit: str
    at: float
    playbook: str | None
    agent: str | None
    model: str | None
    outcome: str
    failure: str | None
    path: str  # of the output in git
    blob: str
    cluster: str  # `task:ID` (also: with its children), `schedule:NAME`, `text:BLOB`: siblings are one case
    label: Label
    source: str
    reason: str
    known: int  # order at which the label became known
    known_at: float
    size: int  # of an edit, lines
    seen: bool  # a person had this very blob before them
    cost: float
    pin: str | None
    probability: float = 1.0  # with which it came before a person; an audited one weighs 1 / probability
    corrected: str | None = None  # blob that a person took instead: the next accepted output, or the edited file
    red: str = ""  # names of gates of any level that failed on it, with commas between


@dataclass(frozen=True, slots=True)
class Corpus:
    """All cases as of one commit, in order, with labels read at that commit and stored before any gate runs."""

    tip: str
    last: int
    cases: Sequence[Case]
    remarks: Sequence[Remark] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
