"""Landings on their way: merged, looked at together with a main that has moved, pushed. Workers do, the loop says.

A landing that is asked for twice is one landing. What came of it stays until the batch that says it is durable.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime

from hqd.core.decide import park
from hqd.core.moves import Park
from hqd.core.recovery import to_mender
from hqd.core.targets import PROBE, push_hold_name
from hqd.daemon import landings
from hqd.daemon.draft import Draft
from hqd.daemon.landings import Merged
from hqd.daemon.people.spool import Reply
from hqd.daemon.repositories.places import Place, Places
from hqd.daemon.repositories.pushing import push_merge
from hqd.daemon.repositories.updating import together
from hqd.daemon.work.job import Job
from hqd.daemon.work.workshop import Workshop
from hqd.errors import Expected, HqdError, MainMoved, RemoteRefused, Temporary, joined
from hqd.model.attempt import Report
from hqd.model.board import Task
from hqd.model.failure import Failure, ParkReason
from hqd.model.record import Event, EventKind, Hold, Person
from hqd.model.task import State

After = tuple[Job, Workshop]
"""What to look with, again, at work that lands by itself."""

LATER = 5.0
"""Seconds until work of the HQ is looked at again where that was not possible."""


@dataclass(frozen=True, slots=True)
class _Landing:
    """One landing; arrived: with `commit`, or `fault`, or a `report` of what does not go together with main.

    Of work in the HQ (`repo` None) only the looking is done here; `seen`: the commit of main that it goes well with.
    """

    task: str
    repo: str | None
    head: str
    person: Person | None = None
    commit: str | None = None
    fault: Expected | None = None
    report: Report | None = None
    seen: str | None = None


class _NotTogether(Expected):
    """Work that lands by itself does not go together with main."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.message)
        self.report = report


class Pushes:
    """All is called from the loop's thread, but `_work`."""

    def __init__(
        self, places: Places, executor: Executor, wake: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._places, self._executor, self._wake, self._clock = places, executor, wake, clock
        self._home: queue.SimpleQueue[_Landing] = queue.SimpleQueue()
        self._landing: dict[str, _Landing] = {}  # by task, until its end is said
        self._arrived: dict[str, _Landing] = {}
        self._asked: dict[str, list[str]] = {}  # task -> requests that wait for its landing
        self._seen: dict[str, tuple[str, str]] = {}  # task -> its tip, and main's commit that it goes well with
        self._later: dict[str, float] = {}
        self._said: list[str] = []
        self._stop = threading.Event()

    def land(
        self,
        task: Task,
        head: str,
        person: Person | None = None,
        request: str | None = None,
        after: After | None = None,
    ) -> None:
        """Brings `head` to its repository's main; a later turn says what came of it.

        Where main has moved, `after` looks at both together first; without it such work goes back to its review.
        """
        if self._stop.is_set():
            return
        if request is not None and request not in self._asked.setdefault(task.id, []):
            self._asked[task.id].append(request)
        if task.id in self._landing:
            return
        self._landing[task.id] = landing = _Landing(task.id, task.cursor.repo, head, person)
        review = task.cursor.review
        base = review.base if review is not None else task.cursor.base or head
        title = " ".join(task.document.title.split())[:120]
        self._executor.submit(self._work, landing, base, title, after)

    def goes_well(self, task: Task, head: str, onto: str) -> bool:
        """Whether it has been looked whether `head` goes together with main's commit `onto`, and it does."""
        return self._seen.get(task.id) == (head, onto)

    def under_way(self, task: str) -> bool:
        return task in self._landing or self._later.get(task, 0.0) > self._clock()

    @property
    def busy(self) -> bool:
        return bool(self._landing) or any(at > self._clock() for at in self._later.values())

    def before(self) -> None:
        while not self._home.empty():
            came = self._home.get()
            self._arrived[came.task] = came

    def gather(self, draft: Draft, now: datetime) -> list[tuple[str, Expected]]:
        """Lays what arrived into the draft; (repository, fault) where a fetch, or a look at its reviews, is to tell."""
        for task, requests in self._asked.items():
            if task not in self._arrived:
                draft.deferred.update(requests)
        self._said = list(self._arrived)
        return [each for arrived in self._arrived.values() for each in self._say(draft, arrived, now)]

    def committed(self) -> None:
        for task in self._said:
            self._arrived.pop(task, None)
            self._landing.pop(task, None)
            self._asked.pop(task, None)
        self._said = []

    def close(self) -> None:
        self._stop.set()

    # ---- in a worker

    def _work(self, landing: _Landing, base: str, title: str, after: After | None) -> None:
        try:
            self._home.put(self._landed(landing, base, title, after))
        except _NotTogether as fault:
            self._home.put(replace(landing, report=fault.report))
        except HqdError as fault:
            expected = fault if isinstance(fault, Expected) else Expected(fault.message, remedy=fault.remedy)
            self._home.put(replace(landing, fault=expected))
        except BaseException as bug:
            self._home.put(replace(landing, fault=Expected(f"landing broke: {type(bug).__name__}: {bug}")))
            raise
        finally:
            self._wake()

    def _landed(self, landing: _Landing, base: str, title: str, after: After | None) -> _Landing:
        place = self._places(landing.repo)
        seen = ""

        def look() -> None:
            nonlocal seen
            seen = self._look(place, landing.head, base, seen, after)

        if place.target is None:
            look()
            return replace(landing, seen=seen)
        commit = push_merge(place, landing.task, base, landing.head, title, landing.person, look)
        return replace(landing, commit=commit)

    def _look(self, place: Place, head: str, base: str, seen: str, after: After | None) -> str:
        drift = place.updates.drift(base, head)
        if drift is None or drift.onto == seen:
            return seen
        if after is None:
            raise MainMoved(str(drift))
        report = together(*after, head, drift, self._stop)
        if report is not None:
            raise _NotTogether(report)
        return drift.onto

    # ---- what came of it

    def _say(self, draft: Draft, arrived: _Landing, now: datetime) -> Iterator[tuple[str, Expected]]:
        task = draft.tasks.get(arrived.task)
        if arrived.seen is not None:
            self._seen[arrived.task] = (arrived.head, arrived.seen)
        elif arrived.commit is not None:
            self._say_landed(draft, arrived, arrived.commit, now)
        elif arrived.report is not None:
            if task is not None and task.state is State.QUEUE:
                _send_back(draft, task, arrived.report, now)
        else:
            yield from self._say_fault(draft, task, arrived, arrived.fault or Expected("it did not land"), now)

    def _say_landed(self, draft: Draft, arrived: _Landing, commit: str, now: datetime) -> None:
        requests = self._asked.get(arrived.task, [])
        landings.say(draft, Merged(arrived.task, commit, arrived.person, requests[0] if requests else None), now)
        for request in requests[1:]:
            draft.replies[request] = draft.replies[requests[0]]
        draft.lift(push_hold_name(arrived.repo or ""), now, "hqd", "it took a push")

    def _say_fault(
        self, draft: Draft, task: Task | None, arrived: _Landing, fault: Expected, now: datetime
    ) -> Iterator[tuple[str, Expected]]:
        requests = self._asked.get(arrived.task, [])
        for request in requests:
            draft.replies[request] = Reply(False, fault.message, fault.remedy, fault.exit_code)
        if task is None or task.state not in (State.QUEUE, State.REVIEW):
            return
        if isinstance(fault, Temporary):
            if arrived.repo is not None:
                yield arrived.repo, fault
            self._later[arrived.task] = self._clock() + LATER
        elif isinstance(fault, RemoteRefused) and fault.cause != "policy":
            if not requests:
                draft.hold(_push_hold(arrived.repo or "", fault, now), now)
        else:
            draft.happen(task, landings.refused(task, fault, now))


def _send_back(draft: Draft, task: Task, report: Report, now: datetime) -> None:
    """Work that was to land by itself: to the agent who made it, with main's changes; then to a human."""
    playbook = draft.board.playbook_of(task)
    if playbook is None:
        return
    if report.failure is Failure.GATE_ERROR:
        draft.happen(task, park(ParkReason.GATE_ERROR, f"a gate cannot judge: {report.message}", now, task))
        return
    cursor = task.cursor.model_copy(update={"findings": report.findings})
    move = to_mender(cursor, playbook, len(playbook.steps), None, "landing#main", report.message)
    if isinstance(move, Park):
        draft.happen(task, park(move.reason, move.missing, now, task))
        return
    event = Event(
        event=EventKind.ROUTED,
        to=State.QUEUE,
        at=now,
        step=move.step,
        route=move.key,
        findings=move.findings,
        items=move.stale,
        work=report.work,
        gates=report.gates,
        message=report.message,
    )
    draft.happen(task, event)


def _push_hold(repo: str, fault: RemoteRefused, now: datetime) -> Hold:
    missing = joined(f"repository {repo}: {fault.message}", fault.remedy)
    name, on = push_hold_name(repo), f"push:{repo}"
    return Hold(name=name, on=on, reason=fault.cause, since=now, missing=missing, probe=now + PROBE)
