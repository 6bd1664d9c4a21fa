"""Runs jobs on an executor and brings their results to the loop's queue. Knows nothing of git or the board."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace

from hqd.core.reviews.autonomy import by_forge, unasked
from hqd.core.secret_scan import redact
from hqd.daemon.forge.faults import meaning
from hqd.daemon.forge.opening import opening
from hqd.daemon.repositories.updating import bring_up
from hqd.daemon.work import attempt
from hqd.daemon.work.job import Job
from hqd.daemon.work.made import clean
from hqd.daemon.work.workshop import Workshop
from hqd.errors import BranchMoved, Expected, HqdError
from hqd.model.attempt import Report
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult
from hqd.model.names import branch
from hqd.model.playbook import StepKind
from hqd.model.record import ReviewState

_TRIES = 5
"""How often in one opening people may move the branch under hqd's hands."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A pull request is open; the loop may now say that the task is in review."""

    task: str
    nonce: str
    review: ReviewState
    gates: tuple[GateResult, ...] = ()  # that let it be opened
    note: str = ""  # what else people should know


Result = Report | Opened


@dataclass(slots=True)
class Running:
    """One job in flight. `doing` is one word for people: copy, agent, gates."""

    job: Job
    stop: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)
    doing: str = "waiting"
    group: str | None = None


class Runner:
    """`start` from the loop only; results come by `deliver`, called from worker threads."""

    def __init__(self, executor: Executor, shop: Workshop, deliver: Callable[[Result], None]) -> None:
        self._executor = executor
        self._shop = shop
        self._deliver = deliver
        self.running: dict[str, Running] = {}

    def start(self, job: Job, group: str | None) -> None:
        entry = Running(job, group=group)
        self.running[job.task.id] = entry
        future = self._executor.submit(self._work, entry)
        future.add_done_callback(lambda done: self._lost(entry, done))

    def done(self, task: str) -> None:
        self.running.pop(task, None)

    def stop(self, task: str) -> None:
        entry = self.running.get(task)
        if entry is not None:
            entry.stop.set()

    def stop_all(self) -> None:
        for entry in self.running.values():
            entry.stop.set()

    def agents(self) -> Counter[str]:
        return Counter(entry.job.agent for entry in self.running.values() if entry.job.agent is not None)

    def groups(self) -> Counter[str]:
        return Counter(entry.group for entry in self.running.values() if entry.group is not None)

    def _work(self, entry: Running) -> Result:
        began = time.monotonic()

        def progress(doing: str) -> None:
            entry.doing = doing

        job = entry.job
        if entry.stop.is_set():
            result: Result = job.ended(Outcome.INTERRUPTED, Failure.INTERRUPTED, "stopped before it began")
        elif job.step.kind is StepKind.REVIEW:
            result = self._review(entry, progress)
        else:
            result = attempt.run(job, self._shop, entry.stop, progress)
        if isinstance(result, Report):
            result = replace(result, wall=time.monotonic() - began)
        self._deliver(result)
        return result

    def _review(self, entry: Running, progress: Callable[[str], None]) -> Result:
        """What people push to the branch meanwhile is theirs: the work is brought together with it, and looked at."""
        theirs = None
        for _ in range(_TRIES):
            try:
                return self._opening(entry, progress, theirs)
            except BranchMoved as moved:
                theirs = moved.found
        said = f"people push to {branch(entry.job.task.id)} faster than the work can be brought together with it"
        return entry.job.ended(Outcome.FAILED, Failure.TRANSIENT, said)

    def _opening(self, entry: Running, progress: Callable[[str], None], theirs: str | None) -> Result:
        """Gates of a review step stand before people: what they stop is not opened. Raises BranchMoved."""
        job = entry.job
        try:
            ready = bring_up(job, self._shop, entry.stop, progress, theirs)
        except Expected as fault:
            return self._unready(entry, fault)
        if isinstance(ready, Report):
            return ready
        job, gates = ready.job, ready.gates
        if job.step.gates or job.step.gates_before:
            checked = attempt.run(ready.judged, self._shop, entry.stop, progress)
            if checked.outcome is not Outcome.PASSED:
                return checked
            gates = (*gates, *checked.gates)
        share = job.task.last.sample if job.task.last is not None else None
        wanted = job.step.review
        if share is not None and not (wanted is not None and by_forge(job.task, wanted, job.rules.settings)):
            return _skipped(job, gates, share)
        try:
            review = self._shop.places(job.repo).forge.open(opening(job, gates, self._shop, theirs, unasked=share))
            if share is None:
                return Opened(job.task.id, job.nonce, review, gates, ready.note)
            if review.number is None:  # a repository on no forge, or on another one
                return _skipped(job, gates, share)
            note = "; ".join(filter(None, (_unasked(share), "hqd merges it", ready.note)))
            return Opened(job.task.id, job.nonce, unasked(review, share), gates, note)
        except BranchMoved:
            raise
        except HqdError as fault:
            what = meaning(fault, job.repo)
            ended = job.ended(what.outcome, what.failure, clean(what.message, self._shop.secrets()))
            return replace(ended, retry_after=what.wait)

    def _unready(self, entry: Running, fault: Expected) -> Report:
        """What kept a review from being made ready is no fault of the work's."""
        if entry.stop.is_set():
            return entry.job.ended(Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
        return entry.job.ended(Outcome.FAILED, Failure.TRANSIENT, clean(fault.message, self._shop.secrets()))

    def _lost(self, entry: Running, done: Future[Result]) -> None:
        """The worker's edge: a bug, or a dead worker process, is recorded and shown, never swallowed."""
        if done.cancelled():
            self._deliver(entry.job.ended(Outcome.INTERRUPTED, Failure.INTERRUPTED, "cancelled"))
            return
        bug = done.exception()
        if bug is not None:
            text, _found = redact(
                "".join(traceback.format_exception(bug)).encode("utf-8", "replace"), self._shop.secrets()
            )
            crashed = entry.job.ended(Outcome.INTERRUPTED, Failure.CRASHED, f"{type(bug).__name__}: {bug}")
            self._deliver(replace(crashed, files={"traceback.txt": text}))


def _skipped(job: Job, gates: tuple[GateResult, ...], share: float) -> Report:
    """The end of a review that people are not asked for: its claim says by which share."""
    return replace(job.ended(Outcome.PASSED, None, _unasked(share)), gates=gates, sample=share)


def _unasked(share: float) -> str:
    return f"skipped by sample: people are asked for {share:g} of this playbook's reviews"
