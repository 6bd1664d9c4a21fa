"""What parses but is not done yet: one table, struck entry by entry as behaviour comes into force.

`hqd check` and `status` name each use of these, so that nothing that a person writes is met with silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hqd.model.problem import Place, Problem, ProblemLevel

File = Literal["settings", "playbook", "task", "lesson"]


@dataclass(frozen=True, slots=True)
class Later:
    """A key (place as written, `*` for any name or number) and, where not every value is meant, which ones."""

    file: File
    place: tuple[str, ...]
    what: str
    values: Callable[[Any], bool] = lambda value: True


NOT_IN_FORCE: tuple[Later, ...] = ()
"""Nothing at present. A key that is read before its behaviour is there stands here until it is."""


def not_in_force(
    file: File, path: str, values: Mapping[str, Any], table: tuple[Later, ...] = NOT_IN_FORCE
) -> tuple[Problem, ...]:
    """Every use, in the raw values of a file, of what this hqd does not do yet. Lines and keys are not known here."""
    return tuple(
        Problem(path, 0, "", later.what, "it is kept, and has no effect", ProblemLevel.NOT_IN_FORCE, place)
        for later in table
        if later.file == file
        for place, value in _found(values, later.place, ())
        if value not in (None, [], {}, False) and later.values(value)
    )


def _found(value: Any, pattern: tuple[str, ...], place: Place) -> Iterator[tuple[Place, Any]]:
    if not pattern:
        yield place, value
        return
    head, rest = pattern[0], pattern[1:]
    if isinstance(value, Mapping):
        for key in value if head == "*" else (head,) if head in value else ():
            yield from _found(value[key], rest, (*place, key))
    elif isinstance(value, list) and head == "*":
        for index, item in enumerate(value):
            yield from _found(item, rest, (*place, index))
