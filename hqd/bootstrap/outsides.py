"""What the daemon listens and speaks to beyond its clone, as the settings in force want it."""

from __future__ import annotations

from hqd.daemon.outside import Outside


def outsides_of() -> tuple[Outside, ...]:
    """In the order in which a turn asks them."""
    return ()
