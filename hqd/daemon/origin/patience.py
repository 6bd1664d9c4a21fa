"""How long the loop's own thread waits for another machine: with several hosts a batch counts once origin has it.

Whoever waits asks `is_set` all the time; that is also the moment for signs of life, so that a slow push is not taken
for a stuck loop, and a person who wants hqd to end does not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST = 120.0
"""Seconds that all calls for one batch may take."""
LAST = 5.0
"""The same, once hqd is told to end."""


class Patience:
    """One wait after the other, in one thread. `hurry` may come at any moment, from a signal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._until = clock()
        self._longest = LONGEST
        self.pulse: Callable[[float], None] = lambda _seconds: None
        """Called again and again while a wait goes on, with the seconds that it has taken."""

    def begin(self) -> None:
        """A wait begins."""
        self._began = self._clock()
        self._until = self._began + self._longest

    def hurry(self) -> None:
        """hqd is to end: what is under way, and each wait that begins later, gets `LAST` seconds."""
        self._longest = LAST
        self._until = min(self._until, self._clock() + LAST)

    def is_set(self) -> bool:
        """Whether the wait is over, whatever has come of it."""
        now = self._clock()
        self.pulse(now - self._began)
        return now >= self._until
