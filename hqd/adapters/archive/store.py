"""The index `.hqd/archive.sqlite`: what was read of history, so that it is read once. May be thrown away."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hqd.model.corpus import Case, Change, Label, PastEvent, Remark

SCHEMA = 3
KEPT_CORPORA = 6
"""So many sets of labels (a tip and a number of days each) are kept; the oldest goes."""

_TABLES = f"""
CREATE TABLE line (ord INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE events ({", ".join(f'"{name}"' for name in PastEvent._fields)});
CREATE INDEX events_of ON events (task);
CREATE TABLE changes ("order", "commit", at, author, subject, reverts, work, files);
CREATE TABLE tasks (task TEXT PRIMARY KEY, blob TEXT);
CREATE TABLE remarks (code, message, place);
CREATE TABLE corpora (id INTEGER PRIMARY KEY, tip TEXT, days REAL, facts TEXT);
CREATE TABLE cases (corpus INTEGER, {", ".join(f'"{name}"' for name in Case._fields)});
CREATE INDEX cases_of ON cases (corpus);
CREATE TABLE verdicts (gate TEXT, blob TEXT, verdict TEXT, PRIMARY KEY (gate, blob)) WITHOUT ROWID;
"""


class Store:
    """One open connection, inside one transaction. Made by `opened`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def tip(self) -> tuple[str, int] | None:
        """(commit, order) up to which history was read."""
        row = self._db.execute("SELECT id, ord FROM line ORDER BY ord DESC LIMIT 1").fetchone()
        return (row[0], row[1]) if row else None

    def order_of(self, commit: str) -> int | None:
        row = self._db.execute("SELECT ord FROM line WHERE id = ?", (commit,)).fetchone()
        return row[0] if row else None

    def forget(self) -> None:
        for table in ("line", "events", "changes", "tasks", "remarks", "corpora", "cases"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - names of this list

    def add_line(self, first: int, ids: Iterable[str]) -> None:
        self._db.executemany("INSERT INTO line VALUES (?, ?)", enumerate(ids, first))

    def add_events(self, found: Iterable[PastEvent]) -> None:
        marks = ", ".join("?" * len(PastEvent._fields))
        self._db.executemany(f"INSERT INTO events VALUES ({marks})", found)  # noqa: S608 - marks

    def remove_records(self, paths: Iterable[str]) -> None:
        found = [(path.split("/")[-2], path) for path in paths]
        self._db.executemany("DELETE FROM events WHERE task = ? AND record = ?", found)

    def places(self, paths: Iterable[str]) -> dict[str, tuple[int, str]]:
        """(order, commit) of the records of these that are known."""
        found: dict[str, tuple[int, str]] = {}
        for path in paths:
            sql = 'SELECT "order", "commit" FROM events WHERE task = ? AND record = ?'
            for row in self._db.execute(sql, (path.split("/")[-2], path)):
                found[path] = row
        return found

    def add_changes(self, found: Iterable[Change]) -> None:
        rows = ((*each[:5], json.dumps(each.reverts), each.work, json.dumps(each.files)) for each in found)
        self._db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def add_tasks(self, found: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO tasks VALUES (?, ?)", found)

    def add_remarks(self, found: Iterable[Remark]) -> None:
        rows = ((each.code, each.message, each.where) for each in found)
        self._db.executemany("INSERT INTO remarks VALUES (?, ?, ?)", rows)

    def events(self, last: int) -> list[PastEvent]:
        """Those up to order `last`, in order."""
        found = self._db.execute('SELECT * FROM events WHERE "order" <= ? ORDER BY "order", rowid', (last,))
        return [PastEvent._make(row) for row in found]

    def of_outputs(self, paths: Sequence[str]) -> Iterator[PastEvent]:
        """The finished events whose outputs stand at these paths."""
        for path in paths:
            sql = "SELECT * FROM events WHERE task = ? AND output = ?"
            for row in self._db.execute(sql, (path.split("/")[-2], path)):
                yield PastEvent._make(row)

    def claims(self, tasks: Iterable[str]) -> Iterator[tuple[str, str, int, str | None, str | None]]:
        """(task, step, attempt, playbook, pin) of the claims of these tasks."""
        sql = "SELECT task, step, attempt, playbook, pin FROM events WHERE task = ? AND event = 'claimed'"
        for task in tasks:
            yield from self._db.execute(sql, (task,))

    def changes(self, last: int) -> list[Change]:
        rows = self._db.execute('SELECT * FROM changes WHERE "order" <= ? ORDER BY "order"', (last,))
        return [_change(row) for row in rows]

    def tasks(self) -> dict[str, str]:
        """Task -> blob of its file."""
        return dict(self._db.execute("SELECT task, blob FROM tasks"))

    def remarks(self) -> list[Remark]:
        return [Remark(*row) for row in self._db.execute("SELECT code, message, place FROM remarks")]

    def corpus(self, tip: str, days: float) -> tuple[list[Case], dict[str, Any]] | None:
        """The labelled cases that were stored for this tip."""
        row = self._db.execute("SELECT id, facts FROM corpora WHERE tip = ? AND days = ?", (tip, days)).fetchone()
        if row is None:
            return None
        names = ", ".join(f'"{name}"' for name in Case._fields)
        found = self._db.execute(f"SELECT {names} FROM cases WHERE corpus = ? ORDER BY rowid", (row[0],))  # noqa: S608
        place = Case._fields.index("label")
        seen = Case._fields.index("seen")
        labels = {label.value: label for label in Label}
        cases = []
        for each in found:
            values = list(each)
            values[place], values[seen] = labels[values[place]], bool(values[seen])
            cases.append(Case._make(values))
        return cases, json.loads(row[1])

    def keep_corpus(self, tip: str, days: float, cases: Iterable[Case], facts: dict[str, Any]) -> None:
        """Stores labels with the tip that they were read at."""
        sql = "INSERT INTO corpora (tip, days, facts) VALUES (?, ?, ?)"
        number = self._db.execute(sql, (tip, days, json.dumps(facts))).lastrowid
        marks = ", ".join("?" * (len(Case._fields) + 1))
        place = Case._fields.index("label")
        rows = ((number, *each[:place], each.label.value, *each[place + 1 :]) for each in cases)
        self._db.executemany(f"INSERT INTO cases VALUES ({marks})", rows)  # noqa: S608 - marks
        old = [row[0] for row in self._db.execute("SELECT id FROM corpora ORDER BY id DESC").fetchall()][KEPT_CORPORA:]
        for each in old:
            self._db.execute("DELETE FROM cases WHERE corpus = ?", (each,))
            self._db.execute("DELETE FROM corpora WHERE id = ?", (each,))

    def verdicts(self, gate: str) -> dict[str, str]:
        """What a gate said of blobs before: blob -> verdict."""
        return dict(self._db.execute("SELECT blob, verdict FROM verdicts WHERE gate = ?", (gate,)))

    def keep_verdicts(self, gate: str, found: Iterable[tuple[str, str]], most: int = 1_000_000) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", ((gate, blob, verdict) for blob, verdict in found)
        )
        if self._db.execute("SELECT count(*) FROM verdicts").fetchone()[0] > most:
            self._db.execute("DELETE FROM verdicts WHERE gate != ?", (gate,))


def _change(row: tuple[Any, ...]) -> Change:
    files = tuple((path, before, after) for path, before, after in json.loads(row[7]))
    return Change._make((*row[:5], tuple(json.loads(row[5])), row[6], files))


@contextlib.contextmanager
def opened(file: Path | None) -> Iterator[Store]:
    """The store, its tables there, in one transaction. Raises sqlite3.DatabaseError where the file is damaged.

    None: in memory, for once.
    """
    database = sqlite3.connect(file or ":memory:", timeout=60, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # disposable
        database.execute("PRAGMA cache_size = -65536")
        database.execute("BEGIN IMMEDIATE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA):
            raise sqlite3.DatabaseError("of another hqd")
        if version == 0:
            for statement in _TABLES.strip().split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA}")
        yield Store(database)
        database.execute("COMMIT")
    finally:
        database.close()


def remove(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
