"""The loop: look, decide, append, act. One thread; the only writer of main.

Law: level-triggered. A turn looks at everything that may have changed and may be called at any time; wake-ups
are hints. What is not in a durable batch has not happened: a refused batch is thrown away whole, and the same
results, acts and words are looked at again in the next turn.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hqd.codec import layout
from hqd.core.decide import LandWork, Start, throttled
from hqd.core.flow import next_label
from hqd.core.limits.rate import remembered
from hqd.daemon import landings
from hqd.daemon.alarms import alarms, probe_now, probed, resting
from hqd.daemon.batch import Batch, utc
from hqd.daemon.book import Book
from hqd.daemon.deciding import decide_all
from hqd.daemon.draft import Draft
from hqd.daemon.following import Foreign, follow, history_held
from hqd.daemon.kin import ANYTHING, Kin
from hqd.daemon.live import Live
from hqd.daemon.merging import Merging
from hqd.daemon.news import tell
from hqd.daemon.outside import Outsides
from hqd.daemon.parts import Parts
from hqd.daemon.people import acts, desk, edits, intake, spool
from hqd.daemon.people.intake import Door
from hqd.daemon.people.obstacles import PATIENCE, Obstacles
from hqd.daemon.people.spool import Request
from hqd.daemon.people.words import Speaker
from hqd.daemon.schedules import Schedules
from hqd.daemon.work import reports
from hqd.daemon.work.job import Job
from hqd.daemon.work.runner import Opened, Result, Runner
from hqd.daemon.work.values import Values
from hqd.errors import CannotCommit, PathsInUse, RepositoryBusy, StaleHead
from hqd.model.board import Board, Slots, Task
from hqd.model.change import WorkingTree
from hqd.model.duration import seconds
from hqd.model.problem import Problem
from hqd.model.record import Hold, Via

RETRY = 0.25
"""Seconds until the next turn when a lock or a person was in the way."""

DISK_RETRY = 5.0
DISK_HOLD = "disk"


class Loop:
    """`turn` does one round and returns after how many seconds it wants another, whatever wakes it before."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.pid = parts.pid
        self.inbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self.values = Values(parts.history)
        self.live = Live(parts.host, parts.seed, self.values, parts.private)
        self.book = Book()
        self.kin = Kin(self.book)
        self.schedules = Schedules(parts.history)
        self.merging = Merging(parts, self.live)
        self.outsides = Outsides(parts.outsides)
        self.runner = Runner(parts.executor, parts.shop, self._take)
        self.on_result: Callable[[], None] = lambda: None
        self.results: dict[str, Result] = {}
        self.whole: set[str] = set()  # paths that arrived whole, as the watcher saw
        self.stopping = False
        self.idle = False
        self._foreign: Foreign | None = None
        self._reviewed = 0.0
        self._obstacles = Obstacles()
        self._touched: dict[str, list[str]] = {}  # of the last batch: path -> tasks
        self._disk_since = 0.0
        self._keeps: dict[str, str | None] = {}

    def _take(self, result: Result) -> None:
        """From a worker thread: a result has come home."""
        self.inbox.put(result)
        self.on_result()

    def open(self) -> None:
        """Reads main for the first time. Raises Misconfigured where no rules can be had."""
        self.live.load_local()
        tree = self.parts.ledger.snapshot()
        self.parts.rulebook.refresh(tree)
        self._foreign = follow(self.live, self.book, self.parts, tree, self.parts.last_tip())
        probe_now(self.live, self.parts.clock.now())
        self.live.started = remembered(self.live.tasks.values())
        self._new_day(self.parts.clock.now())
        self.merging.open()
        self.outsides.open(self.live, lambda: self.on_result())

    def turn(self) -> float:
        """Looks, decides, appends, acts; seconds until it wants to be called again."""
        now = utc(self.parts.clock.now())
        while not self.inbox.empty():
            result = self.inbox.get()
            self.results[f"{result.task}/{result.nonce}"] = result
        self._new_day(now)
        self.live.stopping = self.stopping
        try:
            return self._turn(now)
        except StaleHead:
            return 0.0
        except PathsInUse as fault:
            return self._keep_off(fault)
        except RepositoryBusy as fault:
            self._busy(fault.cause, fault.message)
            return RETRY
        except CannotCommit as fault:
            return self._cannot_commit(fault, now)

    def _turn(self, now: datetime) -> float:
        if self._history_held():
            return 1.0
        self.outsides.before(now)
        working = self.parts.checkout.look()
        self._busy(working.busy, working.busy_message)
        if working.busy is not None and working.busy != "index_lock":
            return 1.0
        tree = self.parts.ledger.snapshot()
        if tree.commit != self.live.tip:
            self._foreign = follow(self.live, self.book, self.parts, tree, self.live.tip or None)
            if self._history_held():
                return 1.0
        if working.busy is None:
            self.parts.followed(tree)
        self._obstacles.pass_by()
        requests = spool.waiting(self.parts.private)
        if time.monotonic() - self._disk_since >= DISK_RETRY:
            self.live.lift_locally(DISK_HOLD)
        self.merging.point()
        requests = tuple(self.merging.approved(requests, self._board(Slots(), now), now))
        draft = self._draft(now)
        wait = self._gather(draft, working, requests, now)
        lands = self._decide(draft, now)
        self._commit(draft, now)
        self.live.problems = draft.problems
        lands = self.merging.hand_over(lands, now)
        for each in lands[:1]:
            self._land(each, now)
        return self._rest(wait, bool(lands or self.merging.merged), now)

    def _rest(self, wait: float | None, more: bool, now: datetime) -> float:
        if more or not self.inbox.empty():
            self.idle = False
            return 0.0
        rate = throttled(self._board(Slots(frozenset(self.runner.running)), now), now)
        self.idle = (
            wait is None
            and rate is None
            and not self.runner.running
            and not self.results
            and self.live.busy is None
            and not self.outsides.busy
            and resting(self.live, now)
        )
        soon = [seconds(self.parts.rulebook.current.settings.hq.rescan)]
        soon += [PATIENCE] if self._obstacles.paths else []
        moments = (
            *alarms(self.live),
            *self.schedules.alarms(),
            *self.outsides.alarms(),
            *([rate] if rate is not None else ()),
        )
        soon += [max(0.02, (at - now).total_seconds()) for at in moments if at > now]
        return min(soon) if wait is None else min(*soon, max(0.02, wait))

    def running_rows(self) -> list[tuple[str, str, int, str, float]]:
        """What is in flight: (task id, step, attempt, doing, seconds)."""
        return [
            (name, entry.job.step.name, entry.job.attempt, entry.doing, time.monotonic() - entry.since)
            for name, entry in list(self.runner.running.items())
        ]

    def all_problems(self) -> list[Problem]:
        """What is wrong now: files in the working tree, task files on main, rules that are not in force."""
        on_main = [problem for each in self.live.task_problems.values() for problem in each]
        return [*self.live.problems.values(), *on_main, *self.parts.rulebook.problems]

    def give_up_running(self) -> None:
        """At the very end: attempts whose workers did not come home are recorded as interrupted without them."""
        for name in list(self.runner.running):
            self.runner.done(name)

    def _gather(self, draft: Draft, working: WorkingTree, requests: Sequence[Request], now: datetime) -> float | None:
        """Everything that may have happened outside, into the draft. Seconds until a file may have settled."""
        person = self.parts.person()
        by_hand, by_git = Speaker(person, Via.FILES), Speaker(person, Via.GIT)
        inbox = self.parts.rulebook.current.settings.inbox
        whole, settle = frozenset(self.whole), seconds(inbox.settle)
        tree = self.parts.ledger.snapshot()
        draft.notes = {
            each.path: each.blob
            for each in working.differences
            if layout.is_note(each.path) and each.kind != "added" and not each.staged and each.age >= settle
        }
        if self._foreign is not None:
            before, reading, old = self._foreign
            acts.from_commits(draft, before, reading, tree, old, self.book, by_git, now)
        gone = self._obstacles.gone_for(working.differences)
        table = acts.Desk(self.parts.checkout, self.book, settle, inbox.max_bytes, gone)
        differences = tuple(each for each in working.differences if each.path not in self._obstacles.paths)
        waits = [acts.from_files(draft, differences, whole, table, by_hand, now)]
        if self.parts.rulebook.current.settings.edits.playbooks == "save":
            waits.append(
                edits.commit_saved(
                    draft, differences, tree, self.parts.checkout, self.parts.rulebook, settle, by_hand, now
                )
            )
        self._obstacles.in_hand(draft, working.differences)
        self._keeps = {each.path: each.blob for each in working.differences if each.path.endswith("/.gitkeep")}
        door = self._door()
        self.live.coming = intake.coming(working.differences)
        waits.append(intake.from_files(draft, differences, whole, door, by_hand, now))
        touched = frozenset(each.path for each in working.differences) | frozenset(self._obstacles.paths)
        intake.from_tree(draft, tree, door, by_git, now, touched)
        for merged in self.merging.merged:
            landings.say(draft, merged, now)
        self.outsides.gather(draft, requests, now)
        for request in requests:
            if request.id not in draft.replies and request.id not in draft.deferred:
                desk.serve(draft, request, now, self._obstacles.tasks)
        self._finish(draft, now)
        if not self.stopping:
            self.schedules.drop(draft, tree, self.parts.rulebook.current, door, touched, now)
        for name in self.live.lifting & draft.holds.keys():
            draft.lift(name, now, "hqd", "a probe succeeded")
        if self._foreign is not None or time.monotonic() - self._reviewed > self._poll():
            self._reviewed = time.monotonic()
            grace = self.parts.rulebook.current.settings.forge.branch_grace
            landings.check(draft, self.parts.places, grace, now)
        given = [wait for wait in waits if wait is not None]
        return min(given) if given else None

    def _finish(self, draft: Draft, now: datetime) -> None:
        """Results of workers, but for tasks whose file a person has in hand."""
        for key, result in self.results.items():
            task = draft.tasks.get(result.task)
            if task is not None and task.id in draft.board.waiting:
                continue
            entry = self.runner.running.get(result.task)
            agent = entry.job.agent if entry is not None else None
            draft.consumed.append(key)
            draft.free(result.task, agent, entry.group if entry is not None else None)
            if not isinstance(result, Opened):
                if reports.finish(draft, result, self.values, now, agent) is None:
                    draft.spent += result.usage.cost or 0.0
            elif task is not None and task.cursor.claim is not None and task.cursor.claim.nonce == result.nonce:
                draft.happen(task, reports.opened(task, result.review, result.gates, result.note, now))

    # -- deciding and writing ---------------------------------------------------------------------------------

    def _decide(self, draft: Draft, now: datetime) -> list[LandWork]:
        """What follows from all that was gathered, into the draft; the merges that are asked for come after it."""
        if self.live.tree is not None:
            found = self.kin.of(draft.tasks, self.live.tree)
            self.live.closed, self.live.slugs = found.closed, found.slugs
            draft.board = replace(draft.board, closed=found.closed, slugs=found.slugs, coming=self.live.coming)
        return decide_all(draft, self._door(), self.parts.shop.secrets(), now)

    def _door(self) -> Door:
        inbox = self.parts.rulebook.current.settings.inbox
        return Door(
            checkout=self.parts.checkout,
            tree=self.parts.ledger.snapshot(),
            book=self.book,
            keeps=self._keeps,
            new_hex=self.parts.new_hex,
            check_gate=lambda gate: self.parts.shop.gates(self.parts.rulebook.current).check(gate),
            settle=seconds(inbox.settle),
            max_bytes=inbox.max_bytes,
        )

    def _draft(self, now: datetime) -> Draft:
        rulebook = self.parts.rulebook
        pins = {task.cursor.pin for task in self.live.tasks.values() if task.cursor.pin is not None}
        for pin in pins:
            rulebook.at(pin)
        rulebook.forget(pins | {entry.job.rules.pin for entry in self.runner.running.values()})
        slots = Slots(frozenset(self.runner.running), self.runner.agents(), self.runner.groups())
        board = self._board(slots, now)
        plain = replace(board, slots=Slots(), waiting={}, coming=ANYTHING)
        batch = Batch(self.parts.host, lambda task, event: next_label(task, event, plain, now), self._output_of)
        return Draft.of(board, batch)

    def _board(self, slots: Slots, now: datetime) -> Board:
        return self.live.board(self.parts.rulebook.current, self.parts.rulebook.known, slots, now)

    def _output_of(self, task: Task) -> str | None:
        """The last output of a task, for its result file."""
        refs = [ref for ref in task.cursor.outputs.values() if not ref.stale]
        return self.values[max(refs, key=lambda ref: ref.n).blob] if refs else None

    def _commit(self, draft: Draft, now: datetime) -> None:
        """Makes the draft true, or raises and leaves everything as it was."""
        commits: tuple[str, ...] = ()
        if draft.batch:
            self._touched = draft.batch.touched
            commits = self.parts.ledger.append(self.live.tip, draft.batch.transitions)
            self.live.saw_own(self.parts)
            self.parts.rulebook.refresh(self.parts.ledger.snapshot())
        live = self.live
        live.tasks, live.paused = draft.tasks, draft.paused
        beside = live.local_holds.keys() | draft.board.local  # also those that were lifted in this very turn
        live.holds = {name: hold for name, hold in draft.holds.items() if name not in beside}
        live.spent, live.tokens, live.streaks = draft.spent, draft.tokens, draft.streaks
        live.started = draft.started
        live.ended.update(draft.ended)
        live.lifting.clear()
        self._foreign, self.merging.merged = None, []
        for key in draft.consumed:
            self.runner.done(self.results.pop(key).task)
        for task_id in draft.ended:
            self.runner.stop(task_id)
            self.parts.shop.copies.forget(task_id)
        for request_id, reply in draft.replies.items():
            spool.answer(self.parts.private, request_id, reply)
        for each in draft.batch.written:
            began = each.before.cursor.since if each.before is not None else None
            probed(live, each.event, began, now, self.parts.rulebook.current.settings.agents)
        self.merging.follow(draft.batch.written)
        self.outsides.committed(draft.batch.written, now)
        known = draft.now_board().known
        for start, task in draft.starts:
            self._start(start, draft.tasks.get(task.id, task), commits[-1], known, now)
        if draft.restore:
            self.parts.checkout.restore(draft.restore)
        if draft.batch.written:
            self.whole.clear()
            self.parts.display.committed(draft.batch.written, commits)
            tell(draft.batch.written, self.parts.notifier)

    def _start(self, start: Start, task: Task, commit: str, known: Mapping[str, Task], now: datetime) -> None:
        event = start.event
        rules = self.parts.rulebook.at(event.pin) if event.pin is not None else self.parts.rulebook.current
        today = (self.live.spent, self.live.tokens)
        job = Job.of(event, task, rules, commit, known, self.values, today, now)
        self.runner.start(job, start.group)

    # -- landing ----------------------------------------------------------------------------------------------

    def _land(self, work: LandWork, now: datetime) -> None:
        """`land = "auto"`: hqd merges what has passed its gates; what cannot be merged is parked."""
        task = self.live.tasks[work.task]
        fault = self.merging.merge(task, work.head, None, None, now)
        if fault is not None:
            draft = self._draft(now)
            draft.happen(task, landings.refused(task, fault, now))
            self._commit(draft, now)

    # -- what stands in the way -------------------------------------------------------------------------------

    def _busy(self, cause: str | None, message: str) -> None:
        if cause not in (None, "origin", self.live.busy):  # of origin, whoever follows it speaks
            self.parts.display.note(f"waiting: {message}")
        self.live.busy, self.live.busy_message = cause, message

    def _keep_off(self, fault: PathsInUse) -> float:
        """A person's work stands where a batch would write: those paths and their tasks are left alone for a moment."""
        return RETRY if self._obstacles.met(fault.paths, self._touched) else 0.0

    def _cannot_commit(self, fault: CannotCommit, now: datetime) -> float:
        """Full or read-only disk: a hold under .git/hqd; what runs is kept and looked at again."""
        if DISK_HOLD not in self.live.local_holds:
            self.parts.display.note(f"cannot commit: {fault.message}")
        hold = Hold(name=DISK_HOLD, on="hq", reason=fault.cause, since=now, missing=fault.message)
        self.live.hold_locally(hold)
        self._disk_since = time.monotonic()
        return DISK_RETRY

    def _history_held(self) -> bool:
        held, adopted = history_held(self.live, self.book, self.parts)
        self._foreign = adopted or self._foreign
        return held

    def _new_day(self, now: datetime) -> None:
        """The day's spend, from the trailers of the day's commits; a day is a UTC day."""
        if self.live.day != now.date():
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            self.live.spent, self.live.tokens = self.parts.history.spent_since(midnight - timedelta(milliseconds=1))
            self.live.day = now.date()

    def _poll(self) -> float:
        settings = self.parts.rulebook.current.settings
        return min(seconds(settings.forge.poll), seconds(settings.hq.rescan))
