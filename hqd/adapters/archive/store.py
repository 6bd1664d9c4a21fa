"""The index `.hqd/archive.sqlite`: what was read of history, so that it is read once. May be thrown away.

What is read as a whole is kept as a whole: a hundred thousand small rows take a second to write and half a second to
read, a few packed ones a tenth.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from hqd.adapters import disposable
from hqd.model.corpus import Case, Change, Label, PastEvent, Remark

SCHEMA = 4
KEPT_CORPORA = 6
"""So many sets of labels (a tip and a number of days each) are kept; the oldest goes."""

_LABEL = Case._fields.index("label")
_RECORD, _OUTPUT = PastEvent._fields.index("record"), PastEvent._fields.index("output")
_FORMAT = 2  # of marshal: read by every Python since 2.5, and no time goes into finding equal objects

_TABLES = """
CREATE TABLE line (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, ids TEXT NOT NULL);
CREATE TABLE events (task TEXT PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE changes (id INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE tasks (task TEXT PRIMARY KEY, blob TEXT);
CREATE TABLE remarks (code, message, place);
CREATE TABLE corpora (id INTEGER PRIMARY KEY, tip TEXT, days REAL, facts TEXT, cases BLOB NOT NULL);
CREATE TABLE verdicts (gate TEXT PRIMARY KEY, count INTEGER NOT NULL, packed BLOB NOT NULL);
"""
"""`line.ids`: commits, one a line. `events`: all of a task, by the numbers of their records."""


def _packed(rows: Any) -> bytes:
    """Plain values as one blob, with a sum: `marshal` does not bear damaged bytes."""
    data = marshal.dumps(rows, _FORMAT)
    return zlib.crc32(data).to_bytes(4, "big") + data


def _unpacked(blob: bytes) -> Any:
    """Raises sqlite3.DatabaseError where it is damaged."""
    if int.from_bytes(blob[:4], "big") != zlib.crc32(memoryview(blob)[4:]):
        raise sqlite3.DatabaseError("damaged")
    return marshal.loads(memoryview(blob)[4:])  # noqa: S302 - what this file has packed, by its sum


def pack_events(found: Mapping[str, list[tuple[Any, ...]]]) -> list[tuple[str, bytes]]:
    """Events by task as the index keeps them: of each task, by the numbers of their records."""
    return [(task, _packed(sorted(found[task], key=itemgetter(3)))) for task in sorted(found)]


def unpack_events(packed: Iterable[tuple[str, bytes]]) -> list[tuple[Any, ...]]:
    """By task, in the order of its records. Raises sqlite3.DatabaseError where it is damaged."""
    found: list[tuple[Any, ...]] = []
    for _task, rows in sorted(packed):
        found += _unpacked(rows)
    return found


class Store:
    """One open connection, inside one transaction. Made by `opened`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def tip(self) -> tuple[str, int] | None:
        """(commit, order) up to which history was read."""
        row = self._db.execute("SELECT first, count, ids FROM line ORDER BY first DESC LIMIT 1").fetchone()
        return (row[2].rpartition("\n")[2], row[0] + row[1] - 1) if row else None

    def order_of(self, commit: str) -> int | None:
        rows = self._db.execute("SELECT first, count, ids FROM line WHERE instr(ids, ?) LIMIT 1", (commit,))
        for first, count, ids in rows:
            width = (len(ids) + 1) // count
            place, odd = divmod(ids.index(commit), width)
            return int(first + place) if odd == 0 and len(commit) == width - 1 else None
        return None

    def forget(self) -> None:
        for table in ("line", "events", "changes", "tasks", "remarks", "corpora"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this list

    def add_line(self, first: int, ids: Sequence[str]) -> None:
        if ids:
            self._db.execute("INSERT INTO line VALUES (?, ?, ?)", (first, len(ids), "\n".join(ids)))

    def add_events(self, found: Mapping[str, list[tuple[Any, ...]]]) -> None:
        """Values of PastEvent by task, beside those of the task that are there."""
        self.put_events(pack_events({task: self._task(task) + rows for task, rows in found.items()}))

    def put_events(self, packed: Iterable[tuple[str, bytes]]) -> None:
        """All events of some tasks, as `pack_events` gives them."""
        self._db.executemany("INSERT OR REPLACE INTO events VALUES (?, ?)", packed)

    def remove_records(self, paths: Iterable[str]) -> None:
        by_task = _by_task(paths)
        rows = {task: self._task(task) for task in by_task}
        left = {task: [each for each in rows[task] if each[_RECORD] not in by_task[task]] for task in by_task}
        self.put_events(pack_events(left))

    def places(self, paths: Iterable[str]) -> dict[str, tuple[int, str]]:
        """(order, commit) of the records of these that are known."""
        found: dict[str, tuple[int, str]] = {}
        for task, records in _by_task(paths).items():
            for each in self._task(task):
                if each[_RECORD] in records:
                    found[each[_RECORD]] = each[0], each[1]
        return found

    def _task(self, task: str) -> list[tuple[Any, ...]]:
        row = self._db.execute("SELECT packed FROM events WHERE task = ?", (task,)).fetchone()
        found: list[tuple[Any, ...]] = _unpacked(row[0]) if row else []
        return found

    def add_changes(self, found: Iterable[Change]) -> None:
        rows = [tuple(each) for each in found]
        if rows:
            self._db.execute("INSERT INTO changes (packed) VALUES (?)", (_packed(rows),))

    def add_tasks(self, found: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?)", found)

    def add_remarks(self, found: Iterable[Remark]) -> None:
        rows = ((each.code, each.message, each.where) for each in found)
        self._db.executemany("INSERT INTO remarks VALUES (?, ?, ?)", rows)

    def events(self, last: int) -> list[PastEvent]:
        """Those up to order `last`, in order."""
        found = unpack_events(self._db.execute("SELECT task, packed FROM events").fetchall())
        found.sort(key=itemgetter(0))  # of one commit: by task and number
        if found and found[-1][0] > last:
            found = [each for each in found if each[0] <= last]
        return list(map(PastEvent._make, found))

    def of_outputs(self, paths: Sequence[str]) -> Iterator[PastEvent]:
        """The finished events whose outputs stand at these paths."""
        for task, outputs in _by_task(paths).items():
            yield from (PastEvent._make(each) for each in self._task(task) if each[_OUTPUT] in outputs)

    def claims(self, tasks: Iterable[str]) -> Iterator[tuple[str, str, int, str | None, str | None]]:
        """(task, step, attempt, playbook, pin) of the claims of these tasks."""
        for task in tasks:
            for each in map(PastEvent._make, self._task(task)):
                if each.event == "claimed":
                    yield task, each.step or "", each.attempt or 0, each.playbook, each.pin

    def changes(self, last: int) -> list[Change]:
        """Those up to order `last`, in order."""
        packed = self._db.execute("SELECT packed FROM changes ORDER BY id")
        found = [Change._make(each) for row in packed for each in _unpacked(row[0])]
        return [each for each in found if each.order <= last]

    def tasks(self) -> dict[str, str]:
        """Task -> blob of its file."""
        return dict(self._db.execute("SELECT task, blob FROM tasks"))

    def remarks(self) -> list[Remark]:
        return [Remark(*row) for row in self._db.execute("SELECT code, message, place FROM remarks")]

    def corpus(self, tip: str, days: float) -> tuple[list[Case], dict[str, Any]] | None:
        """The labelled cases that were stored for this tip."""
        sql = "SELECT facts, cases FROM corpora WHERE tip = ? AND days = ?"
        row = self._db.execute(sql, (tip, days)).fetchone()
        if row is None:
            return None
        labels = {label.value: label for label in Label}
        cases = [Case._make((*each[:_LABEL], labels[each[_LABEL]], *each[_LABEL + 1 :])) for each in _unpacked(row[1])]
        return cases, json.loads(row[0])

    def keep_corpus(self, tip: str, days: float, cases: Iterable[Case], facts: dict[str, Any]) -> None:
        """Stores labels with the tip that they were read at."""
        rows = [(*each[:_LABEL], each.label.value, *each[_LABEL + 1 :]) for each in cases]
        sql = "INSERT INTO corpora (tip, days, facts, cases) VALUES (?, ?, ?, ?)"
        self._db.execute(sql, (tip, days, json.dumps(facts), _packed(rows)))
        self._db.execute(
            "DELETE FROM corpora WHERE id NOT IN (SELECT id FROM corpora ORDER BY id DESC LIMIT ?)", (KEPT_CORPORA,)
        )

    def verdicts(self, gate: str) -> dict[str, str]:
        """What a gate said of blobs before: blob -> verdict."""
        row = self._db.execute("SELECT packed FROM verdicts WHERE gate = ?", (gate,)).fetchone()
        found: dict[str, str] = _unpacked(row[0]) if row else {}
        return found

    def keep_verdicts(self, gate: str, found: Iterable[tuple[str, str]], most: int = 1_000_000) -> None:
        known = self.verdicts(gate)
        known.update(found)
        self._db.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", (gate, len(known), _packed(known)))
        if self._db.execute("SELECT sum(count) FROM verdicts").fetchone()[0] > most:
            self._db.execute("DELETE FROM verdicts WHERE gate != ?", (gate,))


def _by_task(paths: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        found.setdefault(path.split("/")[-2], set()).add(path)
    return found


@contextlib.contextmanager
def opened(file: Path | None) -> Iterator[Store]:
    """The store, its tables there, in one transaction. Raises sqlite3.DatabaseError where the file is damaged.

    None: in memory, for once.
    """
    with disposable.opened(file, _TABLES, SCHEMA, timeout=60, cache=65536) as database:
        yield Store(database)
