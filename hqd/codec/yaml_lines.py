"""Front matter's YAML to plain values, with the line of every key, and with guards.

Two readers that agree (a property test compares them): a line reader for the form that nearly all front matter has
(`key: value`, `key: [a, b]`, one level of `- item` or `key: value` below a key), which is some fifty times faster,
and ruamel.yaml's event stream for everything else. No tags, no objects, no merge keys; aliases are counted by what
they expand to; depth and size are bounded; the same key twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

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
    return simple if simple is not None else read_full(text, first_line)


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


# --- the full reader -----------------------------------------------------------------------------------------------


def read_full(text: str, first_line: int = 1) -> tuple[dict[str, Any], Lines]:
    """`read_yaml` by ruamel.yaml's events alone. Raises BadYaml."""
    reader = _Reader(first_line)
    try:
        value = reader.document(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first_line + (mark.line if mark is not None else 0)
        what = " ".join(filter(None, (error.context, error.problem)))
        raise BadYaml(line, f"not YAML: {what}", "quote values that contain `: ` or ` #`") from error
    except ReaderError as error:
        line = first_line + text.count("\n", 0, error.position)
        raise BadYaml(line, f"not YAML: the character {chr(error.character)!r}", "remove it") from error
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadYaml):
            raise
        raise BadYaml(first_line, f"not YAML: {str(error).splitlines()[0] if str(error) else error!r}") from error
    if value is None:
        return {}, {}
    if not isinstance(value, dict):
        raise BadYaml(first_line, "front matter is not a list of `key: value` lines", "close it, or remove the ---")
    return value, reader.lines


@dataclass
class _Reader:
    first_line: int
    lines: Lines = field(default_factory=dict)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    count: int = 0

    def document(self, text: str) -> Any:
        self._yaml = YAML(typ="safe", pure=True)
        self._events: Iterator[Event] = self._yaml.parse(text)
        value, documents = None, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise BadYaml(self._line(event), "a second YAML document inside the front matter")
            elif isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent | AliasEvent):
                value = self._read(event, ())
        return value

    def _line(self, event: Event) -> int:
        return int(event.start_mark.line) + self.first_line

    def _read(self, event: Event, place: Place) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise BadYaml(self._line(event), f"more than {MAX_VALUES} values, aliases counted", place=place)
        if len(place) > MAX_DEPTH:
            raise BadYaml(self._line(event), f"nested deeper than {MAX_DEPTH} levels", place=place[:3])
        if isinstance(event, AliasEvent):
            return self._alias(event, place)
        if _tag(event):
            raise BadYaml(
                self._line(event), f"tags such as {_tag(event)} are not allowed", "write a plain value", place
            )
        before = self.count
        if isinstance(event, ScalarEvent):
            value = self._scalar(event, place)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(place)
        else:
            value = self._mapping(place)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self.anchors[anchor] = (value, self.count - before + 1)
        return value

    def _alias(self, event: AliasEvent, place: Place) -> Any:
        if event.anchor not in self.anchors:
            raise BadYaml(self._line(event), f"*{event.anchor} refers to itself or to nothing", place=place)
        value, size = self.anchors[event.anchor]
        self.count += size
        if self.count > MAX_VALUES:
            raise BadYaml(self._line(event), f"more than {MAX_VALUES} values, aliases counted", place=place)
        return value

    def _sequence(self, place: Place) -> list[Any]:
        values: list[Any] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            inner = (*place, len(values))
            self.lines[inner] = self._line(event)
            values.append(self._read(event, inner))
        return values

    def _mapping(self, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._key(event, place)
            inner, line = (*place, key), self._line(event)
            if key in values:
                first = self.lines[inner]
                raise BadYaml(line, f"stands twice (first in line {first})", "keep one of them", inner)
            self.lines[inner] = line
            values[key] = self._read(next(self._events), inner)
        return values

    def _key(self, event: Event, place: Place) -> str:
        value = self._scalar(event, place) if isinstance(event, ScalarEvent) and not _tag(event) else None
        if not isinstance(value, str):
            raise BadYaml(self._line(event), "a key that is no text", "write it in quotes", place)
        return value

    def _scalar(self, event: ScalarEvent, place: Place) -> Any:
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            raise BadYaml(self._line(event), "half of a surrogate pair, which is no character", place=place)
        if not event.implicit[0]:
            return event.value
        tag = str(self._yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
        kind = tag.rpartition(":")[2]
        if kind == "merge":
            raise BadYaml(self._line(event), "merge keys (<<) are not supported", "write the keys out", place)
        if kind not in _CONSTRUCTED:
            return event.value
        node = ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            made = getattr(self._yaml.constructor, f"construct_yaml_{kind}")(node)
            return _plain_time(made) if isinstance(made, datetime) else made
        except (YAMLError, ValueError, OverflowError) as error:
            raise BadYaml(self._line(event), f"{event.value[:40]!r} is no {kind}", place=place) from error


_CONSTRUCTED = frozenset({"int", "float", "bool", "null", "timestamp"})


def _tag(event: Event) -> str:
    return str(getattr(event, "tag", None) or "")


def _plain_time(moment: datetime) -> datetime:
    """ruamel's time as Python's own, in UTC; one without a zone stays without."""
    plain = datetime(*moment.timetuple()[:6], moment.microsecond, moment.tzinfo)  # noqa: DTZ001 - the author's, or none
    return plain if plain.tzinfo is None else plain.astimezone(UTC)


def line_of(lines: Mapping[Place, int], place: Place, default: int = 1) -> int:
    """The line of a key, or of the nearest key around it."""
    while place:
        if place in lines:
            return lines[place]
        place = place[:-1]
    return default
