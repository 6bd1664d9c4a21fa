"""What of hqd's own environment a program of others sees: an allow-list."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

ALLOWED = ("PATH", "HOME", "LANG", "LC_*", "TMPDIR", "TERM", "USER", "SHELL")
_NEVER = ("CREDENTIALS_DIRECTORY", "HQD_SECRET_*", "NOTIFY_SOCKET", "WATCHDOG_*", "GIT_*")
"""Not even where an agent's settings ask for it: credentials of a forge and of systemd, and where git looks."""


def passing(env: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables that pass: those of the allow-list, and those whose names fit the patterns `more`."""
    return {name: value for name, value in env.items() if _fits(name, (*ALLOWED, *more)) and not _fits(name, _NEVER)}


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
