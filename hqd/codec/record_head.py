"""What a record says beside its cursor, read fast: a hundred thousand records in a few seconds.

`write_record` writes a small part of TOML: one key a line, no line end inside a text, the cursor last. Its texts,
numbers and lists are JSON but for their punctuation, so they are taken over as they stand. Whatever looks otherwise
(a record mended by hand) goes through the full parser.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from hqd.codec.record import UnreadableRecord

CURSOR = b"\n[cursor]\n"
_LINE = re.compile(r"^(?:(\[.*\])|([A-Za-z0-9_-]+) = (.*)|(.+))$", re.MULTILINE)
_HEADER = re.compile(r"\[([A-Za-z0-9_-]+)\]|\[\[([A-Za-z0-9_-]+)\]\]")
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")|([A-Za-z0-9_-]+) = ')


class _Unusual(Exception):
    """Not what `write_record` writes."""


def read_head(data: bytes, apart: Container[str] = (), path: str = "record") -> tuple[dict[str, Any], str]:
    """(the top-level values named in `apart`, all others as the text of a JSON object), without `cursor`.

    Moments are texts in ISO form. Raises UnreadableRecord.
    """
    end = data.find(CURSOR)
    try:
        return _quickly((data[:end] if end >= 0 else data).decode("utf-8"), apart)
    except (_Unusual, ValueError):
        return _slowly(data, apart, path)


def joined_lists(text: str) -> str:
    """A record's text with every list on one line."""
    return text.replace(",\n]", "]").replace("[\n    ", "[").replace(",\n    ", ",") if "[\n" in text else text


def seconds(moment: str) -> float:
    """Seconds since 1970 of a record's moment. Raises ValueError."""
    at = datetime.fromisoformat(moment)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _quickly(text: str, apart: Container[str]) -> tuple[dict[str, Any], str]:
    text = joined_lists(text)
    known: dict[str, Any] = {}
    root: list[str] = []
    tables: dict[str, list[str]] = {}
    single: set[str] = set()
    body = root
    for header, key, value, other in _LINE.findall(text):
        if key:
            first = value[0]
            if body is root and key in apart:
                known[key] = value[1:-1] if first == '"' and "\\" not in value else _value(value)
                continue
            if first in "[{0123456789":
                value = _punctuated(value)
            body.append(f'"{key}":{value}')
        elif header:
            body = _begun(header, tables, single)
        elif other:
            raise _Unusual
    for name, rows in tables.items():
        objects = ",".join("{" + ",".join(row) + "}" for row in rows)
        root.append(f'"{name}":{objects}' if name in single else f'"{name}":[{objects}]')
    rest = "{" + ",".join(root) + "}"
    json.loads(rest)
    return known, rest


def _begun(header: str, tables: dict[str, list[Any]], single: set[str]) -> list[str]:
    found = _HEADER.fullmatch(header)
    if found is None:
        raise _Unusual  # a table in a table
    name, many = found[1] or found[2], found[2] is not None
    if not many:
        if name in tables:
            raise _Unusual
        single.add(name)
    row: list[str] = []
    tables.setdefault(name, []).append(row)
    return row


def _value(token: str) -> Any:
    if token.isdigit():
        return int(token)
    return token if token[4:5] == "-" and token[10:11] in ("T", " ") else json.loads(_punctuated(token))


def _punctuated(token: str) -> str:
    if token[4:5] == "-" and token[10:11] in ("T", " "):
        return f'"{token}"'
    if "{" in token and token[0] in "[{":
        return json_of_tables(token)
    return token


def json_of_tables(token: str) -> str:
    """Inline tables, as JSON has them."""
    return _TOKEN.sub(lambda found: found[1] or f'"{found[2]}":', token)


def _slowly(data: bytes, apart: Container[str], path: str) -> tuple[dict[str, Any], str]:
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnreadableRecord(f"{path}: not a record: {error}", remedy="restore the file from git") from error
    raw.pop("cursor", None)
    head = {key: _json(value) for key, value in raw.items()}
    known = {key: value for key, value in head.items() if key in apart}
    rest = {key: value for key, value in head.items() if key not in apart}
    return known, json.dumps(rest, ensure_ascii=False, separators=(",", ":"))


def _json(value: Any) -> Any:
    """Plain values as JSON can hold them."""
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_json(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) else str(value)
