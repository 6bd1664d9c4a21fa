"""The thread that asks one forge: what has changed in the repository, and only there, pull request by pull request.

Law: it decides nothing and remembers nothing that could not be asked again. A poll costs a list of what changed, and
looks at single pull requests where something moved. Forges' times are whole seconds, so what moved is looked at once
more in a later poll. A hint that names a pull request is a look at that one, at once; one that names none is a poll
before its time. What the loop wants said is posted between two rounds, by its marker, hence never twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from hqd.core.reviews.replies import Reply
from hqd.core.reviews.words import Heard
from hqd.daemon.forge.source import Source
from hqd.daemon.forge.turns import Second
from hqd.errors import ForgeRefused, ForgeUnavailable, HqdError, RemoteRefused, RemoteUnavailable
from hqd.model.review import Permission, Review, ReviewStatus

MOST_CHECKS = 20
"""Pull requests of a round that are asked for nothing but their checks, which move no pull request."""
MOST_LETTERS = 10
"""Comments that are posted between two rounds: forges want writes to be slow."""
LONGEST = 600.0
"""Seconds to the next try at a forge that is in trouble, at most; more only where it says so."""
RIGHTS_FOR = 300.0
"""Seconds for which a person's rights are taken as they were."""
_SAME_TIME = 1.0
"""Seconds after the first sight of a time of the forge's within which more may come under the same time."""
_BLIND = frozenset({"missing"})
"""Refusals that are about one pull request, where the repository itself can be asked."""


@dataclass(frozen=True, slots=True)
class Want:
    """One pull request that the loop wants to know of. `head`: the commit that is up for review.

    `stamp` is another one whenever the task has moved. `known`: what its `updated` was when nothing was left to do;
    then no first look is needed. `checks`: the forge's checks matter; `pending`: some are still waited for. `after`:
    seconds that another host has to do about it what is to be done.
    """

    task: str
    number: int
    head: str
    stamp: int
    known: datetime | None = None
    checks: bool = False
    pending: bool = False
    letters: tuple[Reply, ...] = ()
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, with the `stamp` of the wish. `sure`: the look before found the pull request unmoved."""

    task: str
    number: int
    stamp: int
    heard: Heard
    sure: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """What could not be asked or done; `number` None: the whole repository."""

    fault: HqdError
    at: datetime
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """A round ended well. `since`: what the next one asks from."""

    at: datetime
    since: datetime | None


Told = Look | Trouble | Round


@dataclass(slots=True)
class _Seen:
    """`first`: when `updated` was seen first, by the steady clock; `again`: more may have come under the same time."""

    look: Look
    updated: datetime
    first: float
    again: bool = True


@dataclass(slots=True)
class _Call:
    """What the next round is to do beyond what is due: look at these numbers, ask for the list, look at everything."""

    numbers: dict[int, None] = field(default_factory=dict)  # in the order in which they came
    listed: bool = False
    everything: bool = False


class Asker:
    """`want`, `nudge` and `hint` from any thread; `deliver` is called from the asker's own. Starts with its first wish.

    `poll`: seconds between two polls, asked for each. `since`: what an earlier process had asked up to.
    """

    def __init__(
        self,
        source: Source,
        poll: Callable[[], float],
        deliver: Callable[[Told], None],
        now: Callable[[], datetime],
        since: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._poll, self._deliver, self._now, self._clock = poll, deliver, now, clock
        self._since = since
        self._wants: Mapping[int, Want] = {}
        self._call = _Call()
        self._list_at = float("-inf")  # when the next poll is due, by the steady clock
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: dict[int, _Seen] = {}
        self._rights: dict[str, tuple[Permission, float]] = {}
        self._posted: set[tuple[int, str]] = set()
        self._second = Second(clock)
        self._last: list[tuple[int, Reply]] = []
        self._turn = 0
        self._failures = 0
        self._asked = 0  # wishes that a round has to hear
        self._heard = 0

    def want(self, wants: Mapping[int, Want]) -> None:
        """All that is wanted now."""
        with self._lock:
            if wants == self._wants:
                return
            urgent = any(self._is_new(each) for each in wants.values())
            self._wants = dict(wants)
            if urgent:
                self._asked += 1
                self._wake.set()
        if wants and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="hqd-forge", daemon=True)
            self._thread.start()

    def nudge(self) -> None:
        """Ask about everything, now."""
        with self._lock:
            self._call.everything = True
        self._ask()

    def hint(self, number: int | None = None, commit: str | None = None) -> None:
        """Ask now about one pull request; or about those whose tip is `commit`, if its checks matter there; or for what
        has changed, where neither is said."""
        with self._lock:
            if number is None and commit is not None:
                found = [want.number for want in self._wants.values() if want.checks and want.head == commit]
                if not found:
                    return
            else:
                found = [number] if number is not None else []
            self._call.numbers |= dict.fromkeys(found)
            self._call.listed |= not found
        self._ask()

    def _ask(self) -> None:
        with self._lock:
            self._asked += 1
        self._wake.set()

    def post(self, number: int, letter: Reply) -> None:
        """A last word on a pull request that is followed no more."""
        with self._lock:
            self._last.append((number, letter))
            self._asked += 1
        self._wake.set()

    @property
    def busy(self) -> bool:
        """A wish that no round has answered yet, well or ill."""
        return self._thread is not None and self._heard < self._asked

    @property
    def unsaid(self) -> bool:
        """Something of this host's own is to be said that has not been tried yet, or only at a forge in trouble."""
        mine = [want for want in self._wants.values() if not want.after]
        wanted = ((want.number, letter.marker) for want in mine for letter in want.letters)
        return bool(self._last) or any(each not in self._posted for each in wanted)

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _is_new(self, want: Want) -> bool:
        """Whether a wish is not to wait for the next round."""
        before = self._wants.get(want.number)
        return before is None or before.stamp != want.stamp or bool(set(want.letters) - set(before.letters))

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                wants, call, asked = self._wants, self._call, self._asked
                self._call = _Call()
                self._wake.clear()
            wait = self._round_and_wait(wants, call) if wants or self._last else self._poll()
            self._heard = asked
            self._wake.wait(wait)

    def _round_and_wait(self, wants: Mapping[int, Want], call: _Call) -> float:
        """One round; seconds until the next."""
        try:
            self._round(wants, call)
            self._post(wants)
        except (ForgeUnavailable, ForgeRefused) as fault:
            self._failures += 1
            self._deliver(Trouble(fault, self._now()))
            asked = fault.wait if isinstance(fault, ForgeUnavailable) else None
            poll = self._poll()
            return max(asked or 0.0, min(poll * 2.0 ** (self._failures - 1), max(LONGEST, poll)))
        self._failures = 0
        self._deliver(Round(self._now(), self._since))
        return max(0.0, self._list_at - self._clock())

    def _round(self, wants: Mapping[int, Want], call: _Call) -> None:
        """Hinted pull requests first: somebody has just done something there. Then a poll, if one is due."""
        hinted = [number for number in call.numbers if number in wants]
        self._look_at(wants, hinted)
        updated: Mapping[int, datetime] = {}
        poll = call.listed or call.everything or self._failures > 0 or self._clock() >= self._list_at
        if poll:
            updated = self._list()
        self._seen = {number: seen for number, seen in self._seen.items() if number in wants}
        rest = [number for number in wants if number not in call.numbers]
        self._second.keep(wants)
        due = [number for number in rest if call.everything or self._is_due(wants[number], updated, poll)]
        self._look_at(wants, due)
        if poll and not self._stop.is_set():  # what was not looked at is asked for again after the next start
            looked = {*hinted, *due}
            rest = [number for number, want in wants.items() if want.pending and number not in looked]
            self._ask_checks([wants[number] for number in rest if self._turn_for_checks(wants[number])])
            self._since = max([*([self._since] if self._since else []), *updated.values()], default=None)

    def _list(self) -> Mapping[int, datetime]:
        """What has changed in the repository, and when. `_since` follows once all of it has been looked at."""
        listed = self.source.server.changed_reviews(self._since)
        self._list_at = self._clock() + self._poll()
        return {each.number: each.updated for each in listed}

    def _look_at(self, wants: Mapping[int, Want], numbers: Sequence[int]) -> None:
        for number in numbers:
            if self._stop.is_set():
                return
            self._one(wants[number])

    def _is_due(self, want: Want, updated: Mapping[int, datetime], poll: bool) -> bool:
        moved = self._due(want, updated, poll)
        return self._second.is_due(want.number, ("look", want.stamp), want.after, stands=moved)

    def _turn_for_checks(self, want: Want) -> bool:
        return self._second.is_due(want.number, "checks", want.after, stands=True)

    def _due(self, want: Want, updated: Mapping[int, datetime], poll: bool) -> bool:
        seen, moved = self._seen.get(want.number), updated.get(want.number)
        if seen is None:
            return want.known is None or self._since is None or (moved is not None and moved != want.known)
        return (seen.again and poll) or seen.look.stamp != want.stamp or (moved is not None and moved != seen.updated)

    def _one(self, want: Want) -> None:
        """One pull request. That it is gone, or hidden, is told of it alone."""
        began = self._clock()
        try:
            look, review = self._look(want)
        except ForgeRefused as fault:
            if fault.cause not in _BLIND:
                raise
            self._deliver(Trouble(fault, self._now(), want.number))
            return
        before = self._seen.get(want.number)
        first = before.first if before is not None and before.updated == review.updated else self._clock()
        again = began - first < _SAME_TIME  # by when it began: what came while it lasted may not be in it
        look = replace(look, sure=not again)
        self._seen[want.number] = _Seen(look, review.updated, first, again)
        self._deliver(look)

    def _look(self, want: Want) -> tuple[Look, Review]:
        server, began = self.source.server, self._now()
        review = server.review(want.number)
        items = server.items(want.number)
        me = server.login()
        writers = dict.fromkeys(item.author.login for item in items if item.author.login != me and not item.author.bot)
        rights = {login: self._permission(login) for login in writers}
        heard = Heard(review, items, rights, me, began)
        if want.checks and review.status is ReviewStatus.OPEN:
            heard = replace(heard, checks=server.checks(review.head))
        if review.head != want.head:
            heard = self._compared(heard, want)
        if review.status is ReviewStatus.MERGED and review.landed is not None:
            self._catch_up(review.landed, want.number)
        return Look(want.task, want.number, want.stamp, heard), review

    def _compared(self, heard: Heard, want: Want) -> Heard:
        """How the forge's head stands to the one that the task has; it is fetched where it is not here."""
        head, source = heard.review.head, self.source
        if not source.has(head):
            self._fetched(source.fetch, want.number)
        return replace(
            heard, here=source.has(head), past=source.descends(head, want.head), grown=source.descends(want.head, head)
        )

    def _catch_up(self, landed: str, number: int) -> None:
        if not self.source.descends(landed, self.source.main()):
            self._fetched(lambda: self.source.catch_up(landed), number)

    def _fetched(self, fetch: Callable[[], object], number: int) -> None:
        try:
            fetch()
        except (RemoteUnavailable, RemoteRefused) as fault:
            self._deliver(Trouble(fault, self._now(), number))

    def _permission(self, login: str) -> Permission:
        known = self._rights.get(login)
        if known is None or self._clock() - known[1] > RIGHTS_FOR:
            known = (self.source.server.permission(login), self._clock())
            self._rights[login] = known
        return known[0]

    def _ask_checks(self, waiting: list[Want]) -> None:
        """The checks of some of those that wait for them, in turn."""
        open_ones = [want for want in waiting if want.number in self._seen and self._is_open(want.number)]
        start = self._turn % len(open_ones) if open_ones else 0
        chosen = (open_ones[start:] + open_ones[:start])[:MOST_CHECKS]
        self._turn += len(chosen)
        for want in chosen:
            seen = self._seen[want.number]
            checks = self.source.server.checks(seen.look.heard.review.head)
            if checks != seen.look.heard.checks:
                heard = replace(seen.look.heard, checks=checks)
                seen.look = replace(seen.look, heard=heard)
                self._deliver(seen.look)

    def _is_open(self, number: int) -> bool:
        return self._seen[number].look.heard.review.status is ReviewStatus.OPEN

    def _post(self, wants: Mapping[int, Want]) -> None:
        """What the loop wants said; looked at again at once, so that the loop sees that it is there."""
        while self._last and not self._stop.is_set():
            self._say(*self._last[0])
            self._last.pop(0)
        left = MOST_LETTERS
        for want in wants.values():
            for letter in want.letters:
                if (want.number, letter.marker) in self._posted or left == 0 or self._stop.is_set():
                    continue
                if not self._second.is_due(want.number, letter.marker, 2 * want.after, stands=True):
                    continue  # its own host says it; a look in between shows that it is said
                self._say(want.number, letter)
                self._posted.add((want.number, letter.marker))
                self.hint(want.number)
                left -= 1

    def _say(self, number: int, letter: Reply) -> None:
        """One comment. A pull request that takes none (locked, gone) keeps nothing else from being said."""
        try:
            if letter.thread is None or not self._beneath(number, letter.thread, letter):
                self.source.server.comment(number, letter.marker, letter.alone)
        except ForgeRefused as fault:
            if fault.cause == "credentials":
                raise
            self._deliver(Trouble(fault, self._now(), number))

    def _beneath(self, number: int, thread: str, letter: Reply) -> bool:
        """Whether a thread has the reply now. What it answers may be gone, and then it is said on the whole."""
        try:
            self.source.server.reply(number, thread, letter.marker, letter.body)
        except ForgeRefused as fault:
            if fault.cause == "credentials":
                raise
            return False
        return True
