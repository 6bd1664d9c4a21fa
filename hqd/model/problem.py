"""What is wrong with a file that a person wrote: where, which key, what, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from hqd.errors import joined

Place = tuple[str | int, ...]
"""A key's path inside a file, as written: `("steps", 2, "gates", 0, "min")`."""


class ProblemLevel(StrEnum):
    """`error`: the file cannot come into force. `not_in_force`: it parses, but this hqd does not do it yet."""

    ERROR = "error"
    WARNING = "warning"
    NOT_IN_FORCE = "not_in_force"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of one file. `line` is 1-based, 0 where no single line is meant; `key` may be empty.

    `place` is the key's path for programs: rules that know no lines give it, and `hqd/check.py` finds the line.
    """

    path: str
    line: int
    key: str
    message: str
    remedy: str = ""
    level: ProblemLevel = ProblemLevel.ERROR
    place: Place = ()

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        parts = [where, *([self.key] if self.key else []), self.text]
        return one_line(": ".join(parts))

    @property
    def text(self) -> str:
        """Message and remedy in one line, without the place."""
        level = {ProblemLevel.WARNING: "warning: ", ProblemLevel.NOT_IN_FORCE: "not in force yet: "}.get(self.level, "")
        return one_line(level + joined(self.message, self.remedy))

    @property
    def stops(self) -> bool:
        return self.level is ProblemLevel.ERROR

    def facts(self) -> dict[str, object]:
        """For --json."""
        return {
            "path": self.path,
            "line": self.line,
            "key": self.key,
            "message": self.message,
            "remedy": self.remedy,
            "level": self.level.value,
        }

    def at(self, line: int) -> Problem:
        return replace(self, line=line)


def one_line(text: str) -> str:
    """The text with everything that could start a new line, or steer a terminal, made visible or blank."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else repr(char)[1:-1] for char in text)


def spell(place: Sequence[str | int], data: object = None) -> str:
    """A place for people: `steps.write.gates.citations.min`, with names instead of numbers where `data` has them."""
    spelled = ""
    for part in place:
        inner = inside(data, part)
        if isinstance(part, int):
            name = inner.get("name") or inner.get("kind") if isinstance(inner, Mapping) else None
            spelled += f".{name}" if isinstance(name, str) and name else f"[{part}]"
        else:
            spelled += f".{part}"
        data = inner
    return spelled.lstrip(".")


def inside(data: object, part: str | int) -> object:
    """One step of a place into raw data; None where it leads nowhere."""
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, Sequence) and not isinstance(data, str) and isinstance(part, int) and part < len(data):
        return data[part]
    return None
