"""The thread that does on a forge what has been decided: merges, closes, tidies up, keeps comments up to date.

An errand may be done twice without harm and is forgotten when hqd ends: what it does follows again from the state of
its task. While a forge is not to be had it waits; what a forge refuses is told to the loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from hqd.errors import ForgeUnavailable, HqdError, RemoteUnavailable
from hqd.ports import RemoteForge

FIRST_WAIT, LONGEST_WAIT = 5.0, 600.0
"""Seconds until an errand is tried again at a forge that is down: twice as many each time, up to the second."""

SOON = 10.0
"""Seconds within which a first try is waited for before hqd counts as idle."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Errand:
    """`key` begins with its kind; of two with the same key the later one counts. `act` gives words for people."""

    key: Key
    repo: str | None
    act: Callable[[RemoteForge], str]


@dataclass(frozen=True, slots=True)
class Told:
    """How an errand ended. `began`: by the steady clock."""

    errand: Errand
    began: float
    said: str = ""
    fault: HqdError | None = None


@dataclass(slots=True)
class _Waiting:
    errand: Errand
    due: float
    tries: int = 0


class Courier:
    """`send` from any thread; `deliver` is called from the courier's own. The thread starts with the first errand.

    `server(repo)`: the forge's client; None where there is none (any more), then errands for it end.
    """

    def __init__(self, server: Callable[[str | None], RemoteForge | None], deliver: Callable[[Told], None]) -> None:
        self._server, self._deliver = server, deliver
        self._waiting: dict[Key, _Waiting] = {}
        self._running: Key | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def send(self, errand: Errand, delay: float = 0.0) -> None:
        """In `delay` seconds, or as soon as what comes before is done."""
        with self._changed:
            self._waiting[errand.key] = _Waiting(errand, time.monotonic() + delay)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hqd-courier", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def hurry(self) -> None:
        """Whatever waits is tried now."""
        with self._changed:
            for each in self._waiting.values():
                each.due = time.monotonic()
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Something is under way, or is to be tried soon; what is only for the case of another host's end is not."""
        with self._changed:
            soon = time.monotonic() + SOON
            first = any(each.tries == 0 and each.due <= soon for each in self._waiting.values())
            return self._running is not None or first

    def close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self) -> None:
        while (found := self._next()) is not None:
            told = self._done(found)
            with self._changed:
                self._running = None
                if told is None and found.errand.key not in self._waiting:
                    self._waiting[found.errand.key] = found
            if told is not None:
                self._deliver(told)

    def _next(self) -> _Waiting | None:
        """The errand that is due first, taken out; None: the end."""
        with self._changed:
            while not self._stopping:
                first = min(self._waiting.values(), key=lambda each: each.due, default=None)
                wait = None if first is None else first.due - time.monotonic()
                if first is not None and wait is not None and wait <= 0:
                    self._running = first.errand.key
                    del self._waiting[first.errand.key]
                    first.due = time.monotonic() + min(LONGEST_WAIT, FIRST_WAIT * 2.0**first.tries)
                    first.tries += 1
                    return first
                self._changed.wait(wait)
            return None

    def _done(self, found: _Waiting) -> Told | None:
        """How it ended; None: later."""
        errand, began = found.errand, time.monotonic()
        try:
            server = self._server(errand.repo)
            if server is None:
                return Told(errand, began)
            return Told(errand, began, errand.act(server))
        except ForgeUnavailable as fault:
            found.due = max(found.due, time.monotonic() + (fault.wait or 0.0))
            return None
        except RemoteUnavailable:
            return None
        except HqdError as fault:
            return Told(errand, began, fault=fault)
        except Exception as bug:  # noqa: BLE001 - the worker's edge: one errand's bug must not end all others
            return Told(errand, began, fault=HqdError(f"a bug of hqd: {type(bug).__name__}: {bug}"))
