"""Reminds people of reviews that nobody has answered: a notification, and on a forge a comment (by the watch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from hqd.core.reviews.reminders import due, remind
from hqd.daemon import news
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.live import Live
from hqd.model.board import Board
from hqd.ports import Notifier


class Reminders:
    """Port Outside. A hold of the forge, a pause or a stop lets reminders wait: nobody could do anything about them."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._next: dict[str, tuple[int, datetime | None]] = {}  # task -> record number, when it is due

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        """Nothing to start."""

    def before(self, now: datetime) -> None:
        """Nothing."""

    def gather(self, draft: Draft, now: datetime) -> None:
        self._look(draft.board)
        if draft.paused or draft.board.stopping:
            return
        for task_id, (_n, at) in self._next.items():
            task = draft.tasks.get(task_id)
            if at is None or now < at or task is None or due(task, draft.board) != at:
                continue
            event = remind(task, now)
            if event is not None:
                draft.happen(task, event)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        for each in written:
            if _reminded(each):
                self._notifier.tell("review", {**news.facts(each), "reason": "reminder"})

    def alarm(self) -> datetime | None:
        return min((at for _n, at in self._next.values() if at is not None), default=None)

    def nudge(self) -> None:
        """Nothing to ask."""

    @property
    def busy(self) -> bool:
        return False

    def said(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing to stop."""

    def _look(self, board: Board) -> None:
        """Worked out anew only for tasks that have moved."""
        known, self._next = self._next, {}
        for task in board.tasks.values():
            if task.cursor.review is not None:
                before = known.get(task.id)
                fresh = before is None or before[0] != task.n
                self._next[task.id] = (task.n, due(task, board)) if fresh or before is None else before


def _reminded(each: Written) -> bool:
    before = each.before.cursor.review if each.before is not None else None
    after = each.after.cursor.review if each.after is not None else None
    return after is not None and after.reminded is not None and (before is None or before.reminded != after.reminded)
