"""Durations: a small written form that playbooks and settings share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """Seconds of a duration such as `30s`, `1h30m`, `500ms`, `2d`. Raises ValueError for anything else."""
    position, total = 0, 0.0
    while position < len(text):
        found = _DURATION.match(text, position)
        if found is None:
            break
        total += float(found.group(1)) * _UNITS[found.group(2)]
        position = found.end()
    if not text or position != len(text):
        raise ValueError(f"not a duration: {text!r} (write 30s, 5m, 1h30m, 2d)")
    return total


def _check_duration(text: str) -> str:
    seconds(text)
    return text


def _duration_text(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value}s"
    return value


_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"},
        {"type": "number", "minimum": 0},
    ],
    "description": "a duration: 30s, 5m, 1h30m, 2d; a bare number means seconds",
}

Duration = Annotated[str, BeforeValidator(_duration_text), AfterValidator(_check_duration), WithJsonSchema(_SCHEMA)]
"""A duration as its author wrote it (`"30s"`); a bare number means seconds. `seconds()` reads it."""
