"""What the daemon listens and speaks to beyond its own clone: a forge, origin, whatever follows finished work.

Law: level-triggered. An outside works in threads of its own and only wakes the loop; everything that moves a task goes
through a draft, in the loop's thread. What an outside has put into a draft counts as said only after `committed`: a
draft that the ledger refused is thrown away, and `gather` is asked for the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.people.spool import Reply, Request
from hqd.errors import EXIT_TEMPORARY

if TYPE_CHECKING:
    from hqd.daemon.live import Live

SYNC = "sync"


class Outside(Protocol):
    """All calls come from the loop's thread, must be quick, and never raise for what the world does."""

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        """Main has been read for the first time. `wake` may be called from any thread, as often as one likes."""

    def before(self, now: datetime) -> None:
        """A turn begins: the only moment at which an outside may move main itself."""

    def gather(self, draft: Draft, now: datetime) -> None:
        """Lays into the draft what has come from outside."""

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        """A batch is durable (it may be empty): what was laid into its draft is said."""

    def alarm(self) -> datetime | None:
        """When a turn is wanted though nothing happens; None: never by itself."""

    def nudge(self) -> None:
        """`hqd sync`: ask and send everything now; `busy` until that is done."""

    @property
    def busy(self) -> bool:
        """Something is under way that a later turn will hear of: hqd is not idle."""

    def said(self) -> str:
        """What the last look found, in one line for people; empty: nothing to say.

        An outside may also have a property `failed`: what it was asked for could not be had; `hqd sync` ends with 75.
        """

    def close(self) -> None:
        """Stops its threads; what is under way may end within a second or two."""


class Outsides:
    """All of them as one, and the word `sync`, which is answered when none is busy any more."""

    def __init__(self, each: Sequence[Outside] = ()) -> None:
        self._each = tuple(each)
        self._syncing: set[str] = set()

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        for outside in self._each:
            outside.open(live, wake)

    def before(self, now: datetime) -> None:
        for outside in self._each:
            outside.before(now)

    def gather(self, draft: Draft, requests: Sequence[Request], now: datetime) -> None:
        for outside in self._each:
            outside.gather(draft, now)
        self._sync(draft, [request.id for request in requests if request.word == SYNC])

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        for outside in self._each:
            outside.committed(written, now)

    def alarms(self) -> list[datetime]:
        return [at for outside in self._each if (at := outside.alarm()) is not None]

    @property
    def busy(self) -> bool:
        return any(outside.busy for outside in self._each)

    def close(self) -> None:
        for outside in self._each:
            outside.close()

    def _sync(self, draft: Draft, asked: Sequence[str]) -> None:
        new = set(asked) - self._syncing
        self._syncing = set(asked)
        if new:
            for outside in self._each:
                outside.nudge()
        if asked and self._each and (new or self.busy):
            draft.deferred.update(asked)
            return
        lines = [line for outside in self._each if (line := outside.said())]
        failed = any(getattr(outside, "failed", False) for outside in self._each)
        for request in asked:
            said = "; ".join(lines) or "nothing to sync: no origin and no forge"
            draft.replies[request] = Reply(not failed, said, code=EXIT_TEMPORARY)
