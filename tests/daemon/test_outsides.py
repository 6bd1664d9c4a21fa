"""What an outside does to the daemon in the middle of a turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.live import Live
from hqd.daemon.outside import Outsides
from hqd.model.record import Hold
from tests.daemon.headquarters import make, settle

HOLD = Hold(name="origin", on="hq", reason="origin_down", since=datetime(2026, 1, 1, tzinfo=UTC), missing="it is away")


class Lifting:
    """Lifts a hold that stands beside the repository, while the turn's draft knows it already."""

    busy = failed = False
    live: Live

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self.live = live

    def before(self, now: datetime) -> None:
        """Nothing."""

    def gather(self, draft: Draft, now: datetime) -> None:
        assert HOLD.name in draft.holds
        self.live.lift_locally(HOLD.name)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        """Nothing."""

    def alarm(self) -> datetime | None:
        return None

    def nudge(self) -> None:
        """Nothing."""

    def said(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing."""


def test_a_local_hold_that_is_lifted_within_a_turn_is_gone_after_it(tmp_path: Path) -> None:
    """It was taken for one of main's then, which nothing would ever have lifted."""
    hq = make(tmp_path)
    with hq.daemon() as loop:
        settle(loop)
        loop.live.hold_locally(HOLD)
        outside = Lifting()
        outside.open(loop.live, lambda: None)
        loop.outsides = Outsides([outside])
        loop.turn()
        loop.outsides = Outsides()
        assert (loop.live.holds, loop.live.local_holds) == ({}, {})
        hq.drop("task.md")
        settle(loop, lambda: bool(hq.folder("done")))
