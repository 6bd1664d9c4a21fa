"""Record v1: one event of one task, with the cursor that follows from it.

Records are append-only: `workspace/runs/YYYY/MM/DD/TASK-ID/NNN-EVENT.toml`. The newest one holds the cursor, so
that a daemon starts by reading one record a task, whatever the task has behind it. History cannot be
back-filled: what issue after issue will want to measure is recorded from the first day.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field

from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateResult
from hqd.model.task import State
from hqd.model.value import Value

RECORD_VERSION = 1


class EventKind(StrEnum):
    """Everything that can happen to a task (`held` and `lifted`: to an agent, a playbook or the HQ)."""

    ACCEPTED = "accepted"
    CLAIMED = "claimed"
    FINISHED = "finished"
    ROUTED = "routed"
    PARKED = "parked"
    RESUMED = "resumed"
    ASKED = "asked"
    ANSWERED = "answered"
    REVIEW_OPENED = "review_opened"
    FEEDBACK = "feedback"
    LANDED = "landed"
    DONE = "done"
    DROPPED = "dropped"
    EDITED = "edited"
    HELD = "held"
    LIFTED = "lifted"


class Via(StrEnum):
    """By which way a person's word came."""

    FILES = "files"
    CLI = "cli"
    FORGE = "forge"
    GIT = "git"


class Person(Value):
    """A git identity."""

    name: str
    email: str


class Pin(Value):
    """The rules that a task runs under: tree of playbooks/, blob of hqd.toml, blobs of the lessons in scope."""

    playbooks: str
    settings: str
    lessons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.playbooks[:12]}:{self.settings[:12]}" + "".join(f":{blob[:12]}" for blob in self.lessons)


class Claim(Value):
    nonce: str
    host: str
    until: datetime


class Usage(Value):
    """Tokens and dollars. `cost` is None where neither the provider nor a price tells."""

    in_: int = Field(default=0, alias="in")
    out: int = 0
    cached: int = 0  # read from the provider's cache, part of the prompt but not of `in`
    cache_write: int = 0
    cost: float | None = None
    requests: int = 0

    @property
    def tokens(self) -> int:
        return self.in_ + self.out + self.cached + self.cache_write


class Merge(Value):
    """Main, or what people pushed there, being merged into a task's work, with conflicts: `commit` is the merge,
    whose files at `paths` hold git's markers; `onto` the commit of the other side. No branch ever names it."""

    commit: str
    onto: str
    paths: tuple[str, ...] = ()


class Work(Value):
    """What an attempt did to files: commit ids, and the path in git of the patch of a failed attempt."""

    base: str
    head: str | None = None
    patch: str | None = None
    files: tuple[str, ...] = ()
    repo: str | None = None  # of `[repos.*]`, whose commits these are; None: the HQ
    merge: Merge | None = None  # of a review step that could not bring the branch up to date: an agent's to resolve


class Finding(Value):
    """What a gate or a person says is wrong, written so that the agent can act on it."""

    source: str  # gate:NAME, human:NAME, route:STEP, agent, hqd
    text: str
    step: str | None = None
    attempt: int | None = None


class OutputRef(Value):
    """A step's accepted output: named by path and blob."""

    path: str
    blob: str
    attempt: int
    n: int
    stale: bool = False
    data: bool = False  # typed output: JSON


class Rungs(Value):
    """How far up its ladder a step is in this round. `rung` -1: not on it yet."""

    rung: int = -1
    used: int = 0


class ReviewState(Value):
    """The pull request that a task waits for."""

    step: str
    branch: str
    head: str
    base: str
    opened: datetime | None = None
    number: int | None = None
    url: str | None = None
    answered: tuple[str, ...] = ()  # ids of review items that an agent was given
    approved: bool = False  # by people, with nothing missing: what `land` says may be done with `head`
    approvers: tuple[str, ...] = ()  # whose word that was
    gone_since: datetime | None = None
    closed_since: datetime | None = None  # seen closed on the forge, and not landed
    taken_up: bool = False  # a person has begun the task anew since it was open: one that was closed is reopened
    asked: tuple[str, ...] = ()  # of `answered`: given to an agent, whose answer is not up for review yet
    replies: dict[str, str] = Field(default_factory=dict)  # item -> the commit that answers it; of the last answer
    reminded: datetime | None = None
    merge: str | None = None  # the head that a person told hqd to merge (`hqd approve`)
    replaced: str | None = None  # the head before a person's commits, where `head` is theirs
    voided: str | None = None  # the last head that was approved, and that main's changes came to before it landed
    sample: float | None = None  # of one that nobody is asked for: the share that people are; hqd merges it
    audit: bool = False  # of an output that gates have stopped: a word on it is a label, nothing of it lands


class Best(Value):
    attempt: int
    n: int
    passed: int
    output: str | None = None


class Trial(Value):
    """One failed try at a step, as much of it as ladder and diagnosis need. Texts are cut."""

    attempt: int
    failure: Failure
    message: str = ""
    fingerprint: str | None = None
    failed: dict[str, str] = Field(default_factory=dict)  # enforcing gate that failed -> its message
    scores: dict[str, tuple[float, ...]] = Field(default_factory=dict)  # gate -> (score, threshold)
    worse: bool = False  # a gate fails that held in the try before


class Phase(StrEnum):
    """Where in its step a task stands. Tells `decide` what comes next; the folder tells people."""

    READY = "ready"  # the step may be claimed
    CLAIMED = "claimed"  # a worker has it
    PASSED = "passed"  # the attempt passed; what follows is not decided yet
    FAILED = "failed"  # the attempt failed; the ladder is not asked yet
    AGAIN = "again"  # interrupted, or refused unseen: the same once more
    REVIEW = "review"
    ASKED = "asked"
    PARKED = "parked"
    ENDED = "ended"


class Cursor(Value):
    """Everything that `decide` needs to know of a task beyond its file. Follows from the events alone."""

    playbook: str | None = None
    source: str | None = None  # the inbox path it came from
    parent: str | None = None
    step: str | None = None
    phase: Phase = Phase.READY
    mode: Literal["first", "retry", "fresh", "agent", "again"] = "first"
    agent: str | None = None  # another agent than the step's own, chosen by the ladder
    round: int = 1
    pin: Pin | None = None
    attempts: dict[str, int] = Field(default_factory=dict)  # numbers given out, per step; never reset
    counted: int = 0  # attempts of this round that count
    rungs: dict[str, Rungs] = Field(default_factory=dict)  # by step, or "step:class" on a class's own ladder
    trials: dict[str, tuple[Trial, ...]] = Field(default_factory=dict)  # the last failed ones of a step
    routes: dict[str, int] = Field(default_factory=dict)  # "step#index" -> used in this round
    outputs: dict[str, OutputRef] = Field(default_factory=dict)
    findings: tuple[Finding, ...] = ()  # for the next attempt of `step`
    answers: dict[str, str] = Field(default_factory=dict)
    children: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    spawned: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # step -> keys of what its children were asked
    borne: float = 0.0  # dollars of children that earlier rounds have paid
    failure: Failure | None = None
    failures: tuple[str, ...] = ()  # "step:class" of this round, in order
    prompts: tuple[str, ...] = ()  # hashes of prompts that failed in this round
    fingerprints: tuple[str, ...] = ()  # progress fingerprints of this round
    gates: dict[str, str] = Field(default_factory=dict)  # gate name -> status, of the last attempt
    best: dict[str, Best] = Field(default_factory=dict)
    last: dict[str, str] = Field(default_factory=dict)  # step -> path of the last output, failed or not
    patch: str | None = None  # the last failed attempt's patch, for `retry` to go on from
    repo: str | None = None  # the target repository that `base` and `head` are commits of; None: the HQ
    base: str | None = None  # where the task's branch began
    head: str | None = None  # its accepted tip
    sample: float | None = None  # of a review that nobody was asked for, until its work has landed: the share
    merge: Merge | None = None  # main's changes that the next attempt is to bring together with the work
    files: tuple[str, ...] = ()  # what its accepted work changed
    landed: str | None = None  # the commit on main that brought it
    review: ReviewState | None = None
    cost: float = 0.0  # dollars, over all rounds
    tokens: int = 0
    spent: float = 0.0  # dollars of this round; caps count within it
    spent_tokens: int = 0
    stalled: float = 0.0  # dollars since the last accepted change of state
    stalled_tokens: int = 0
    reached: tuple[str, ...] = ()  # steps that have passed in this round, since a human last spoke
    repeats: int = 0  # passes, since the last accepted change of state, of steps that had passed before
    step_cost: dict[str, float] = Field(default_factory=dict)  # dollars of this round, per step
    step_tokens: dict[str, int] = Field(default_factory=dict)
    wall: float = 0.0  # seconds in active/
    since: datetime | None = None  # when it entered the present state
    backoff: int = 0  # transient failures in a row
    not_before: datetime | None = None  # backoff, not the author's date
    crashes: int = 0
    deaths: int = 0  # times in a row that hqd itself ended, unasked, while this task was being worked on
    claim: Claim | None = None  # the running attempt's
    reason: ParkReason | None = None
    missing: str | None = None
    edits: int = 0
    decided: dict[str, tuple[dict[str, Any], ...]] = Field(default_factory=dict)  # step -> settled, not yet filed
    filed: int = 0  # decisions of this task that were filed


class Event(Value):
    """What happened, without what follows from it. Which fields a kind needs: `core/transitions.py`."""

    event: EventKind
    to: State
    at: datetime
    by: str = "hqd"
    via: Via | None = None
    pin: Pin | None = None
    playbook: str | None = None
    source: str | None = None
    parent: str | None = None
    snapshot: str | None = None  # the commit whose tree the attempt reads
    step: str | None = None
    attempt: int | None = None
    mode: Literal["first", "retry", "fresh", "agent", "again"] | None = None
    rung: int | None = None
    ladder: str | None = None  # the class whose own ladder the rung is of; None: the common one
    agent: str | None = None
    model: str | None = None
    claim: Claim | None = None
    outcome: Outcome | None = None
    failure: Failure | None = None
    message: str | None = None  # one line for people
    findings: tuple[Finding, ...] = ()
    prompt: str | None = None  # path in git
    prompt_hash: str | None = None
    raw: str | None = None
    output: str | None = None
    output_blob: str | None = None
    output_data: bool = False
    manifest: str | None = None
    usage: Usage | None = None
    wall: float | None = None  # seconds
    stop: str | None = None  # the provider's stop reason, or the exit code
    gates: tuple[GateResult, ...] = ()
    work: Work | None = None
    fingerprint: str | None = None
    retry_after: float | None = None  # seconds
    decisions: tuple[dict[str, Any], ...] = ()
    arm: str | None = None  # of the playbook's experiment
    route: str | None = None  # "step#index", or "ladder"
    reason: ParkReason | None = None
    missing: str | None = None
    answer: str | None = None
    choices: tuple[str, ...] = ()  # what an `asked` question may be answered with; empty: any text
    children: tuple[str, ...] = ()
    spawned: str | None = None  # keys of what `children` were asked, in order, with blanks between; None: no spawn step
    borne: float | None = None  # what children had cost when a new round began
    review: ReviewState | None = None
    items: tuple[str, ...] = ()  # ids of review items in this feedback
    landed: str | None = None  # the commit that landed the work
    head: str | None = None  # the tip of the branch that a person's word on a review was said of
    audit: float | None = None  # share of gate-stopped outputs that people are shown; this one is where `to` is review
    sample: float | None = None  # share of reviews that people are asked for; not for the one that ends or opens here
    label: Literal["accepted", "rejected"] | None = None  # a person's word on an audited output

    @property
    def audited(self) -> bool:
        """An attempt that gates have stopped and that people are shown, to say whether the gates were right."""
        return self.event is EventKind.FINISHED and self.to is State.REVIEW

    def blinded(self) -> Self:
        """As people may see it who have not judged it yet: nothing tells what the gates said."""
        hidden = {"outcome": None, "failure": None, "message": None, "gates": (), "findings": (), "fingerprint": None}
        return self.model_copy(update=hidden)


class Record(Event):
    """An event as it is kept: numbered, placed, and with the cursor after it."""

    v: int = RECORD_VERSION
    n: int
    hqd: str
    host: str
    from_: State | None = Field(default=None, alias="from")
    round: int
    cursor: Cursor


class Hold(Value):
    """What is held, and why: `workspace/holds/NAME.md`."""

    name: str
    on: str  # agent:X | provider:X | playbook:X | forge | hq
    reason: str
    since: datetime
    missing: str
    probe: datetime | None = None  # when hqd may look by itself whether it has lifted
