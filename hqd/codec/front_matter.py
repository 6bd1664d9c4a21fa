"""Writing front matter for the files that hqd itself makes (holds, lessons, children). Same values, same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def write_front_matter(values: Mapping[str, Any]) -> str:
    """`---`, one line a key, `---`. None is left out; texts are quoted, so that no value can become a key."""
    return "---\n" + _mapping(values, "") + "---\n"


def _mapping(values: Mapping[str, Any], indent: str) -> str:
    return "".join(_entry(key, value, indent) for key, value in values.items() if value is not None)


def _entry(key: str, value: Any, indent: str) -> str:
    if isinstance(value, Mapping) and value:
        return f"{indent}{_key(key)}:\n{_mapping(value, indent + '  ')}"
    if isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(item, Mapping) for item in value):
        return f"{indent}{_key(key)}:\n" + "".join(f"{indent}- {_flow(item)}\n" for item in value)
    return f"{indent}{_key(key)}: {_flow(value)}\n"


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) and key not in ("true", "false", "null") else _text(key)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = (f"{_key(key)}: {_flow(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(value)
    return _text(str(value))


def _text(value: str) -> str:
    """A double-quoted YAML text: JSON's escapes, and everything that is not printable escaped too."""
    quoted = json.dumps(value.encode("utf-8", "replace").decode("utf-8"), ensure_ascii=False)
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in quoted)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
