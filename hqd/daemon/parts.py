"""Everything that a loop is made of, wired by `bootstrap`. Ports and plain values only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hqd.daemon.batch import Written
from hqd.daemon.origin.patience import Patience
from hqd.daemon.outside import Outside
from hqd.daemon.repositories.places import Places
from hqd.daemon.repositories.targets import Targets
from hqd.daemon.rulebook import Rulebook
from hqd.daemon.work.workshop import Workshop
from hqd.model.record import Person
from hqd.ports import Checkout, Clock, History, Ledger, Notifier, Tree


class Display(Protocol):
    """Where the daemon says what it does: a live screen, or one line per event."""

    def committed(self, written: Sequence[Written], commits: Sequence[str]) -> None: ...

    def note(self, text: str) -> None:
        """Something that is no event: paused, waiting for a lock, an error on the way."""

    def doing(self, rows: Sequence[tuple[str, str, int, str, float]], waiting: int) -> None:
        """What is in flight: (task id, step, attempt, doing, seconds); and how many tasks wait."""


@dataclass(frozen=True, slots=True)
class Parts:
    ledger: Ledger
    checkout: Checkout
    history: History
    places: Places
    targets: Targets  # one of the outsides
    rulebook: Rulebook
    executor: Executor
    shop: Workshop
    notifier: Notifier
    display: Display
    clock: Clock
    private: Path  # .git/hqd
    host: str
    pid: int
    seed: str
    person: Callable[[], Person]  # the git identity of whoever works in this checkout
    new_hex: Callable[[], str]
    last_tip: Callable[[], str | None]  # main as the last daemon of this clone saw it
    see_tip: Callable[[str], None]
    upkeep: Callable[[float], object]  # called now and then with a steady clock's seconds
    followed: Callable[[Tree], None]  # main or folders may have changed: sparse patterns and the like
    outsides: Sequence[Outside] = ()
    patience: Patience = field(default_factory=Patience)  # with origin, where the ledger waits for it
