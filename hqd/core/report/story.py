"""One task's facts told as a story: its tries, what people said of it, how it ended. Pure.

A try is one attempt with a result. What people said counts as of a review; a person's `retry` and `answer` are help,
not a judgement. Nobody's word: `hqd` merging by itself, and a review that was skipped by sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from hqd.core.evolve import UNCOUNTED
from hqd.core.report.facts import Fact, Verdict
from hqd.model.corpus import Case, Label
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.record import EventKind, Via
from hqd.model.task import State


class Cause(StrEnum):
    """Why a step is tried again."""

    FAILED = "a failed try"
    ROUTE = "a route back"
    PERSON = "a person's word"
    AGAIN = "not the agent's fault"


class Word(StrEnum):
    """What a person said of work under review."""

    ACCEPTED = "accepted"
    CHANGES = "changes requested"
    REJECTED = "rejected"


class Try(NamedTuple):
    """One attempt that has a result. `counted`: the agent was asked and its work was judged."""

    task: str
    playbook: str
    step: str
    attempt: int
    at: datetime
    agent: str | None
    model: str | None
    mode: str
    passed: bool
    counted: bool
    first: bool  # the first that counts, of this step of this task
    failure: Failure | None
    cause: Cause | None  # None: a first try
    cost: float | None
    wall: float | None
    gates: tuple[Verdict, ...]
    audit: float | None = None
    audited: bool = False

    @property
    def stopped_by(self) -> tuple[Verdict, ...]:
        return tuple(gate for gate in self.gates if gate.stops)


@dataclass(frozen=True, slots=True)
class Said:
    """A person's word on a review. `waited`: seconds since the review was opened."""

    at: datetime
    word: Word
    waited: float | None


@dataclass(slots=True)
class Story:
    """Everything of one task that the numbers look at."""

    task: str
    facts: tuple[Fact, ...]
    playbook: str = ""
    tries: list[Try] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    labels: dict[tuple[str, int], str] = field(default_factory=dict)  # (step, attempt) audited -> label
    skipped: list[datetime] = field(default_factory=list)  # reviews that nobody was asked for
    helped: int = 0  # times that a person un-parked or answered it
    parks: list[ParkReason] = field(default_factory=list)
    accepted_at: datetime | None = None
    ended_at: datetime | None = None
    in_state: dict[State, float] = field(default_factory=dict)  # seconds
    spoiled: str | None = None  # accepted work that a person edited or took back: how

    @property
    def state(self) -> State:
        return self.facts[-1].to if self.facts else State.INBOX

    @property
    def decided(self) -> bool:
        """An output of it reached a person, who said something of it or changed it."""
        return bool(self.said) or self.spoiled is not None

    @property
    def clean(self) -> bool:
        """A person accepted it, and nobody had to change anything, then or later."""
        words = [each.word for each in self.said]
        return bool(words) and self.spoiled is None and all(word is Word.ACCEPTED for word in words)

    @property
    def cost(self) -> float:
        return sum(each.cost or 0.0 for each in self.tries)

    @property
    def last(self) -> datetime:
        """When anything last happened to it."""
        return self.facts[-1].at

    def since(self, begin: datetime | None) -> list[Try]:
        """Its tries that ended at `begin` or later."""
        return self.tries if begin is None else [each for each in self.tries if each.at >= begin]

    @property
    def took(self) -> float | None:
        """Seconds from its drop to its end."""
        if self.accepted_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.accepted_at).total_seconds())


_PEOPLE = frozenset({State.REVIEW, State.BLOCKED})


def stories(facts: Mapping[str, Sequence[Fact]], cases: Iterable[Case] = ()) -> tuple[Story, ...]:
    """The stories of tasks, each from its facts in order. `cases`: outputs with labels, for edits and reverts."""
    spoiled = {
        case.task: case.source
        for case in cases
        if case.label in (Label.EDITED, Label.REJECTED) and case.source != "audit"
    }
    told = tuple(story(task, each) for task, each in facts.items() if each)
    for each in told:
        each.spoiled = spoiled.get(each.task)
    return told


def story(task: str, facts: Iterable[Fact]) -> Story:
    """The story of one task."""
    return _Telling(Story(task, tuple(facts))).tell()


@dataclass(slots=True)
class _Telling:
    it: Story
    claim: Fact | None = None
    opened: datetime | None = None
    unasked: bool = False  # the open review is one that nobody is asked for
    audit: tuple[str, int] | None = None  # the audited try that a person looks at
    tried: set[str] = field(default_factory=set)  # steps with a try that counts
    sent_back: dict[str, Cause] = field(default_factory=dict)
    before: Fact | None = None

    def tell(self) -> Story:
        for fact in self.it.facts:
            self._pass_time(fact)
            if fact.playbook is not None:
                self.it.playbook = fact.playbook
            self._see(fact)
            self.before = fact
        return self.it

    def _pass_time(self, fact: Fact) -> None:
        if self.before is not None:
            spent = max(0.0, (fact.at - self.before.at).total_seconds())
            state = self.before.to
            self.it.in_state[state] = self.it.in_state.get(state, 0.0) + spent

    def _see(self, fact: Fact) -> None:
        kind = fact.event
        if kind is EventKind.CLAIMED:
            self.claim = fact
        elif kind is EventKind.FINISHED:
            self._tried(fact)
        elif kind in (EventKind.REVIEW_OPENED, EventKind.FEEDBACK, EventKind.LANDED, EventKind.PARKED):
            self._reviewed(fact)
        elif kind is EventKind.ROUTED:
            self.sent_back[fact.step or ""] = Cause.ROUTE
        elif kind in (EventKind.RESUMED, EventKind.ANSWERED):
            self.it.helped += 1
            self.sent_back[fact.step or self._step()] = Cause.PERSON
        elif kind is EventKind.ACCEPTED:
            self.it.accepted_at = fact.at
        elif kind in (EventKind.DONE, EventKind.DROPPED):
            self.it.ended_at = fact.at
            reviewed = self._state() is State.REVIEW and self.audit is None
            if kind is EventKind.DROPPED and fact.human and reviewed:
                self._say(fact, Word.REJECTED)

    def _step(self) -> str:
        return self.claim.step or "" if self.claim is not None else ""

    def _state(self) -> State | None:
        return self.before.to if self.before is not None else None

    def _tried(self, fact: Fact) -> None:
        if fact.sample is not None and fact.outcome is Outcome.PASSED:
            self.it.skipped.append(fact.at)
        step, claim = fact.step or "", self.claim
        agent = fact.agent or (claim.agent if claim is not None else None)
        counted = fact.outcome in (Outcome.PASSED, Outcome.FAILED) and fact.failure not in UNCOUNTED
        first = counted and step not in self.tried
        mode = (claim.mode if claim is not None and claim.mode else None) or "first"
        self.it.tries.append(
            Try(
                task=self.it.task,
                playbook=self.it.playbook,
                step=step,
                attempt=fact.attempt or 0,
                at=fact.at,
                agent=agent,
                model=fact.model,
                mode=mode,
                passed=fact.outcome is Outcome.PASSED,
                counted=counted,
                first=first,
                failure=fact.failure,
                cause=self._cause(step, mode),
                cost=fact.cost,
                wall=fact.wall,
                gates=fact.gates,
                audit=fact.audit,
                audited=fact.to is State.REVIEW,
            )
        )
        self.sent_back.pop(step, None)
        if counted:
            self.tried.add(step)
        if fact.to is State.REVIEW:
            self.audit, self.opened = (step, fact.attempt or 0), fact.at

    def _cause(self, step: str, mode: str) -> Cause | None:
        if mode == "again":
            return Cause.AGAIN
        if step not in self.tried:
            return None
        return self.sent_back.get(step, Cause.FAILED)

    def _reviewed(self, fact: Fact) -> None:
        kind = fact.event
        if kind is EventKind.REVIEW_OPENED:
            self.unasked = fact.sample is not None
            self.opened = None if self.unasked else fact.at
            if self.unasked:
                self.it.skipped.append(fact.at)
        elif kind is EventKind.LANDED:
            if fact.human and not self.unasked:
                self._say(fact, Word.ACCEPTED)
        elif kind is EventKind.FEEDBACK:
            self._fed_back(fact)
        elif fact.reason is ParkReason.REVIEW_REJECTED:
            self._say(fact, Word.REJECTED)
        elif fact.reason is not None:
            self.it.parks.append(fact.reason)

    def _fed_back(self, fact: Fact) -> None:
        if fact.label is not None:
            if self.audit is not None:
                self.it.labels[self.audit] = fact.label
            self.audit = self.opened = None
        elif fact.to is State.REVIEW:
            self.unasked = self.unasked and fact.via is not Via.CLI
            return  # news of the branch; what a person changed there is told by the labels of the outputs
        elif fact.outcome is Outcome.PASSED:
            self._say(fact, Word.ACCEPTED)
        else:
            self.sent_back[fact.step or ""] = Cause.PERSON
            self._say(fact, Word.CHANGES)

    def _say(self, fact: Fact, word: Word) -> None:
        self.unasked = False
        waited = None if self.opened is None else max(0.0, (fact.at - self.opened).total_seconds())
        self.it.said.append(Said(fact.at, word, waited))
        self.opened = None
