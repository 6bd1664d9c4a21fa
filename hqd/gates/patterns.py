"""Regular expressions with a time limit: the `regex` package, whose syntax is that of `re` and more."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hqd.gates.kind import CannotJudge, shorten

if TYPE_CHECKING:
    import regex

TIMEOUT = 1.0
"""Seconds that one pattern may take on one text."""

FLAGS = {"i": "IGNORECASE", "m": "MULTILINE", "s": "DOTALL", "x": "VERBOSE", "a": "ASCII"}


@lru_cache(maxsize=1024)
def compiled(pattern: str, flags: tuple[str, ...]) -> regex.Pattern[str]:
    """Raises regex.error."""
    import regex  # here, and below: not every command that knows gates meets a pattern

    value = regex.VERSION0
    for flag in flags:
        value |= getattr(regex, FLAGS[flag])
    return regex.compile(pattern, value)


def fault(pattern: str, flags: Iterable[str]) -> str | None:
    """What is wrong with a pattern; None: nothing."""
    import regex

    try:
        compiled(pattern, tuple(flags))
    except regex.error as error:
        return f"is no regular expression: {error}"
    except (RecursionError, MemoryError, OverflowError) as error:
        return f"is no regular expression: {type(error).__name__}"
    return None


def find_all(pattern: str, flags: tuple[str, ...], text: str, limit: int = 1_000_000) -> list[regex.Match[str]]:
    """All matches that do not overlap. Raises CannotJudge where the time limit is hit or the pattern is broken."""
    import regex

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
