"""Webhooks, wired: the listener wakes the watch and origin. That it cannot listen is told and tried again: polling is
the net."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from hqd.adapters.forges.webhooks import Kind, Wake, WebhookServer
from hqd.adapters.secrets import EnvironmentSecrets, reference
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.live import Live
from hqd.daemon.rulebook import Rulebook
from hqd.errors import Misconfigured

RETRY = 30.0
"""Seconds until an address that was taken is tried again."""


class Listening:
    """Port Outside. `told` is called from the listener's threads for each delivery that is genuine and new.

    What listens follows the settings in force: another address, another forge, none at all.
    """

    def __init__(
        self, rulebook: Rulebook, found: EnvironmentSecrets, told: Callable[[Wake], None], note: Callable[[str], None]
    ) -> None:
        self._rulebook, self._found, self._told, self._note = rulebook, found, told, note
        self._server: WebhookServer | None = None
        self._listens: tuple[str, str] | None = None
        self._refused: tuple[str, str] | None = None
        self._again = float("-inf")

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._follow()

    def before(self, now: datetime) -> None:
        self._follow()

    def gather(self, draft: Draft, now: datetime) -> None:
        """Nothing: a delivery brings no facts."""

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        """Nothing."""

    def alarm(self) -> datetime | None:
        return None

    def nudge(self) -> None:
        self._again = float("-inf")

    @property
    def busy(self) -> bool:
        return False

    def said(self) -> str:
        return "" if self._refused is None else f"webhooks: cannot listen on {self._refused[0]}"

    def close(self) -> None:
        if self._server is not None:
            self._server.__exit__()
            self._server = None

    def _follow(self) -> None:
        """Listens where the settings in force say so."""
        wanted = self._wanted()
        if wanted == self._listens or (wanted == self._refused and time.monotonic() < self._again):
            return
        self.close()
        self._listens = self._refused = None
        if wanted is None:
            return
        try:
            self._server = WebhookServer(wanted[0], _KINDS[wanted[1]], self._secret, self._told)
        except Misconfigured as fault:
            self._note(f"{fault.message}; pull requests are polled all the same")
            self._refused, self._again = wanted, time.monotonic() + RETRY
            return
        self._server.__enter__()
        self._listens = wanted

    def _wanted(self) -> tuple[str, str] | None:
        """(address, kind of forge)."""
        settings = self._rulebook.current.settings
        if settings.webhook is None or settings.forge.kind == "local":
            return None
        return settings.webhook.listen, settings.forge.kind

    def _secret(self) -> str | None:
        settings = self._rulebook.current.settings.webhook
        name = reference(settings.secret) if settings is not None else None
        return self._found.get(name) if name is not None else None


_KINDS: dict[str, Kind] = {"github": "github", "gitlab": "gitlab", "gitea": "gitea"}
