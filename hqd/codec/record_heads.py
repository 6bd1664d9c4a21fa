"""Heads of records by the hundred thousand: what is alike in many of them is found out once.

hqd's records of one kind of event differ in values, hardly in keys. The first of a shape is read line by line and
makes a pattern; the others are matched as a whole. A pattern takes only values that stand in JSON as they do in TOML,
so nothing has to be checked afterwards; every other head goes to `record_head.read_head`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from hqd.codec.record_head import CURSOR, joined_lists, json_of_tables, read_head

_PLAIN = r'[^"\\\x00-\x1f]*'
_TEXT = rf'"{_PLAIN}(?:\\(?:["\\bfnrt]|u[0-9A-Fa-f]{{4}}){_PLAIN})*"'
_MOMENT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Zz-]+"
_WHOLE = r"(?:0|[1-9][0-9]*)"
_NUMBER = rf"-?{_WHOLE}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PAIR = rf"[A-Za-z0-9_-]+ = (?:{_TEXT}|{_NUMBER}|true|false)"
_INLINE = rf"\{{ {_PAIR}(?:, {_PAIR})* \}}"
_TABLES = rf"\[{_INLINE}(?:,{_INLINE})*\]"
_REST = tuple(
    (re.compile(pattern), f"({pattern})", form)
    for pattern, form in (
        (_TEXT, "%s"),
        ("true|false", "%s"),
        (_MOMENT, '"%s"'),
        (_NUMBER, "%s"),
        (rf"\[{_TEXT}(?:,{_TEXT})*\]", "%s"),
        (_TABLES, "%s"),
    )
)
"""How a value may look, what takes it, and how it stands in JSON."""
_APART = tuple(
    (re.compile(pattern), taken, kind)
    for pattern, taken, kind in (
        (f'"{_PLAIN}"', f'"({_PLAIN})"', str),
        (_MOMENT, f"({_MOMENT})", str),
        (_WHOLE, f"({_WHOLE})", int),
    )
)
_KEY = re.compile(r"([A-Za-z0-9_-]+) = (.*)")
_HEADER = re.compile(r"\[([A-Za-z0-9_-]+)\]|\[\[([A-Za-z0-9_-]+)\]\]")
_MOST = 6
"""So many shapes of one kind of event and of one length are known; a head of yet another is read line by line."""


class Head(NamedTuple):
    """`apart`: the values apart, None where there is none. `rest`: all others but the cursor, as a JSON object.
    `typed`: the values apart are of the types that were asked for."""

    apart: list[Any]
    rest: str
    typed: bool


_Groups = tuple[str | None, ...]
_NOTHING = (None,)


class _Shape(NamedTuple):
    pattern: re.Pattern[str]
    apart: Callable[[_Groups], tuple[Any, ...]]  # the values apart, of the groups and a None behind them
    numbers: tuple[int, ...]  # places among these where whole numbers stand
    others: Callable[[_Groups], tuple[Any, ...]]  # all other values
    tables: tuple[int, ...]  # places among these where inline tables stand
    rest: str  # JSON with a %s for each of the others


class Heads:
    """Reads heads like `read_head`. `apart`: the top-level keys that are told apart, two at least, with the types of
    their values."""

    def __init__(self, apart: Mapping[str, type]) -> None:
        self._apart = apart
        self._shapes: dict[tuple[str, int], list[_Shape]] = {}

    def read(self, data: bytes, kind: str, path: str) -> Head:
        """`kind`: heads of one kind are much alike. Raises UnreadableRecord."""
        return self.within(data, 0, len(data), kind, path)

    def within(self, data: bytes, start: int, stop: int, kind: str, path: str) -> Head:
        """Like `read`, of what stands between two places of much data."""
        end = data.find(CURSOR, start, stop)
        try:
            text = joined_lists(data[start : end if end >= 0 else stop].decode("utf-8"))
        except UnicodeDecodeError:
            return self._alone(data[start:stop], path)
        shapes = self._shapes.setdefault((kind, text.count("\n")), [])
        for place, shape in enumerate(shapes):
            found = shape.pattern.fullmatch(text)
            if found is not None:
                if place:
                    shapes.insert(0, shapes.pop(place))
                return _told(shape, found)
        learned = _Learner(self._apart).shape(text) if len(shapes) < _MOST else None
        found = learned.pattern.fullmatch(text) if learned is not None else None
        if learned is None or found is None:
            return self._alone(data[start:stop], path)
        shapes.insert(0, learned)
        return _told(learned, found)

    def _alone(self, data: bytes, path: str) -> Head:
        known, rest = read_head(data, self._apart, path)
        return Head([known.get(name) for name in self._apart], rest, False)


def _told(shape: _Shape, found: re.Match[str]) -> Head:
    groups = found.groups()
    apart = list(shape.apart(groups + _NOTHING))
    for place in shape.numbers:
        apart[place] = int(apart[place])
    others = shape.others(groups)
    if shape.tables:
        others = tuple(json_of_tables(each) if at in shape.tables else each for at, each in enumerate(others))
    return Head(apart, shape.rest % others, True)


class _Unlike(Exception):
    """A head that makes no pattern."""


class _Learner:
    """Makes a pattern of one head."""

    def __init__(self, apart: Mapping[str, type]) -> None:
        self._apart = apart
        self._count = 0
        self._names: list[tuple[str, int, type]] = []
        self._others: list[int] = []
        self._inline: list[int] = []
        self._root: dict[str, str] = {}
        self._tables: dict[str, list[dict[str, str]]] = {}
        self._single: set[str] = set()

    def shape(self, text: str) -> _Shape | None:
        """None: line by line it must be."""
        try:
            pattern = "\n".join(self._lines(text))
        except _Unlike:
            return None
        if len(self._names) < 2 or len(self._others) < 2 or self._root.keys() & self._tables.keys():
            return None
        groups = {name: group for name, group, _kind in self._names}
        return _Shape(
            re.compile(pattern),
            itemgetter(*(groups.get(name, 0) - 1 for name in self._apart)),
            tuple(at for at, (name, kind) in enumerate(self._apart.items()) if name in groups and kind is int),
            itemgetter(*(group - 1 for group in self._others)),
            tuple(self._inline),
            self._json(),
        )

    def _lines(self, text: str) -> Iterator[str]:
        body = self._root
        for line in text.split("\n"):
            pair = _KEY.fullmatch(line)
            if pair is not None:
                yield f"{re.escape(pair[1])} = {self._value(body, pair[1], pair[2])}"
            elif line:
                body = self._begun(line)
                yield re.escape(line)
            else:
                yield ""

    def _value(self, body: dict[str, str], key: str, value: str) -> str:
        if key in body or (body is self._root and any(key == name for name, _group, _kind in self._names)):
            raise _Unlike  # twice
        self._count += 1
        if body is self._root and key in self._apart:
            for pattern, taken, kind in _APART:
                if kind is self._apart[key] and pattern.fullmatch(value):
                    self._names.append((key, self._count, kind))
                    return taken
            raise _Unlike
        for pattern, taken, form in _REST:
            if pattern.fullmatch(value):
                body[key] = form
                if value.startswith("[{"):
                    self._inline.append(len(self._others))
                self._others.append(self._count)
                return taken
        raise _Unlike

    def _begun(self, line: str) -> dict[str, str]:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise _Unlike
        name = found[1] or found[2]
        if found[1] is not None:
            if name in self._tables:
                raise _Unlike
            self._single.add(name)
        elif name in self._single:
            raise _Unlike
        row: dict[str, str] = {}
        self._tables.setdefault(name, []).append(row)
        if len({*self._tables}) > 1 and next(reversed(self._tables)) != name:
            raise _Unlike  # rows of two tables among each other: their groups would not be in the order of the JSON
        return row

    def _json(self) -> str:
        parts = [f'"{key}":{form}' for key, form in self._root.items()]
        for name, rows in self._tables.items():
            objects = ",".join("{" + ",".join(f'"{key}":{form}' for key, form in row.items()) + "}" for row in rows)
            parts.append(f'"{name}":{objects}' if name in self._single else f'"{name}":[{objects}]')
        return "{" + ",".join(parts) + "}"
