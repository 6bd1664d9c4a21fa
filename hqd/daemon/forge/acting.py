"""What hqd does on a forge once a pull request is open: merges it when told to, closes it when the task has ended,
tidies up behind work that has landed, keeps its comment up to date, and finds out whether a held forge is back.

Level-triggered: what is to be done follows from the tasks on main. After a restart one look at the open pull requests
makes up for what a crash has kept from being done.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from functools import partial

from hqd.core.reviews.holds import FORGE, hold, hold_name
from hqd.core.reviews.merge import merge_message, to_merge
from hqd.daemon.alarms import longer
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.forge import errands
from hqd.daemon.forge.courier import Courier, Errand, Told
from hqd.daemon.forge.faults import Meaning, meaning
from hqd.daemon.forge.source import Sources
from hqd.daemon.forge.story import Story, read_story
from hqd.daemon.forge.turns import Turns
from hqd.daemon.landings import refused
from hqd.daemon.live import Live
from hqd.daemon.repositories.places import Places
from hqd.daemon.rulebook import Rulebook
from hqd.errors import Conflict, Expected, ForgeRefused
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.record import Event, EventKind, Hold, ReviewState
from hqd.model.review import MergeStyle
from hqd.model.task import State
from hqd.ports import History, RemoteForge

PATIENCE, LONGEST = timedelta(seconds=60), timedelta(minutes=10)
"""Until a merge that the forge does not do yet (a check still runs) is asked for again; twice as long each time."""

_TOLD = frozenset({EventKind.FEEDBACK, EventKind.PARKED, EventKind.RESUMED, EventKind.LANDED, EventKind.DROPPED})
"""Events after which the comment on the pull request says something else."""

_SETTLE = 1.0
"""Seconds that a comment waits: several events of a task make one edit of it."""


class Acting:
    """Port Outside. `look(number)`: called when something is to be seen on a pull request that nobody has seen yet."""

    def __init__(
        self,
        places: Places,
        history: History,
        rulebook: Rulebook,
        secrets: Callable[[], Collection[str]],
        note: Callable[[str], None],
        turns: Turns,
        sources: Sources,
        look: Callable[[int | None], object] = lambda _number: None,
    ) -> None:
        self._turns, self._sources = turns, sources
        self._places, self._history, self._rulebook = places, history, rulebook
        self._secrets, self._note, self._look = secrets, note, look
        self._home: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._told: list[Told] = []  # what the draft of this turn says
        self._asked: dict[tuple[str, str], datetime | None] = {}  # (task, head) -> not before; None: under way
        self._waits: dict[tuple[str, str], timedelta] = {}
        self._followed: dict[str, str | None] = {}  # open tasks with a pull request -> repository
        self._courier = Courier(self._server, self._take)
        self._wake: Callable[[], None] = lambda: None
        self._live: Live | None = None
        self._began = time.monotonic()
        self._since: dict[str, float] = {}  # hold -> when it was last found to stand

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live, self._wake = live, wake
        for repo in (None, *self._rulebook.current.settings.repos):
            self._sweep(live, repo)
        for task in live.tasks.values():
            if task.cursor.reason is ParkReason.REVIEW_REJECTED:
                self._close(task, task.cursor.review)

    def before(self, now: datetime) -> None:
        """Moves nothing."""

    def gather(self, draft: Draft, now: datetime) -> None:
        while not self._home.empty():
            self._told.append(self._home.get())
        for told in self._told:
            self._heard(draft, told, now)
        self._sweep_after_others(draft)
        if not draft.board.stopping:
            self._merge_what_is_to_be(draft, now)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        self._told.clear()
        for each in written:
            self._probe(each, now)
            if each.after is not None and not each.after.state.open:
                self._followed.pop(each.after.id, None)
            if each.before is not None and each.after is not None:
                self._follow(each.before, each.after, each.event)

    def alarm(self) -> datetime | None:
        return min((at for at in self._asked.values() if at is not None), default=None)

    def nudge(self) -> None:
        self._asked = {key: at for key, at in self._asked.items() if at is None}
        self._courier.hurry()
        if self._live is not None:  # a held forge is tried at once, by the next opening too
            held = {name: hold.since for name, hold in self._live.holds.items() if hold.on.split(":")[0] == FORGE}
            self._live.probe_at.update(held)

    @property
    def busy(self) -> bool:
        return self._courier.busy or not self._home.empty()

    def said(self) -> str:
        return ""

    def close(self) -> None:
        self._courier.close()

    def _take(self, told: Told) -> None:
        """From the courier's thread."""
        self._home.put(told)
        self._wake()

    def _server(self, repo: str | None) -> RemoteForge | None:
        try:
            return self._places(repo).forge.server
        except Expected:
            return None  # not in hqd.toml any more

    def _sweep(self, live: Live, repo: str | None, delay: float = 0.0) -> None:
        if self._server(repo) is not None:
            act = partial(errands.sweep, tree=self._history.tree(live.tip), open_tasks=frozenset(live.tasks))
            self._courier.send(Errand(("sweep", repo or ""), repo, act), delay)

    def _sweep_after_others(self, draft: Draft) -> None:
        """Tasks that another host has ended: it tidies up behind them, unless it is gone by then."""
        gone = {repo for task, repo in self._followed.items() if task not in draft.tasks}
        self._followed = {
            task.id: task.cursor.repo
            for task in draft.tasks.values()
            if task.cursor.review is not None and task.cursor.review.number is not None
        }
        for repo in gone:
            if self._live is not None:
                self._sweep(self._live, repo, self._turns.others())

    # -- merging ----------------------------------------------------------------------------------------------

    def _merge_what_is_to_be(self, draft: Draft, now: datetime) -> None:
        held = draft.holds.keys() - draft.board.probing
        wanted: set[tuple[str, str]] = set()
        for task in draft.tasks.values():
            style, review = to_merge(task, draft.board.step_of(task)), task.cursor.review
            if style is None or review is None:
                continue
            key = (task.id, review.head)
            wanted.add(key)
            at = self._asked.setdefault(key, now + timedelta(seconds=self._turns.after(task)))
            if at is not None and at <= now and held.isdisjoint(_holds_of(task.cursor.repo)):
                self._asked[key] = None
                self._courier.send(self._merge(task, review, style))
        self._asked = {key: at for key, at in self._asked.items() if key in wanted or at is None}
        self._waits = {key: wait for key, wait in self._waits.items() if key in self._asked}

    def _merge(self, task: Task, review: ReviewState, style: MergeStyle) -> Errand:
        target = self._places(task.cursor.repo).target
        base = (
            target.main.removeprefix("refs/heads/") if target is not None else self._rulebook.current.settings.hq.branch
        )
        act = partial(
            errands.merge, review=review, base=base, style=style, message=merge_message(task, review),
            look=partial(self._look_at_main, task.cursor.repo, review),
        )  # fmt: skip
        return Errand(("merge", task.id, review.head), task.cursor.repo, act)

    def _look_at_main(self, repo: str | None, review: ReviewState) -> None:
        """From the courier's thread, right before a merge. Raises ForgeRefused where main there has moved against the
        work since main here was looked at: then the loop hears of it, and brings the work up to date first."""
        source = self._sources(repo)
        main = source.fetch().get(f"refs/heads/{source.base}") if source is not None else None
        if source is None or main is None or (repo is None and source.descends(main, source.main())):
            return  # the HQ's main has all that is there, so the loop has looked at it
        drift = self._places(repo).updates.drift(review.base, review.head, main)
        if drift is not None:
            source.catch_up(main)
            raise ForgeRefused("blocked", f"{drift}; it is brought up to date first")

    def _heard(self, draft: Draft, told: Told, now: datetime) -> None:
        kind, fault = told.errand.key[0], told.fault
        what = meaning(fault, told.errand.repo) if fault is not None else None
        if what is not None and _is_everybodys(told, what):
            self._hold(draft, hold(what.failure, what.message, now, repo=told.errand.repo), now)
        elif fault is None and self._live is not None:
            self._live.lifting |= self._shown_to_be_over(told, draft)
        if kind == "merge":
            self._merged(draft, told, now)
        elif fault is not None:
            self._note(f"forge: {' '.join(part for part in told.errand.key if part)}: {fault.message}")

    def _shown_to_be_over(self, told: Told, draft: Draft) -> set[str]:
        """The holds that a done errand lifts: any errand, where the forge was down; where a right was missing, a
        merge."""
        return {
            name
            for name in _holds_of(told.errand.repo) & draft.holds.keys()
            if told.began >= self._since.get(name, self._began)
            and (draft.holds[name].reason == Failure.PROVIDER.value or told.errand.key[0] == "merge")
        }

    def _merged(self, draft: Draft, told: Told, now: datetime) -> None:
        key = (told.errand.key[1], told.errand.key[2])
        wait = self._waits.get(key, PATIENCE)
        if key in self._asked:
            self._asked[key] = now + wait
        task = draft.tasks.get(key[0])
        review = task.cursor.review if task is not None else None
        if task is None or task.state is not State.REVIEW or review is None or review.head != key[1]:
            return
        self._look(review.number)
        if told.fault is None:
            return
        self._waits[key] = min(LONGEST, 2 * wait)
        cause = told.fault.cause if isinstance(told.fault, ForgeRefused) else ""
        said = " ".join(told.fault.message.split())[:300]
        if cause == "conflict":
            draft.happen(task, refused(task, Conflict((said,)), now))
        elif cause in ("unsupported", "invalid"):
            draft.happen(task, refused(task, Expected(said), now))
        elif cause in ("blocked", "closed", "head_moved"):
            self._waiting(draft, task, f"the forge does not merge it yet: {said}", now)

    def _waiting(self, draft: Draft, task: Task, said: str, now: datetime) -> None:
        """The forge's words, on record once; then they are known."""
        if task.last is not None and task.last.message == said:
            return
        event = Event(
            event=EventKind.FEEDBACK, to=State.REVIEW, at=now, by="forge", step=task.cursor.step, message=said,
            review=task.cursor.review,
        )  # fmt: skip
        draft.happen(task, event)

    # -- the hold ---------------------------------------------------------------------------------------------

    def _hold(self, draft: Draft, wanted: Hold, now: datetime) -> None:
        if wanted.name in draft.holds:
            self._later(wanted.name, now, None)
        else:
            draft.hold(wanted, now)
        self._since[wanted.name] = time.monotonic()

    def _probe(self, each: Written, now: datetime) -> None:
        """An opening tells whether a held forge is back; one that began before the hold tells nothing."""
        live, event = self._live, each.event
        if each.hold is not None:
            self._since[each.hold.name] = time.monotonic()
        if live is None or each.before is None:
            return
        for name in _holds_of(each.before.cursor.repo) & live.holds.keys():
            held, began = live.holds[name], each.before.cursor.since
            if held.since == now or (began is not None and began < held.since):
                continue
            if event.event is EventKind.REVIEW_OPENED:
                live.probe_at.pop(name, None)
                live.lifting.add(name)
            elif event.event is EventKind.FINISHED and event.outcome is Outcome.REFUSED and event.agent is None:
                self._later(name, now, event.retry_after)

    def _later(self, name: str, now: datetime, wait: float | None) -> None:
        live = self._live
        held = live.holds.get(name) if live is not None else None
        if live is None or held is None:
            return
        due = live.probe_at.get(name, held.probe)
        if due is None or now >= due:
            live.probe_at[name] = now + longer(held, due or now, wait)

    # -- what follows an event --------------------------------------------------------------------------------

    def _follow(self, before: Task, after: Task, event: Event) -> None:
        review = before.cursor.review or after.cursor.review
        if review is None or review.number is None or event.event not in _TOLD:
            return
        if event.event is not EventKind.FEEDBACK or event.to is State.QUEUE:
            self._comment(before, after, review.number)
        rejected = event.event is EventKind.PARKED and event.reason is ParkReason.REVIEW_REJECTED
        if rejected or event.event is EventKind.DROPPED:
            self._close(before, review)
        elif event.event is EventKind.LANDED:
            act = partial(errands.tidy, number=review.number, branch=review.branch, head=review.head)
            self._courier.send(Errand(("tidy", before.id), before.cursor.repo, act))

    def _close(self, task: Task, review: ReviewState | None) -> None:
        if review is not None and review.number is not None:
            act = partial(errands.close, number=review.number)
            self._courier.send(Errand(("close", task.id), task.cursor.repo, act))

    def _comment(self, before: Task, task: Task, number: int) -> None:
        act = partial(errands.retell, number=number, told=partial(self._told_of, task), secrets=self._secrets)
        self._courier.send(Errand(("comment", task.id), before.cursor.repo, act), _SETTLE)

    def _told_of(self, task: Task) -> Story | None:
        """From the courier's thread: the story of a task as it is by then. None: an opening tells it."""
        live = self._live
        if live is None:
            return None
        task = live.tasks.get(task.id, task)
        review = task.cursor.review
        if task.state is State.REVIEW or (task.state is State.ACTIVE and review and review.step == task.cursor.step):
            return None
        return read_story(task, None, self._history.tree(live.tip))


def _is_everybodys(told: Told, what: Meaning) -> bool:
    """Whether a refusal is of all that hqd wants there; a pull request may be locked, or gone, by itself."""
    lost = isinstance(told.fault, ForgeRefused) and told.fault.cause == "credentials"
    return what.holds and (lost or told.errand.key[0] == "merge")


def _holds_of(repo: str | None) -> set[str]:
    """Names of the holds that keep a repository's reviews."""
    return {hold_name(None), hold_name(repo)}
