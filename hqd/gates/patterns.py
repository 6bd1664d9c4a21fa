"""Regular expressions with a time limit: the `regex` package, whose syntax is that of `re` and more."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import regex

from hqd.gates.kind import CannotJudge, shorten

TIMEOUT = 1.0
"""Seconds that one pattern may take on one text."""

FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL, "x": regex.VERBOSE, "a": regex.ASCII}


@lru_cache(maxsize=1024)
def compiled(pattern: str, flags: tuple[str, ...]) -> regex.Pattern[str]:
    """Raises regex.error."""
    value = regex.VERSION0
    for flag in flags:
        value |= FLAGS[flag]
    return regex.compile(pattern, value)


def fault(pattern: str, flags: Iterable[str]) -> str | None:
    """What is wrong with a pattern; None: nothing."""
    try:
        compiled(pattern, tuple(flags))
    except regex.error as error:
        return f"is no regular expression: {error}"
    except (RecursionError, MemoryError, OverflowError) as error:
        return f"is no regular expression: {type(error).__name__}"
    return None


def find_all(pattern: str, flags: tuple[str, ...], text: str, limit: int = 1_000_000) -> list[regex.Match[str]]:
    """All matches that do not overlap. Raises CannotJudge where the time limit is hit or the pattern is broken."""
    found: list[Any] = []
    try:
        for match in compiled(pattern, flags).finditer(text, timeout=TIMEOUT):
            found.append(match)
            if len(found) >= limit:
                break
    except TimeoutError:
        raise CannotJudge(
            f"the regular expression {shorten(pattern)} ran longer than {TIMEOUT:g} s: it explodes on this text"
        ) from None
    except regex.error as error:
        raise CannotJudge(f"the regular expression {shorten(pattern)}: {error}") from None
    return found
