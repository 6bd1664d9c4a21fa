"""What of hqd's own environment programs see: those of others by an allow-list."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

ALLOWED = ("PATH", "HOME", "LANG", "LC_*", "TMPDIR", "TERM", "USER", "SHELL")
_SERVICE = ("NOTIFY_SOCKET", "WATCHDOG_*")
_NEVER = ("CREDENTIALS_DIRECTORY", "HQD_SECRET_*", *_SERVICE, "GIT_*", "SSH_*")
"""Not even where an agent's settings ask for it: credentials of a forge and of systemd, where git looks, and the
ssh-agent that hqd itself pushes with."""


def passing(env: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables that pass: those of the allow-list, and those whose names fit the patterns `more`."""
    return {name: value for name, value in env.items() if _fits(name, (*ALLOWED, *more)) and not _fits(name, _NEVER)}


def for_oneself(env: Mapping[str, str]) -> dict[str, str]:
    """What another hqd gets that this one starts: all of it, but for the line to systemd, which has one speaker."""
    return {name: value for name, value in env.items() if not _fits(name, _SERVICE)}


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
