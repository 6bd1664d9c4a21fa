"""TOML with the line of every key: tomllib reads the values, a small scanner finds where the keys stand.

The scanner runs only over text that tomllib has accepted, so it may assume valid TOML and never judges.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hqd.model.problem import Place, Problem

MAX_BYTES = 1_000_000
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = re.compile(r" \(at end of document\)$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]*")


@dataclass(frozen=True, slots=True)
class Toml:
    """A TOML file: its values, the lines of its keys, and what is wrong (then there are no values)."""

    values: Mapping[str, Any]
    lines: Mapping[Place, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, place: Place) -> int:
        """The line of a key or list element; of the nearest thing around it where it stands nowhere itself."""
        while place:
            if place in self.lines:
                return self.lines[place]
            place = place[:-1]
        return 1


def read_toml(data: bytes, path: str) -> Toml:
    """Values and lines of a TOML file. Never raises."""
    if len(data) > MAX_BYTES:
        return Toml({}, problems=(Problem(path, 0, "", f"the file has more than {MAX_BYTES} bytes"),))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Toml({}, problems=(Problem(path, line, "", "a byte that is not UTF-8", "save the file as UTF-8"),))
    try:
        values = tomllib.loads(text)
        lines = key_lines(text)
    except tomllib.TOMLDecodeError as error:
        return Toml({}, problems=(_broken(str(error), text, path),))
    except RecursionError:
        return Toml({}, problems=(Problem(path, 0, "", "not TOML: nested too deeply"),))
    return Toml(values, lines)


def _broken(message: str, text: str, path: str) -> Problem:
    found = _AT_LINE.search(message)
    line = int(found[1]) if found else text.count("\n") + (not text.endswith("\n"))
    what = _AT_END.sub(" at the end of the file", _AT_LINE.sub("", message))
    return Problem(path, line, "", f"not TOML: {what[:1].lower()}{what[1:]}")


def key_lines(text: str) -> dict[Place, int]:
    """The line of every key, table header and list element of valid TOML."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line = 1
        self.lines: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}  # array of tables -> elements so far

    def scan(self) -> dict[Place, int]:
        table: Place = ()
        while self._skip(_SPACE) < len(self.text):
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.line += found[0].count("\n")
            self.at = found.end()
        return self.at

    def _peek(self, char: str) -> bool:
        return self.text.startswith(char, self.at)

    def _header(self) -> Place:
        line = self.line
        is_list = self._peek("[[")
        self.at += 2 if is_list else 1
        keys = self._keys()
        self.at += 2 if is_list else 1
        place: Place = ()
        for index, key in enumerate(keys):
            place = (*place, key)
            last = index == len(keys) - 1
            if last and is_list:
                self.lines.setdefault(place, line)
                self.counts[place] = self.counts.get(place, 0) + 1
            if not last:
                self.lines.setdefault(place, line)
            if place in self.counts:
                place = (*place, self.counts[place] - 1)
        if is_list:
            self.lines[place] = line
        else:
            self.lines.setdefault(place, line)
        return place

    def _keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            keys.append(self._key())
            self._skip(_BLANK)
            if not self._peek("."):
                return tuple(keys)
            self.at += 1

    def _key(self) -> str:
        if self._peek('"') or self._peek("'"):
            start = self.at
            self._string()
            return str(tomllib.loads(f"k = {self.text[start : self.at]}")["k"])
        found = _BARE.match(self.text, self.at)
        if found is None:  # cannot be, after tomllib
            raise tomllib.TOMLDecodeError(f"a key was expected (at line {self.line}, column 1)")
        self.at = found.end()
        return found[0]

    def _pair(self, table: Place) -> None:
        line = self.line
        place = table
        for key in self._keys():
            place = (*place, key)
            self.lines.setdefault(place, line)
        self.at += 1  # =
        self._skip(_BLANK)
        self._value(place)

    def _value(self, place: Place) -> None:
        if self._peek('"') or self._peek("'"):
            self._string()
        elif self._peek("["):
            self._array(place)
        elif self._peek("{"):
            self._inline(place)
        else:
            self._skip(_SCALAR)

    def _array(self, place: Place) -> None:
        self.at += 1
        index = 0
        while self._skip(_SPACE) < len(self.text) and not self._peek("]"):
            inner = (*place, index)
            self.lines[inner] = self.line
            self._value(inner)
            index += 1
            self._skip(_SPACE)
            if self._peek(","):
                self.at += 1
        self.at += 1

    def _inline(self, place: Place) -> None:
        self.at += 1
        while self._skip(_SPACE) < len(self.text) and not self._peek("}"):
            self._pair(place)
            self._skip(_SPACE)
            if self._peek(","):
                self.at += 1
        self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        long = self._peek(quote * 3)
        start = self.at
        self.at += 3 if long else 1
        close = quote * 3 if long else quote
        while not self._peek(close):
            self.at += 2 if quote == '"' and self._peek("\\") else 1
        self.at += len(close)
        while long and self._peek(quote):  # up to two quotes may stand before the closing three
            self.at += 1
        self.line += self.text.count("\n", start, self.at)
