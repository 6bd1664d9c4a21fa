"""What the daemon listens and speaks to beyond its clone, as the settings in force want it."""

from __future__ import annotations

from hqd.bootstrap.opening import Hq
from hqd.daemon.outside import Outside
from hqd.daemon.rulebook import Rulebook
from hqd.daemon.teaching import Teaching
from hqd.ports import Checkout


def outsides_of(hq: Hq, rulebook: Rulebook, checkout: Checkout) -> tuple[Outside, ...]:
    """In the order in which a turn asks them."""
    return (Teaching(hq.history, checkout, rulebook, hq.private),)
