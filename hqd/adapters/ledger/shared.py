"""The ledger of an HQ that several hosts work on: a batch counts when origin's main has taken it.

Commits are built, pushed, and only then is this clone's main moved to them. So a claim exists once its push has won,
and not before; who loses is told StaleHead, takes what the winner wrote and decides again. While origin cannot be
had, nothing is written and every result waits in memory.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from hqd.adapters.history import GitTree
from hqd.adapters.ledger.ledger import GitLedger
from hqd.adapters.remote import FETCHED
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.codec.record import UnreadableRecord, read_record
from hqd.errors import HqdError, RemoteRefused, RemoteUnavailable, RepositoryBusy, StaleHead
from hqd.model.change import Transition
from hqd.model.record import EventKind
from hqd.model.remote import Pushed, PushOutcome, RefUpdate
from hqd.ports import Remote

CONTENDED = 60.0
"""Seconds for which another host's commit, or a lost race, makes this host leave longer gaps after its wins."""
GAP, LONG_GAP = (0.5, 1.5), (1.5, 3.5)
"""The gap after a win, in times of what the push took, drawn between the two. A loser has to fetch, follow and decide
before it tries again, so without a gap whoever wins goes on winning; and nothing tells a winner of losers."""
LONGEST_GAP = 2.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


class SharedLedger:
    """Port Ledger. `shared` is asked each time: the settings in force may change while hqd runs.

    `onto` tells whether main is in line with origin, and origin's tip then: nothing is pushed over another one.
    `saw` is told of a tip that won a race, `won` of this ledger's own, `missed` why origin could not be had.
    `begins` is called before the calls for a batch: from then on counts the time that `remote` gives them.
    `remote` None: there is no origin, and with `shared` nothing can be written.
    """

    def __init__(
        self,
        ledger: GitLedger,
        repository: GitRepository,
        remote: Remote | None,
        *,
        shared: Callable[[], bool],
        onto: Callable[[], tuple[bool, str | None]] = lambda: (True, None),
        saw: Callable[[str], None] = lambda _tip: None,
        won: Callable[[str], None] = lambda _tip: None,
        missed: Callable[[HqdError], None] = lambda _fault: None,
        begins: Callable[[], object] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger, self._repo, self._remote = ledger, repository, remote
        self._shared = shared
        self.onto, self.saw, self.won, self.missed = onto, saw, won, missed
        self._begins, self._sleep = begins, sleep
        self._shared_at = time.monotonic()  # when another host was last known to be there
        self._own = ""
        self._gap_until = 0.0
        self._faults = 0
        self._closed_until = 0.0
        self.wins = self.losses = 0

    def snapshot(self) -> GitTree:
        return self._ledger.snapshot()

    def append(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        """Also raises RepositoryBusy with the cause `origin`."""
        if not transitions or not self._shared():
            return self._ledger.append(base, transitions)
        if base != self._own:
            self._shared_at = time.monotonic()
        self._sleep(max(0.0, self._gap_until - time.monotonic()))
        return self._ledger.append(base, transitions, permit=lambda made: self._win(base, made, transitions))

    def _win(self, base: str, made: Sequence[str], transitions: Sequence[Transition]) -> None:
        """Pushes the batch; returns if origin has taken it."""
        if self._remote is None:
            raise RepositoryBusy(
                "origin", 'hq.hosts = "many", and there is no remote named origin',
                remedy="git remote add origin URL",
            )  # fmt: skip
        if time.monotonic() < self._closed_until:
            raise RepositoryBusy("origin", "origin cannot be had; results wait in memory")
        in_line, there = self.onto()
        if not in_line:
            raise RepositoryBusy("origin", "main is not in line with origin yet; results wait in memory")
        updates = (*self._branches(transitions), RefUpdate(self._repo.ref, made[-1], there))
        began = time.monotonic()
        self._begins()
        try:
            main = self._remote.push(updates)[-1]
            tip = self._remote.fetch().get(self._repo.ref) if main.outcome is PushOutcome.MOVED else None
        except HqdError as fault:
            raise self._closed(fault) from fault
        if main.outcome is PushOutcome.MOVED and tip == there:  # a lock there, perhaps of a push that was killed
            raise self._closed(RemoteUnavailable("down", f"main cannot be set now: {main.message}"))
        self._judge(main, base, tip)
        self._faults = 0
        self.wins += 1
        self._own = made[-1]
        now = time.monotonic()
        least, most = LONG_GAP if now - self._shared_at < CONTENDED else GAP
        self._gap_until = now + min(LONGEST_GAP, (now - began) * random.uniform(least, most))  # noqa: S311
        self.won(made[-1])

    def _judge(self, main: Pushed, base: str, tip: str | None) -> None:
        if main.outcome is PushOutcome.MOVED:
            self._shared_at = time.monotonic()
            self.losses += 1
            if tip is not None:
                self.saw(tip)
            raise StaleHead(base, tip or "")
        if main.outcome is PushOutcome.POLICY:
            raise self._closed(RemoteRefused("policy", main.message or "origin refuses the push"))

    def _closed(self, fault: HqdError) -> RepositoryBusy:
        """No push for a while; others' results are not lost, only late."""
        self._faults += 1
        self._closed_until = time.monotonic() + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._faults, 10))
        self.missed(fault)
        return RepositoryBusy("origin", f"origin: {fault.message}", remedy=fault.remedy)

    def _branches(self, transitions: Sequence[Transition]) -> tuple[RefUpdate, ...]:
        """The task branches that records of this batch speak of: whoever reads the record must have the work."""
        found: dict[str, RefUpdate] = {}
        for transition in transitions:
            for path, data in transition.writes:
                folder, _slash, name = path.rpartition("/")
                if path.startswith(layout.RUNS + "/") and layout.record_number(name) is not None:
                    head = _head(data)
                    task = folder.rpartition("/")[2]
                    if head is not None and self._repo.objects.find(head) is not None:
                        branch = layout.branch(task)
                        there = self._repo.resolve(f"{FETCHED}origin/{branch}")
                        found[task] = RefUpdate(f"refs/heads/{branch}", head, there)
        return tuple(found.values())


def _head(data: bytes) -> str | None:
    """The work that a record accepts; None: none of its own."""
    try:
        record = read_record(data)
    except UnreadableRecord:
        return None
    return record.work.head if record.event is EventKind.FINISHED and record.work is not None else None
