"""Main beside what origin has of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hqd.model.record import Person


@dataclass(frozen=True, slots=True)
class Unpushed:
    """One commit of main's first-parent line that origin does not have.

    `author` None: hqd itself wrote and decided it. `ours`: hqd made the commit, if only in a person's name.
    `changes`: every path at which it differs from its first parent, as (path, before, after); a file is its mode and
    object id, None where there is none.
    """

    commit: str
    parents: tuple[str, ...]
    ours: bool
    author: Person | None
    at: datetime
    message: str
    changes: tuple[tuple[str, tuple[str, str] | None, tuple[str, str] | None], ...]
