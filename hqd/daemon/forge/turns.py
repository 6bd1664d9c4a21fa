"""Who sees to a pull request where several hosts work on one HQ: first the host that wrote its task's newest record.

That host has just looked, or is about to, and what follows from its record is its own to say and to do. The others find
the same things undone; they leave them for a while, and do what is undone still, for then that host is gone. Nothing is
claimed for it: whatever is done on a forge is looked for first, so being late or doubled costs a request and no more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Hashable

from hqd.model.board import Task
from hqd.model.record import Record

POLLS = (2.0, 3.0)
"""For how many polls another host is left to it; drawn between the two, so that of several others one is first."""


class Turns:
    """`host`: this one. `shared`: several hosts work on this HQ. `poll`: seconds between two looks at a forge."""

    def __init__(self, host: str, shared: Callable[[], bool], poll: Callable[[], float]) -> None:
        self._host, self._shared, self._poll = host, shared, poll
        self._polls = random.uniform(*POLLS)  # noqa: S311  # nothing secret

    def after(self, task: Task) -> float:
        """Seconds that another host has for what is to be done about a task; 0: it is this host's own."""
        # What this process decided itself is no record that was read: `last` is the bare event then.
        if not self._shared() or not isinstance(task.last, Record) or task.last.host == self._host:
            return 0.0
        return self.others()

    def others(self) -> float:
        """Seconds that any other host has."""
        return self._polls * self._poll()


class Second:
    """Remembers since when something stands undone that another host is to do. For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[tuple[int, Hashable], float] = {}

    def is_due(self, number: int, what: Hashable, after: float, *, stands: bool) -> bool:
        """Whether `what` is to be done about this pull request now: at once where `after` is 0. True forgets it.

        `stands`: it is seen to be undone at this moment, which may be told once only.
        """
        if not after:
            return stands
        key = (number, what)
        if stands:
            self._since.setdefault(key, self._clock())
        if key not in self._since or self._clock() - self._since[key] < after:
            return False
        del self._since[key]
        return True

    def keep(self, numbers: Container[int]) -> None:
        """Forgets all but these pull requests."""
        self._since = {key: since for key, since in self._since.items() if key[0] in numbers}
