"""Watches over playbooks of whose work people review a share: proposes what is earned, ends it on an escape.

An Outside. A person's word on a review counts at once; edits, reverts and what the record has earned are looked up in
history by a process of its own, now and then. What it finds goes through a draft, like everything that is committed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hqd.codec import layout
from hqd.codec.autonomy import restoring
from hqd.core.reviews.autonomy import reviews, share_of
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.rulebook import Rulebook
from hqd.errors import HqdError
from hqd.model.change import Transition
from hqd.model.failure import ParkReason
from hqd.model.record import EventKind
from hqd.model.task import State

if TYPE_CHECKING:
    from hqd.daemon.live import Live

Look = Callable[[threading.Event], Mapping[str, Any]]
"""`hqd report autonomy --propose --json`. Raises HqdError."""

EVERY = timedelta(minutes=1)
"""At most so often is history looked through."""


class Autonomy:
    """`look` is called in a thread of its own. Nothing is done where no playbook has a share, or wants one."""

    def __init__(self, rulebook: Rulebook, look: Look, note: Callable[[str], None], every: timedelta = EVERY) -> None:
        self._rulebook, self._look, self._note, self._every = rulebook, look, note, every
        self._live: Live | None = None
        self._wake: Callable[[], None] = lambda: None
        self._tip = ""
        self._due: datetime | None = None
        self._last: datetime | None = None
        self._escaped: dict[str, tuple[str, str]] = {}  # playbook -> task, why
        self._stale: set[str] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live, self._wake = live, wake

    def before(self, now: datetime) -> None:
        """Moves nothing."""

    def gather(self, draft: Draft, now: datetime) -> None:
        live = self._live
        if live is None:
            return
        if live.tip != self._tip:
            self._tip, self._due = live.tip, self._due or self._soon(now)
        for playbook, (task, why) in list(self._escaped.items()):
            if playbook not in live.restored:
                draft.batch.plain(restoring(playbook, why, task, now))
        for playbook in self._stale & live.restored.keys():
            message = f"hqd: {playbook}: its new share of reviews was accepted\n"
            draft.batch.plain(Transition(message=message, at=now, deletes=(layout.autonomy_path(playbook),)))
        if self._due is not None and now >= self._due and not self.busy:
            self._begin(now)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        live = self._live
        if live is None or live.tree is None:
            return
        if self._escaped or self._stale:
            live.read_restored(live.tree)
            self._escaped = {each: why for each, why in self._escaped.items() if each not in live.restored}
            self._stale &= live.restored.keys()
        for each in written:
            self._hear(each)
        if live.tip != self._tip:
            told = any(each.event.event in (EventKind.LANDED, EventKind.FEEDBACK) for each in written)
            self._tip, self._due = live.tip, self._due or (self._soon(now) if told else None)
        if self._escaped:
            self._wake()

    def alarm(self) -> datetime | None:
        return None if self.busy else self._due

    def nudge(self) -> None:
        """There is nothing to fetch or send."""

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def said(self) -> str:
        return ""

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _soon(self, now: datetime) -> datetime:
        return now if self._last is None else max(now, self._last + self._every)

    def _hear(self, each: Written) -> None:
        """A person's word against work of a playbook of which only a share is reviewed."""
        before, event = each.before, each.event
        if before is None or before.state is not State.REVIEW or event.via is None or event.label is not None:
            return
        changes = event.event is EventKind.FEEDBACK and event.to is State.QUEUE and event.outcome is None
        rejected = event.event is EventKind.PARKED and event.reason is ParkReason.REVIEW_REJECTED
        playbook = before.cursor.playbook or ""
        if (changes or rejected or event.event is EventKind.DROPPED) and self._shared(playbook):
            audit = before.cursor.review is not None and before.cursor.review.audit
            what = "asked for changes" if changes else "turned it down"
            if not audit:
                self._escaped.setdefault(playbook, (before.id, f"{event.by} {what}: task {before.id}"))

    def _shared(self, playbook: str) -> bool:
        known = self._rulebook.current.playbooks.get(playbook)
        return known is not None and any(share_of(review) < 1 for _step, review in reviews(known))

    def _begin(self, now: datetime) -> None:
        self._due = None
        if not any(reviews(playbook) for playbook in self._rulebook.current.playbooks.values()):
            return
        self._last = now
        self._thread = threading.Thread(target=self._run, name="hqd-autonomy", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            told = self._look(self._stop)
            for row in told.get("playbooks", ()):
                name = str(row.get("playbook", ""))
                if row.get("stale"):
                    self._stale.add(name)
                if row.get("escapes") and not row.get("restored"):
                    first = row["escapes"][0]
                    self._escaped.setdefault(name, (str(first["task"]), f"task {first['task']}: {first['why']}"))
                if row.get("proposed"):
                    self._note(f"{name}: fewer reviews are proposed: {row['proposed']}")
        except HqdError as fault:
            if not self._stop.is_set():
                self._note(fault.message)
        finally:
            self._wake()
