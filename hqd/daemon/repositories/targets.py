"""Target repositories as the daemon hears of them: fetched while tasks need them, pushed to when work lands there.

An Outside: workers fetch and push, the loop hears of it in its next turn. A repository that cannot be reached is a
hold of that repository (`repo:NAME`), never the fault of a task; the first fetch that succeeds lifts it.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hqd.core.place import repo_of
from hqd.core.routing import choose
from hqd.core.targets import PROBE, hold_name, hold_on, push_hold_name
from hqd.daemon import landings
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.repositories.places import Places
from hqd.daemon.repositories.pushes import Pushes
from hqd.daemon.repositories.pushing import show
from hqd.daemon.rulebook import Rulebook
from hqd.errors import Expected, HqdError, MainMoved, Temporary, joined
from hqd.model.board import Task
from hqd.model.duration import seconds
from hqd.model.failure import Failure, Outcome
from hqd.model.playbook import Playbook
from hqd.model.record import EventKind, Hold
from hqd.model.task import State

if TYPE_CHECKING:
    from hqd.daemon.live import Live

FIRST_RETRY = 2.0
LONGEST_RETRY = 60.0
HELD_AFTER = 2
"""Fetches that fail in a row until the repository is held; a clear no holds it at once."""


@dataclass(slots=True)
class _Known:
    """What is known of one repository. Moments are those of a steady clock, in seconds."""

    tip: str | None = None
    good: float = -1e9  # when the last fetch that succeeded began
    tried: float = -1e9
    failures: int = 0
    fault: HqdError | None = None
    fetching: bool = False
    stale: bool = False  # somebody says that it has moved since the last fetch began
    new: bool = False  # fetched since it was last looked whether something landed
    wanted: frozenset[str] = frozenset()  # tasks
    unshown: dict[str, str] = field(default_factory=dict)  # task -> tip that the remote does not want
    unfilled: tuple[str, ...] = ()  # what copies stay without, as people were told


@dataclass(frozen=True, slots=True)
class _Fetched:
    repo: str
    began: float
    tip: str | None = None
    fault: HqdError | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    unfilled: tuple[str, ...] = ()


class Targets:
    """An Outside. All is called from the loop's thread; `_fetch` and `_push` run in workers."""

    def __init__(
        self,
        places: Places,
        executor: Executor,
        rulebook: Rulebook,
        clock: Callable[[], float] = time.monotonic,
        note: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._places, self._executor, self._rulebook, self._clock = places, executor, rulebook, clock
        self._note = note
        self._known: dict[str, _Known] = {}
        self._home: queue.SimpleQueue[_Fetched] = queue.SimpleQueue()
        self.pushes = Pushes(places, executor, lambda: self._wake(), clock)
        self._now: tuple[datetime, float] | None = None  # the turn's time, and the steady clock's then
        self._live: Live | None = None
        self._wake: Callable[[], None] = lambda: None
        self._closed = False
        self._sought: queue.SimpleQueue[Callable[[str], bool]] = queue.SimpleQueue()

    # ---- as an Outside

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live, self._wake = live, wake

    def before(self, now: datetime) -> None:
        self._now = (now, self._clock())
        while not self._home.empty():
            self._heard(self._home.get())
        while not self._sought.empty():
            self._seek(self._sought.get())
        self.pushes.before()
        self._offer()

    def gather(self, draft: Draft, now: datetime) -> None:
        for repo, fault in self.pushes.gather(draft, now):
            self._trouble(repo, fault)
        new = [repo for repo, known in self._known.items() if known.new]
        if new:
            grace = self._rulebook.current.settings.forge.branch_grace
            landings.check(draft, self._places, grace, now, only=frozenset(new))
        for repo, known in self._known.items():
            self._hold(draft, repo, known, now)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        self.pushes.committed()
        for known in self._known.values():
            known.new = False
        for each in written:
            self._probed(each, now)
        self._fetch_wanted()

    def alarm(self) -> datetime | None:
        waits = [self._due(known) - self._clock() for known in self._known.values() if known.wanted]
        if not waits or self._now is None:
            return None
        now, then = self._now
        return now + timedelta(seconds=self._clock() - then + max(0.05, min(waits)))

    def nudge(self) -> None:
        for known in self._known.values():
            known.tried = known.good = -1e9
        self._fetch_wanted()

    def seek(self, is_meant: Callable[[str], bool]) -> None:
        """The repositories that are meant may have moved: they are fetched in the next turn. From any thread."""
        self._sought.put(is_meant)
        self._wake()

    @property
    def busy(self) -> bool:
        waiting = any(known.wanted and known.fault is not None and not _held(known) for known in self._known.values())
        return waiting or self.pushes.busy or any(known.fetching or known.stale for known in self._known.values())

    def said(self) -> str:
        told = []
        for repo, known in sorted(self._known.items()):
            if known.fault is not None:
                told.append(f"{repo}: {known.fault.message}")
            elif known.tip is not None:
                told.append(f"{repo}: at {known.tip[:12]}")
        return "; ".join(told)

    def close(self) -> None:
        self._closed = True
        self.pushes.close()

    def stuck(self, task: Task, now: datetime) -> bool:
        """Whether its landing is under way, or would be in vain: its repository cannot be reached, or is held."""
        known = self._known.get(task.cursor.repo or "")
        holds = self._live.holds if self._live is not None else {}
        hold = holds.get(push_hold_name(task.cursor.repo or ""))
        held = hold is not None and (hold.probe is None or now < hold.probe)
        return held or self.pushes.under_way(task.id) or (known is not None and known.fault is not None)

    # ---- fetching

    def _seek(self, is_meant: Callable[[str], bool]) -> None:
        """A fetch that is under way may have looked too early; one that failed keeps its pace."""
        for repo, known in self._known.items():
            if known.wanted and not known.failures and is_meant(repo):
                known.stale = True

    def _fetch_wanted(self) -> None:
        live = self._live
        if live is None or self._closed:
            return
        board_rules = self._rulebook
        wanted: dict[str, dict[str, str | None]] = {}
        for task in live.tasks.values():
            repo = _needs(task, board_rules)
            if repo is not None:
                wanted.setdefault(repo, {})[task.id] = _shown(task)
        repos = board_rules.current.settings.repos
        for repo, known in self._known.items():
            known.wanted = frozenset(wanted.get(repo, ()))
        for repo, tasks in wanted.items():
            if repo not in repos:
                continue
            known = self._known.setdefault(repo, _Known())
            known.wanted = frozenset(tasks)
            if not known.fetching and self._due(known) <= self._clock():
                unseen = {
                    task: head for task, head in tasks.items() if head is not None and known.unshown.get(task) != head
                }
                known.fetching, known.stale, known.tried = True, False, self._clock()
                self._executor.submit(self._fetch, repo, unseen, known.tried)

    def _due(self, known: _Known) -> float:
        if known.failures:
            return known.tried + min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** (known.failures - 1))
        if known.stale:
            return known.tried
        return known.good + self._interval()

    def _interval(self) -> float:
        interval: float = seconds(self._rulebook.current.settings.hq.fetch)
        return interval

    def _fetch(self, repo: str, unseen: Mapping[str, str], began: float) -> None:
        """In a worker thread: brings what is new, and shows the branches under review where people work."""
        try:
            place = self._places(repo)
            if place.target is None:
                raise Expected(f"{repo} has no remote")
            place.target.fetch()
            refused = show(place, unseen)
            tip, unfilled = place.branches.main(), place.target.unfilled()
            self._home.put(_Fetched(repo, began, tip=tip, refused=refused, unfilled=unfilled))
        except HqdError as fault:
            self._home.put(_Fetched(repo, began, fault=fault))
        except BaseException as bug:
            self._home.put(_Fetched(repo, began, fault=Expected(f"fetch broke: {type(bug).__name__}: {bug}")))
            raise
        finally:
            self._wake()

    def _trouble(self, repo: str, fault: Expected) -> None:
        """After a landing that did not come through."""
        known = self._known.setdefault(repo, _Known())
        if isinstance(fault, MainMoved):
            known.new = True  # looked at in this very turn
        else:  # the next fetch tells whether it is to be had, and holds the repository if not
            known.fault, known.failures, known.tried = fault, max(1, known.failures), self._clock()

    def _heard(self, came: _Fetched) -> None:
        known = self._known.setdefault(came.repo, _Known())
        known.fetching, known.fault = False, came.fault
        if came.fault is not None:
            known.failures += 1
            return
        known.tip, known.good, known.failures, known.new = came.tip, came.began, 0, True
        known.unshown.update(came.refused)
        for what in came.unfilled:
            if what not in known.unfilled:
                self._note(f"{came.repo}: {what}")
        known.unfilled = came.unfilled

    def _offer(self) -> None:
        """What claims may begin at: mains that were fetched no longer ago than the interval (or a turn or two)."""
        if self._live is None:
            return
        oldest = self._clock() - max(self._interval(), 5.0)
        self._live.targets = {
            repo: known.tip
            for repo, known in self._known.items()
            if known.tip is not None and known.fault is None and known.good >= oldest
        }

    def _hold(self, draft: Draft, repo: str, known: _Known, now: datetime) -> None:
        name = hold_name(repo)
        there = draft.holds.get(name)
        if known.fault is None:
            if there is not None and there.reason != Failure.SETUP.value and known.tip is not None:
                draft.lift(name, now, "hqd", "a fetch succeeded")
        elif there is None and known.wanted and _held(known):
            fault = known.fault
            cause = getattr(fault, "cause", "down")
            missing = joined(f"repository {repo}: {fault.message}", fault.remedy)
            draft.hold(Hold(name=name, on=hold_on(repo), reason=str(cause), since=now, missing=missing), now)

    def _probed(self, each: Written, now: datetime) -> None:
        """After an attempt in a repository whose set-up failed: one that came through lifts the hold."""
        live, event, repo = self._live, each.event, each.after.cursor.repo if each.after is not None else None
        if live is None or repo is None or event.event is not EventKind.FINISHED:
            return
        hold = live.holds.get(hold_name(repo))
        if hold is None or hold.reason != Failure.SETUP.value or hold.since == now:
            return
        if event.failure is Failure.SETUP:
            due = live.probe_at.get(hold.name, hold.probe) or now
            live.probe_at[hold.name] = now + min(timedelta(hours=1), max(PROBE, 2 * (due - hold.since)))
        elif event.outcome is not Outcome.INTERRUPTED:
            live.lifting.add(hold.name)


def _needs(task: Task, rulebook: Rulebook) -> str | None:
    """The repository that must be looked at for this task: it will be worked on, or its review may land."""
    if task.state is State.BLOCKED and task.cursor.review is None:
        return None
    rules = rulebook.at(task.cursor.pin) if task.cursor.pin is not None else rulebook.current
    chosen = rules.playbooks.get(task.cursor.playbook or "") or choose(task, rules)
    return repo_of(task, chosen if isinstance(chosen, Playbook) else None)


def _shown(task: Task) -> str | None:
    """The tip that people are to see on the remote; None: there is none, or a forge shows it."""
    review = task.cursor.review
    if task.state is not State.REVIEW or review is None or review.number is not None or review.head == review.base:
        return None
    return review.head


def _held(known: _Known) -> bool:
    return known.failures >= HELD_AFTER or not isinstance(known.fault, Temporary)
