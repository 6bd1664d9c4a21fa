"""Asks for proposals of recorded lessons beside the loop: one at a time, each lesson once in the life of a daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hqd.errors import HqdError

Propose = Callable[[Sequence[str], threading.Event], None]
"""Makes the proposals; `stop` ends it soon. Raises HqdError."""

MOST = 10
"""Lessons of one run."""


class Proposer:
    """`ask` from the loop's thread. Whatever fails is told to people and not tried again by itself."""

    def __init__(self, propose: Propose, note: Callable[[str], None]) -> None:
        self._propose = propose
        self._note = note
        self._asked: set[str] = set()
        self._waiting: list[str] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.wake: Callable[[], None] = lambda: None

    def ask(self, lesson: str) -> None:
        if lesson not in self._asked:
            self._asked.add(lesson)
            self._waiting.append(lesson)

    def begin(self) -> None:
        """Starts what is asked for, unless something is under way."""
        if self.busy or not self._waiting:
            return
        ids, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        self._thread = threading.Thread(target=self._run, args=(ids,), name="hqd-proposer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self, ids: Sequence[str]) -> None:
        try:
            self._propose(ids, self._stop)
        except HqdError as fault:
            self._note(fault.message)
        finally:
            self.wake()
