"""Front matter of any form: ruamel.yaml's event stream to plain values. The simple form is `yaml_lines`'s own work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
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

from hqd.codec.yaml_lines import MAX_DEPTH, MAX_VALUES, BadYaml, Lines
from hqd.model.problem import Place


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
