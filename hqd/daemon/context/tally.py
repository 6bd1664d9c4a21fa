"""Counting by the provider itself, for one attempt: each document once, the whole prompt as it would be sent.

Law: the provider's word on the whole is the last. Asking about single documents only makes the choice good, so it is
bounded in time; what is left is estimated by what the provider said of the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

from hqd.core.context.tokens import estimate_tokens
from hqd.errors import Expected
from hqd.model.settings import AgentSettings

PATIENCE = 10.0
"""Seconds that asking about single documents may take in all; answers are kept, so that the next attempt asks less."""

_CAREFUL = 1.1


class Counting(Protocol):
    """Providers' own counts of tokens. Called from worker threads; takes a moment, never raises."""

    def asks(self, settings: AgentSettings) -> bool:
        """Whether this agent's provider counts at all."""

    def count(
        self, settings: AgentSettings, stable: str, prompt: str, schema: Mapping[str, Any] | None, *, tools: bool
    ) -> int | None:
        """Tokens of a request as it would be sent; None: the provider cannot be asked now, or does not count."""


class CannotCount(Expected):
    """The provider cannot be asked now, or has no such endpoint."""


class Tally:
    """One attempt's counters. Both raise CannotCount."""

    def __init__(
        self, counting: Counting, settings: AgentSettings, schema: Mapping[str, Any] | None, *, tools: bool
    ) -> None:
        self._counting = counting
        self._settings = settings
        self._schema = schema
        self._tools = tools
        self._known: dict[tuple[str, str], int] = {}
        self._until = time.monotonic() + PATIENCE
        self._ratio = 1.0  # the most that the provider has counted for one estimated token

    @property
    def name(self) -> str:
        return f"provider: {self._settings.model} counts itself"

    def part(self, text: str) -> int:
        """Tokens of a text by itself; an estimate once the time is used up."""
        estimated = estimate_tokens(text)
        if not text.strip():
            return estimated
        if time.monotonic() >= self._until and ("", text) not in self._known:
            return math.ceil(estimated * self._ratio * _CAREFUL)
        counted = self._ask("", text, None, tools=False)
        self._ratio = max(self._ratio, counted / max(1, estimated))
        return counted

    def whole(self, stable: str, prompt: str) -> int:
        """Tokens of the request as it would be sent, with system prompt, tools and the form of the answer."""
        if not (stable + prompt).strip():
            return 0
        return self._ask(stable, prompt, self._schema, tools=self._tools)

    def _ask(self, stable: str, prompt: str, schema: Mapping[str, Any] | None, *, tools: bool) -> int:
        known = self._known.get((stable, prompt))
        if known is None:
            known = self._counting.count(self._settings, stable, prompt, schema, tools=tools)
            if known is None:
                raise CannotCount("the provider does not count now")
            self._known[stable, prompt] = known
        return known
