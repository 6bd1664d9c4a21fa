"""When the forge is not to be had: one hold for all reviews, and the moment at which it is tried again. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, Hold

FORGE = "forge"
"""Name of the hold, and what is held: opening and landing; agents work on."""

LATER = timedelta(seconds=30)
"""Until a forge that is down is asked again; twice as long each time, up to an hour."""

SLOW = timedelta(minutes=5)
"""The same where a person has to do something first: a token, a right, a rule of the server."""


def forge_hold(event: Event) -> Hold | None:
    """The hold that a refused opening calls for; None where the forge has refused this very work, or nothing."""
    if event.outcome is not Outcome.REFUSED or event.agent is not None or event.failure is Failure.SETUP:
        return None
    failure = event.failure or Failure.PROVIDER
    return hold(failure.value, event.message or "the forge says no", event.at, event.retry_after)


def hold(reason: str, missing: str, now: datetime, wait: float | None = None) -> Hold:
    """`reason`: `provider` (it passes by itself) or another class. `wait`: seconds that the forge asks for."""
    first = LATER if reason == Failure.PROVIDER.value else SLOW
    probe = max(first, timedelta(seconds=min(wait or 0.0, 3600.0)))
    return Hold(name=FORGE, on=FORGE, reason=reason, since=now, missing=missing, probe=now + probe)
