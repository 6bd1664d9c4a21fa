"""Record v1 to TOML and back. The same record gives the same bytes; what is None or empty is left out."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from hqd.errors import Misconfigured
from hqd.model.record import RECORD_VERSION, OutputRef, Record

_TABLE = re.compile(r"\[cursor(?:\.outputs\.([A-Za-z0-9_-]+))?\]")
_PAIR = re.compile(r'([a-z_]+) = (?:"([^"\\]*)"|(0|[1-9][0-9]*)|(true|false))')
_EMPTY: tuple[Any, ...] = (None, (), [], {})


class UnreadableRecord(Misconfigured):
    """A record that cannot be read: broken by hand, or written by a newer hqd. Nothing may be decided on it."""


def write_record(record: Record) -> bytes:
    """The TOML of a record: deterministic, UTF-8, keys in the model's order."""
    return tomli_w.dumps(_table(record)).encode("utf-8", "replace")


def read_record(data: bytes, path: str = "record") -> Record:
    """The record in `data`, of this or any older version. Raises UnreadableRecord."""
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnreadableRecord(f"{path}: not a record: {error}", remedy=_RESTORE) from error
    return record_of(raw, path)


def read_outputs(data: bytes, path: str = "record") -> tuple[str | None, dict[str, OutputRef]]:
    """Playbook and outputs of a record's cursor, without reading the rest: for ten thousand records in a row.

    What `write_record` writes has each table begin on a line of its own, and no line end inside a text. Raises
    UnreadableRecord.
    """
    try:
        kept = _of_outputs("\n" + data.decode("utf-8"))
        raw = _plainly(kept) or tomllib.loads("\n".join(kept))
        if raw.get("v") != RECORD_VERSION:
            record = read_record(data, path)
            return record.cursor.playbook, record.cursor.outputs
        cursor = raw.get("cursor", {})
        outputs = {step: OutputRef.model_validate(ref) for step, ref in cursor.get("outputs", {}).items()}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError, AttributeError) as error:
        raise UnreadableRecord(f"{path}: not a record: {error}", remedy=_RESTORE) from error
    return cursor.get("playbook"), outputs


def _of_outputs(text: str) -> list[str]:
    """The lines of a record that say its version, its playbook and its outputs."""
    end = text.find("\n[")
    found = [line for line in text[: end if end >= 0 else None].splitlines() if line.startswith("v = ")]
    at = text.find("\n[cursor]")
    if at >= 0:
        end = text.find("\n[", at + 1)
        table = text[at + 1 : end if end >= 0 else None].splitlines()
        found += [line for line in table if line.startswith(("[cursor]", "playbook = "))]
    at = text.find("\n[cursor.outputs")
    while at >= 0:
        end = text.find("\n[", at + 1)
        found += text[at + 1 : end if end >= 0 else None].splitlines()
        at = text.find("\n[cursor.outputs", at + 1)
    return found


def _plainly(lines: Sequence[str]) -> dict[str, Any] | None:
    """What plain lines say, some ten times as fast as TOML's own reader; None where one of them is not plain."""
    cursor: dict[str, Any] = {"outputs": {}}
    raw: dict[str, Any] = {"cursor": cursor}
    at = raw
    for line in lines:
        table, pair = _TABLE.fullmatch(line), _PAIR.fullmatch(line)
        if table is not None:
            at = cursor["outputs"].setdefault(table[1], {}) if table[1] else cursor
        elif pair is not None:
            name, text, number, _flag = pair.groups()
            at[name] = text if text is not None else int(number) if number is not None else line.endswith("true")
        elif line:
            return None
    return raw


def record_of(raw: Mapping[str, Any], path: str = "record") -> Record:
    """A record from parsed TOML. Raises UnreadableRecord."""
    version = raw.get("v")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise UnreadableRecord(f"{path}: v: no version of a record", remedy=_RESTORE)
    if version > RECORD_VERSION:
        message = f"{path}: v: record version {version}; this hqd knows versions up to {RECORD_VERSION}"
        raise UnreadableRecord(message, remedy="upgrade hqd")
    try:
        return Record.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UnreadableRecord(f"{path}: {key}: {first['msg']}", remedy=_RESTORE) from error


_RESTORE = "records are append-only: restore the file from git (`git log -- PATH`)"


@cache
def _names(model: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    return tuple((name, info.alias or name) for name, info in model.model_fields.items())


def _table(value: BaseModel) -> dict[str, Any]:
    """A model's fields that say something. What is left out equals the field's default, which is empty."""
    table: dict[str, Any] = {}
    for name, key in _names(type(value)):
        item = getattr(value, name)
        if item in _EMPTY:
            continue
        table[key] = _plain(item)
    return table


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _table(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value if item is not None]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool | int | float | datetime):
        return value
    return str(value)
