"""Where `secret:NAME` is found: systemd's credentials first, then the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PREFIX = "secret:"
_ALIASES = {"anthropic_api_key": "ANTHROPIC_API_KEY"}


class EnvironmentSecrets:
    """`secret:NAME` = the file NAME in $CREDENTIALS_DIRECTORY, else $HQD_SECRET_NAME.

    `anthropic_api_key` is also found in $ANTHROPIC_API_KEY, where people keep it. Read anew each time, so that a
    renewed credential counts at once; every value that was given out is remembered for masking.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._seen: set[str] = set()

    def get(self, name: str) -> str | None:
        """The value without the newline that editors leave at its end; None where there is none."""
        value = self._find(name)
        if value:
            self._seen.add(value)
        return value or None

    def known(self) -> frozenset[str]:
        """The values given out so far, for `core/secret_scan.py`."""
        return frozenset(self._seen)

    def remember(self, value: str) -> None:
        """A secret that was got elsewhere with one of these: masked like them."""
        self._seen.add(value)

    def _find(self, name: str) -> str | None:
        if _NAME.fullmatch(name) is None:
            return None
        return self._from_credentials(name) or self._from_environment(name)

    def _from_credentials(self, name: str) -> str | None:
        folder = self._env.get("CREDENTIALS_DIRECTORY")
        if not folder:
            return None
        try:
            return (Path(folder) / name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            return None

    def _from_environment(self, name: str) -> str | None:
        return self._env.get(_variable(name)) or self._env.get(_ALIASES.get(name, ""))


def reference(text: str) -> str | None:
    """The NAME of `secret:NAME`; None for text that is no reference."""
    return text[len(_PREFIX) :] if text.startswith(_PREFIX) else None


def variable_of(name: str) -> str:
    """The environment variable in which people keep `secret:NAME`."""
    return _ALIASES.get(name) or _variable(name)


def _variable(name: str) -> str:
    return "HQD_SECRET_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def where_to_put(name: str) -> str:
    """What to do about a `secret:NAME` that is missing."""
    return f"put it into $CREDENTIALS_DIRECTORY/{name} or {variable_of(name)}"
