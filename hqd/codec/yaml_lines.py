"""Front matter's YAML to plain values, with the line of every key, and with guards.

Two readers that agree (a property test compares them): a line reader for the form that nearly all front matter has
(`key: value`, `key: [a, b]`, one level of `- item` or `key: value` below a key), which is some fifty times faster,
and ruamel.yaml's event stream for everything else. No tags, no objects, no merge keys; aliases are counted by what
they expand to; depth and size are bounded; the same key twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from hqd.model.problem import Place

MAX_CHARACTERS = 64_000
MAX_DEPTH = 12
MAX_VALUES = 10_000  # aliases counted by what they stand for

Lines = dict[Place, int]


class BadYaml(ValueError):
    """What is wrong, and in which line of the file."""

    def __init__(self, line: int, message: str, remedy: str = "", place: Place = ()) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.remedy = remedy
        self.place = place


def read_yaml(text: str, first_line: int = 1) -> tuple[dict[str, Any], Lines]:
    """A mapping with text keys, and the line of each key and list element. Raises BadYaml for everything else."""
    if len(text) > MAX_CHARACTERS:
        raise BadYaml(first_line, f"front matter of {len(text)} characters; at most {MAX_CHARACTERS}")
    simple = read_simple(text, first_line)
    if simple is not None:
        return simple
    from hqd.codec.yaml_full import read_full  # here: ruamel.yaml takes 15 ms to import, and hardly a file needs it

    return read_full(text, first_line)


# --- the line reader -----------------------------------------------------------------------------------------------

_ENTRY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,63}):(?: +(\S.*))?")
_NESTED = re.compile(r"( +)([A-Za-z_][A-Za-z0-9_-]{0,63}): +(\S.*)")
_ITEM = re.compile(r"( *)- +(\S.*)")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,8})\.[0-9]{1,9}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_QUOTED = re.compile(r'"[^"\\]*"|\'[^\']*\'')
_NOT_PLAIN = frozenset({"True", "TRUE", "False", "FALSE", "null", "Null", "NULL"})
_RESERVED_KEYS = _NOT_PLAIN | {"true", "false"}


class _NotSimple(Exception):
    """A signal between the functions of the line reader."""


@dataclass(slots=True)
class _Block:
    """The key whose indented lines are being read."""

    key: str
    indent: int = -1
    value: Any = None


def read_simple(text: str, first_line: int = 1) -> tuple[dict[str, Any], Lines] | None:
    """The same as `read_full` for the simple form; None for every text that is not surely of that form."""
    values: dict[str, Any] = {}
    lines: Lines = {}
    block: _Block | None = None
    try:
        for number, raw in enumerate(text.split("\n"), first_line):
            line = raw.rstrip("\r").rstrip(" ")
            if not line.isprintable():
                return None
            if not line or (line[0] == "#" and block is None):
                continue
            if line[0] in " -":
                if block is None:
                    return None
                _extend(block, line, number, lines)
                values[block.key] = block.value
                continue
            key, value = _entry(line)
            if key in values:
                return None
            block = _Block(key) if value is None else None
            values[key] = None if value is None else _value(value, (key,), number, lines)
            lines[(key,)] = number
    except (_NotSimple, ValueError):
        return None
    return values, lines


def _entry(line: str) -> tuple[str, str | None]:
    found = _ENTRY.fullmatch(line)
    if found is None or found[1] in _RESERVED_KEYS:
        raise _NotSimple
    return found[1], found[2]


def _extend(block: _Block, line: str, number: int, lines: Lines) -> None:
    item = _ITEM.fullmatch(line)
    nested = None if item else _NESTED.fullmatch(line)
    found = item or nested
    if found is None or block.indent not in (-1, len(found[1])):
        raise _NotSimple
    block.indent = len(found[1])
    if block.value is None:
        block.value = [] if item else {}
    if item and isinstance(block.value, list):
        lines[(block.key, len(block.value))] = number
        block.value.append(_scalar(item[2]))
    elif nested and isinstance(block.value, dict) and nested[2] not in block.value and nested[2] not in _RESERVED_KEYS:
        lines[(block.key, nested[2])] = number
        block.value[nested[2]] = _value(nested[3], (block.key, nested[2]), number, lines)
    else:
        raise _NotSimple


def _value(text: str, place: Place, number: int, lines: Lines) -> Any:
    if text[0] != "[":
        return _scalar(text)
    inner = text[1:-1].strip(" ")
    if text[-1] != "]" or any(char in inner for char in "[]{}\"'"):
        raise _NotSimple
    values = [_scalar(item.strip(" ")) for item in inner.split(",")] if inner else []
    lines.update({(*place, index): number for index in range(len(values))})
    return values


def _scalar(text: str) -> Any:
    if text[:1].isalpha():
        if ":" in text or "#" in text or text in _NOT_PLAIN:
            raise _NotSimple
        return {"true": True, "false": False}.get(text, text)
    if _QUOTED.fullmatch(text):
        return text[1:-1]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _DATE.fullmatch(text):
        return date.fromisoformat(text)
    raise _NotSimple


def line_of(lines: Mapping[Place, int], place: Place, default: int = 1) -> int:
    """The line of a key, or of the nearest key around it."""
    while place:
        if place in lines:
            return lines[place]
        place = place[:-1]
    return default
