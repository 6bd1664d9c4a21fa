"""The line to origin: one thread that fetches by timer and pushes main in batches, and only wakes the loop.

It never decides: a tip of origin that main does not have is news for the loop; a push that would not be a plain step
forward waits until the loop has brought main in line.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from hqd.errors import HqdError, RemoteRefused, RemoteUnavailable
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.ports import Remote

Trouble = Literal["down", "credentials", "host_key", "missing", "policy"]
PROBE = 300.0
"""Seconds between looks whether a refusal still stands."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
SOON = 10.0
"""A push that is due within so many seconds is waited for before hqd counts as idle; others are for the end."""
SLOW = 5.0
"""Seconds after which people are told what is under way."""
LAST_PUSH = 5.0
"""Seconds that the last push of an ending daemon may take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why origin cannot be had. `tries`: how often in a row that has been so."""

    kind: Trouble
    message: str
    remedy: str
    since: datetime
    tries: int = 1


@dataclass(frozen=True, slots=True)
class News:
    """What is known of origin. `tip`: its main, None where it has none; `asked`: it has answered at least once."""

    asked: bool = False
    tip: str | None = None
    fault: Fault | None = None
    fetched: datetime | None = None
    looks: int = 0  # fetches that went through


@dataclass(frozen=True, slots=True)
class Call:
    """A fetch or a push that is under way. `clock`: when it began, by the steady clock."""

    verb: Literal["fetch", "push"]
    since: datetime
    clock: float


@dataclass(slots=True)
class Pace:
    """Seconds; read anew each time, because settings change while hqd runs."""

    fetch: Callable[[], float]
    push: Callable[[], float]


class Line:
    """`tip` reads main of this clone; `steps_forward(old, new)`: whether `new` has `old`. Both from any thread.

    `stop` is what the remote's calls end by. `open` starts the thread, `close` ends it after one last push.
    """

    def __init__(
        self,
        remote: Remote,
        ref: str,
        tip: Callable[[], str],
        steps_forward: Callable[[str, str], bool],
        pace: Pace,
        stop: threading.Event,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._remote, self._ref = remote, ref
        self._tip, self._steps_forward = tip, steps_forward
        self._pace, self._stop, self._now = pace, stop, now
        self._news = News()
        self._lock = threading.Lock()
        self._poke = threading.Condition(self._lock)
        self._ending = False
        self._cleared: str | None = None
        self._changes = 0  # times that the loop itself learnt origin's tip
        self._fetch_at = 0.0
        self._push_at: float | None = None
        self._not_before = 0.0  # after a fault
        self._push_refused = False  # origin can be read, and says no to pushes
        self._asked = self._served = 0  # nudges and wishes
        self._sought: list[str | None] = []  # the commits that are wished for
        self._eager = False  # a nudge: what the loop makes of what is fetched is pushed at once
        self._call: Call | None = None  # what is under way
        self._wake: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        self.fetched = self.pushed = 0  # times that it went through, for `hqd sync`

    @property
    def news(self) -> News:
        with self._lock:
            return self._news

    @property
    def slow(self) -> Call | None:
        """What has been under way for `SLOW` seconds."""
        with self._lock:
            call = self._call
        return call if call is not None and time.monotonic() - call.clock >= SLOW else None

    @property
    def busy(self) -> bool:
        """A nudge is not served yet, or main is ahead and will be pushed in a moment."""
        with self._lock:
            if self._thread is None:
                return False
            soon = self._push_at is not None and self._push_at - time.monotonic() < SOON
            return self._served < self._asked or ((soon or not self._news.asked) and self._news.fault is None)

    def open(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._thread = threading.Thread(target=self._run, name="hqd-origin", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """One last push of what is not there yet; never longer than `LAST_PUSH` seconds and a moment. A call that has
        hung for some of them already gets the rest."""
        thread = self._thread
        if thread is None:
            return
        with self._poke:
            self._ending = True
            hung = time.monotonic() - self._call.clock if self._call is not None else 0.0
            self._poke.notify_all()
        thread.join(max(0.5, LAST_PUSH - hung))
        self._stop.set()
        thread.join(2.0)
        self._thread = None

    def nudge(self) -> None:
        """Fetch and push now, whatever was due when."""
        with self._poke:
            self._asked += 1
            self._eager = True
            self._poke.notify_all()

    def seek(self, commit: str | None = None) -> None:
        """Fetch now; where `commit` is named, only if it has not come until then. Pushes wait for their time: a forge
        tells of each, and a push for each such word would end all batches."""
        with self._poke:
            self._asked += 1
            self._sought.append(commit)
            self._poke.notify_all()

    def moved(self) -> None:
        """Main has moved here: it is pushed after `push` seconds, together with what comes until then."""
        with self._poke:
            if self._eager or self._push_at is None:
                wait = 0.0 if self._eager else PROBE if self._push_refused else self._pace.push()
                self._push_at = time.monotonic() + wait
                self._poke.notify_all()

    def clear(self, tip: str) -> None:
        """Main is in line with this tip of origin: what main has beyond it may be pushed onto it."""
        with self._lock:
            self._cleared = tip

    def saw(self, tip: str) -> None:
        """Somebody else of this process has pushed or fetched."""
        with self._lock:
            self._changes += 1
            self._news = replace(self._news, asked=True, tip=tip, fault=None)

    def look_again(self) -> None:
        """Fetch in a moment, whatever the pace: what was fetched is hard to believe."""
        with self._poke:
            self._fetch_at = min(self._fetch_at, time.monotonic() + FIRST_WAIT)
            self._poke.notify_all()

    def won(self, tip: str) -> None:
        """Somebody else of this process has pushed this tip, which main is about to be."""
        self.clear(tip)
        self.saw(tip)

    def onto(self) -> tuple[bool, str | None]:
        """(whether main is in line with origin as far as is known, origin's tip then)."""
        with self._lock:
            tip = self._news.tip
            return self._news.asked and tip in (None, self._cleared), tip

    def missed(self, fault: HqdError) -> None:
        """Somebody else of this process could not push."""
        self._failed(_kind(fault), fault, pushing=True)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._poke:
                while not self._ending and (wait := self._due() - time.monotonic()) > 0:
                    self._poke.wait(wait)
                ending, asked, nudged = self._ending, self._asked, self._asked > self._served
                sought, self._sought = self._sought, []
                clock = time.monotonic()
                push = ending or (nudged and self._eager) or (self._push_at is not None and clock >= self._push_at)
                due = clock >= self._fetch_at or (nudged and self._eager)
            before = self.news
            if (due or not all(map(self._has, sought))) and not ending:
                self._do("fetch", self._fetch)
            if push and (not ending or before.fault is None):
                self._do("push", self._push)
            with self._lock:
                self._served = max(self._served, asked)
            if ending:
                return
            if self.news != before or asked:
                self._wake()

    def _has(self, commit: str | None) -> bool:
        """Whether origin's main had this commit when it was last looked at."""
        tip = self.news.tip
        return commit is not None and tip is not None and self._steps_forward(commit, tip)

    def _due(self) -> float:
        if self._asked > self._served:
            return 0.0  # also where it was asked in the middle of a look, which counts for those before it
        first = self._fetch_at if self._push_at is None else min(self._fetch_at, self._push_at)
        return max(first, self._not_before)

    def _do(self, verb: Literal["fetch", "push"], act: Callable[[], None]) -> None:
        with self._lock:
            self._call = Call(verb, self._now(), time.monotonic())
        slow = threading.Timer(SLOW + 0.1, self._wake)
        slow.daemon = True
        slow.start()
        try:
            act()
        except HqdError as fault:
            self._failed(_kind(fault), fault, pushing=verb == "push")
        finally:
            slow.cancel()
            with self._lock:
                self._call = None

    def _fetch(self) -> None:
        changes = self._changes
        tip = self._remote.fetch().get(self._ref)
        with self._lock:
            if self._changes != changes:
                tip = self._news.tip  # the loop has pushed meanwhile: what was fetched is old
            fault = self._news.fault if self._push_refused else None  # reading proves nothing about writing
            self._news = News(asked=True, tip=tip, fault=fault, fetched=self._now(), looks=self._news.looks + 1)
            self._fetch_at = time.monotonic() + self._pace.fetch() * random.uniform(0.9, 1.1)  # noqa: S311
            if self._push_at is None and tip != self._tip() and not self._push_refused:
                self._push_at = time.monotonic() + self._pace.push()
        self.fetched += 1

    def _push(self) -> None:
        tip, known = self._tip(), self.news.tip
        if tip == known:
            self._done(known)
            return
        if known is not None and (known != self._cleared or not self._steps_forward(known, tip)):
            with self._lock:  # the loop is to bring main in line first; then it says `moved`
                self._push_at = time.monotonic() + PROBE if self._push_refused else None
            return
        (pushed,) = self._remote.push([RefUpdate(self._ref, tip, expected=known)])
        if pushed.outcome is PushOutcome.DONE:
            self.pushed += 1
            self.clear(tip)
            self._done(tip)
            if self._tip() != tip:
                self.moved()
        elif pushed.outcome is PushOutcome.MOVED and pushed.found == known:
            raise RemoteUnavailable("down", f"{self._remote.url}: main cannot be set now: {pushed.message}")
        elif pushed.outcome is PushOutcome.MOVED:
            with self._lock:
                self._push_at = None
                self._not_before = time.monotonic() + random.uniform(0.05, 0.2)  # noqa: S311
            self._fetch()
        else:
            refusal = RemoteRefused("policy", pushed.message or "it does not say why")
            self._failed("policy", refusal, pushing=True)

    def _done(self, tip: str | None) -> None:
        with self._lock:
            self._push_at = None
            self._not_before = 0.0
            self._push_refused = self._eager = False
            self._news = replace(self._news, asked=True, tip=tip, fault=None)

    def _failed(self, kind: Trouble, why: HqdError, *, pushing: bool) -> None:
        with self._lock:
            old = self._news.fault
            same = old is not None and old.kind == kind
            self._eager = False
            tries = old.tries + 1 if old is not None and same else 1
            since = old.since if old is not None and same else self._now()
            self._news = replace(self._news, fault=Fault(kind, why.message, why.remedy, since, tries))
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries - 1, 10)) if kind == "down" else PROBE
            wait *= random.uniform(0.75, 1.25)  # noqa: S311  # many hosts must not come back at one moment
            clock = time.monotonic()
            self._push_refused = pushing and kind != "down"
            if self._push_refused:  # others' work may still come in
                self._push_at = clock + wait
            else:
                self._not_before = clock + wait
                self._fetch_at = max(self._fetch_at, self._not_before)


def _kind(fault: HqdError) -> Trouble:
    if not isinstance(fault, RemoteRefused):
        return "down"
    match fault.cause:
        case "policy" | "missing" | "host_key" as kind:
            return kind
        case _:
            return "credentials"
