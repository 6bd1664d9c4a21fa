"""When the forge is not to be had: a hold for all reviews, or for those of one target repository that the forge keeps
from hqd; and the moment at which it is tried again. Pure."""

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


def hold_name(repo: str | None) -> str:
    """Of the hold on the reviews of one target repository; None: on all."""
    return FORGE if repo is None else f"{FORGE}-{repo}"


def hold_on(repo: str | None) -> str:
    return FORGE if repo is None else f"{FORGE}:{repo}"


def forge_hold(event: Event, repo: str | None) -> Hold | None:
    """The hold that a refused opening calls for; None where the forge has refused this very work, or nothing."""
    if event.outcome is not Outcome.REFUSED or event.agent is not None or event.failure is Failure.SETUP:
        return None
    failure = event.failure or Failure.PROVIDER
    return hold(failure, event.message or "the forge says no", event.at, event.retry_after, repo=repo)


def hold(reason: Failure, missing: str, now: datetime, wait: float | None = None, *, repo: str | None = None) -> Hold:
    """`reason`: PROVIDER (it passes by itself), ACCESS (of `repo` alone) or another class. `wait`: seconds that the
    forge asks for."""
    first = LATER if reason is Failure.PROVIDER else SLOW
    about = repo if reason is Failure.ACCESS else None
    probe = max(first, timedelta(seconds=min(wait or 0.0, 3600.0)))
    name, on = hold_name(about), hold_on(about)
    return Hold(name=name, on=on, reason=reason.value, since=now, missing=missing, probe=now + probe)
