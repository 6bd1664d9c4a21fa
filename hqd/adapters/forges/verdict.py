"""What a forge's answer means: good, later, or not like this. Pure; written once for all forges."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from hqd.errors import ForgeRefused, ForgeUnavailable

SECONDARY = 60.0
"""Seconds to wait at a limit that names no time (GitHub asks for at least a minute)."""
_LONGEST_SAID = 300  # characters of a server's own words in a message
_MOST_FAULTS = 20  # of the faults that a refusal lists
_LATER = {408, 500, 502, 503, 504, 520, 521, 522, 523, 524}
_MOVED = {301, 302, 303, 307, 308}
_CAUSES = {
    400: ("invalid", "the forge does not accept what was sent"),
    401: ("credentials", "the forge does not accept the token"),
    403: ("rights", "the token may not do this"),
    404: ("missing", "there is no such thing on the forge, or the token may not see it"),
    405: ("blocked", "the forge does not allow this now"),
    406: ("blocked", "the forge does not allow this now"),
    409: ("conflict", "what is there stands against it"),
    410: ("missing", "it is gone"),
    412: ("conflict", "what is there stands against it"),
    422: ("invalid", "the forge does not accept what was sent"),
    451: ("missing", "the forge withholds it for legal reasons"),
}
_REMEDIES = {
    "credentials": "renew the token that [forge] names; `hqd doctor` shows what it may do",
    "rights": "give the token that [forge] names this right; `hqd doctor` shows which it has",
    "missing": "look at `repo` in [forge], and at what the token may see",
    "moved": "write the repository's new name in [forge] `repo`",
}

Fault = ForgeRefused | ForgeUnavailable


def fault_of(status: int, headers: Mapping[str, str], data: Any, now: datetime) -> Fault | None:
    """What is wrong with an answer; None: nothing. `headers` in lower case; `now`: for limits that name a time."""
    if 200 <= status < 300 or status == 304:
        return None
    words = said(data)
    if _is_limit(status, headers, words):
        wait = limit_wait(headers, now)
        return ForgeUnavailable(
            "limit", f"the forge asks to wait {wait:.0f} s: {words or f'HTTP {status}'}", wait=wait,
            remedy="hqd goes on by itself",
        )  # fmt: skip
    if status in _LATER:
        return ForgeUnavailable(
            "down", f"the forge is in trouble: {words or f'HTTP {status}'}", wait=_retry_after(headers, now),
            remedy="hqd tries again",
        )  # fmt: skip
    cause, meaning = _refusal(status)
    return ForgeRefused(cause, meaning + (f": {words}" if words else ""), remedy=_REMEDIES.get(cause, ""))


def spent_until(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds until the primary limit is renewed, where a good answer says that nothing is left of it."""
    if _number(headers, "x-ratelimit-remaining", "ratelimit-remaining") != 0:
        return None
    return limit_wait(headers, now)


def limit_wait(headers: Mapping[str, str], now: datetime) -> float:
    """Seconds to wait at a limit: `Retry-After`, else the reset of a limit of which nothing is left, else a minute."""
    asked = _retry_after(headers, now)
    if asked is not None:
        return asked
    resets = resets_at(headers)
    if resets is not None and _number(headers, "x-ratelimit-remaining", "ratelimit-remaining") == 0:
        return max(1.0, (resets - _server_time(headers, now)).total_seconds() + 1.0)
    return SECONDARY


def resets_at(headers: Mapping[str, str]) -> datetime | None:
    """When the primary limit is renewed, by the server's clock."""
    at = _number(headers, "x-ratelimit-reset", "ratelimit-reset")
    if at is None or not 0 < at < 1e11:
        return None
    return datetime.fromtimestamp(at, UTC)


def limits(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """(limit, remaining) of the primary limit."""
    return (
        _number(headers, "x-ratelimit-limit", "ratelimit-limit"),
        _number(headers, "x-ratelimit-remaining", "ratelimit-remaining"),
    )


def said(data: Any) -> str:
    """The server's own words in one line, without what a terminal or a reader would stumble over."""
    if isinstance(data, Mapping):
        parts = [_flat(data[key]) for key in ("message", "error", "error_description") if data.get(key)]
        faults = data.get("errors")
        parts += [_flat(fault) for fault in faults[:_MOST_FAULTS]] if isinstance(faults, list) else []
        words = "; ".join(dict.fromkeys(part for part in parts if part))
    else:
        words = data if isinstance(data, str) else ""
    clean = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in words[: _LONGEST_SAID * 4])
    line = " ".join(clean.split())
    return line if len(line) <= _LONGEST_SAID else line[: _LONGEST_SAID - 1] + "…"


def _flat(value: Any, depth: int = 3) -> str:
    """Words of a fault. A forge nests them once or twice; whatever is deeper is nobody's words."""
    if isinstance(value, Mapping) and depth:
        named = (
            [value["message"]] if value.get("message") else [value[key] for key in ("field", "code") if key in value]
        )
        return " ".join(_flat(each, depth - 1) for each in named)
    if isinstance(value, list) and depth:
        return ", ".join(_flat(each, depth - 1) for each in value[:_MOST_FAULTS])
    return "" if isinstance(value, (Mapping, list)) else str(value)


def _refusal(status: int) -> tuple[str, str]:
    if status in _MOVED:
        return "moved", "the repository, or the forge, has another address now"
    return _CAUSES.get(status, ("invalid", f"an answer that hqd does not know (HTTP {status})"))


def _is_limit(status: int, headers: Mapping[str, str], words: str) -> bool:
    if status == 429:
        return True
    if status != 403:
        return False
    spent = _number(headers, "x-ratelimit-remaining", "ratelimit-remaining") == 0
    low = words.lower()
    return spent or "retry-after" in headers or "secondary rate limit" in low or "abuse detection" in low


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isdecimal() and text.isascii() and len(text) < 10:
        return float(text)
    at = _date(text)
    return None if at is None else max(0.0, (at - _server_time(headers, now)).total_seconds())


def _server_time(headers: Mapping[str, str], now: datetime) -> datetime:
    """The server's own clock, which is what its times are measured by; a clock here may be wrong."""
    return _date(headers.get("date", "")) or now


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _number(headers: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        text = headers.get(name, "").strip()
        if text.isdecimal() and text.isascii() and len(text) < 16:
            return int(text)
    return None
