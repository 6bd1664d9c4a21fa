"""Port Similar: full-text ranking (BM25, SQLite's FTS5) among accepted outputs, with an index under .hqd/.

The index is disposable: it is brought in line with the tree that is asked about, by the ids of the days' folders in
done/, and made anew where it is damaged. Only outputs of tasks in done/ are in it, so nothing else can be retrieved;
scores follow from that tree alone, whatever was looked at before.

Plug-ins (entry point group `hqd.retrieval`): a callable `(query, texts) -> scores`, one number for each text, higher is
better; it ranks the best that BM25 finds anew. One that fails is left out.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hqd.adapters.history import GitHistory
from hqd.codec import layout
from hqd.codec.record import UnreadableRecord, read_outputs
from hqd.model.record import OutputRef
from hqd.model.task import State
from hqd.ports import Accepted, History, Tree

GROUP = "hqd.retrieval"
SCHEMA = 1

Reranker = Callable[[str, Sequence[str]], Sequence[float]]

MOST_TERMS = 24
"""Words of a task that are looked for: the longest, which tell most."""

MOST_CHARS = 200_000
"""Characters of an output that are indexed."""

_RANKED_ANEW = 50
_ANSWERS = 1_000
_WORD = re.compile(r"\w{3,}")
_TABLES = """
CREATE TABLE days (path TEXT PRIMARY KEY, tree TEXT NOT NULL);
CREATE TABLE outputs (id INTEGER PRIMARY KEY, task TEXT, day TEXT, playbook TEXT, step TEXT, blob TEXT);
CREATE INDEX outputs_of ON outputs (playbook, step);
CREATE INDEX outputs_on ON outputs (day);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter unicode61');
"""


def rerankers() -> tuple[Callable[[], Any], ...]:
    """How to load what is installed in this Python, in order of name."""
    return tuple(point.load for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)))


class SimilarIndex:
    """One for each process; several may share the file. A damaged file is replaced; without one nothing is found."""

    def __init__(self, file: Path, history: History, plugins: Sequence[Callable[[], Any]] = ()) -> None:
        self._file = file
        self._history = history
        self._plugins = plugins
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[object, ...], tuple[Accepted, ...]] = OrderedDict()

    def find(self, tree: Tree, playbook: str, step: str, query: str, most: int) -> tuple[Accepted, ...]:
        done = tree.entry(layout.STATE_FOLDERS[State.DONE])
        asked = (done.id if done is not None else None, playbook, step, query, most)
        with self._lock:
            if asked in self._found:
                self._found.move_to_end(asked)
                return self._found[asked]
            for _try in range(2):
                try:
                    self._found[asked] = found = self._find(tree, playbook, step, query, most)
                    if len(self._found) > _ANSWERS:
                        self._found.popitem(last=False)
                    return found
                except sqlite3.OperationalError:
                    return ()  # locked for too long, or the disk is full or read-only: work goes on without it
                except sqlite3.DatabaseError:
                    self._remove()
        return ()

    def _find(self, tree: Tree, playbook: str, step: str, query: str, most: int) -> tuple[Accepted, ...]:
        terms = _terms(query)
        wanted = max(most, _RANKED_ANEW) if self._plugins else most
        with self._open() as database:
            self._follow(database, tree)
            if not terms or most <= 0:
                return ()
            rows = database.execute(
                "SELECT outputs.task, outputs.blob, -bm25(words), outputs.id FROM words"
                " JOIN outputs ON outputs.id = words.rowid"
                " WHERE words MATCH ? AND outputs.playbook = ? AND outputs.step = ?"
                " ORDER BY bm25(words), outputs.task LIMIT ?",
                (
                    " OR ".join(f'"{term}"' for term in terms),
                    playbook,
                    step,
                    wanted,
                ),
            ).fetchall()
            texts = [_text(database, row) for *_rest, row in rows] if self._plugins else []
        found = [(task, blob, _short(score)) for task, blob, score, _row in rows]
        ranked = self._ranked(query, texts)
        if ranked is not None:
            pairs = sorted(zip(ranked, found, strict=True), key=lambda pair: (-pair[0], pair[1][0]))
            found = [(task, blob, _short(float(score))) for score, (task, blob, _old) in pairs]
        return tuple(Accepted(*each) for each in found[:most])

    def _ranked(self, query: str, texts: Sequence[str]) -> list[float] | None:
        for load in self._plugins if texts else ():
            try:
                rank: Reranker = load()
                scores = [float(score) for score in rank(query, texts)]
            except Exception:  # noqa: BLE001, S112 - foreign code: without it the ranking stays as it was
                continue
            if len(scores) == len(texts):
                return scores
        return None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The index, its tables there, in one transaction."""
        self._make_folder()
        database = sqlite3.connect(self._file, timeout=30, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = OFF")  # disposable
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA):
                raise sqlite3.DatabaseError("of another hqd")
            if version == 0:
                for statement in _TABLES.strip().split(";\n"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA}")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()

    def _make_folder(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise sqlite3.OperationalError(str(fault)) from fault

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def _follow(self, database: sqlite3.Connection, tree: Tree) -> None:
        """Brings the index in line with done/ of a tree; only days that have changed are read."""
        known = dict(database.execute("SELECT path, tree FROM days").fetchall())
        there = dict(_days(tree, layout.STATE_FOLDERS[State.DONE], 3))
        for day in known.keys() - there.keys():
            self._forget(database, day, None)
            database.execute("DELETE FROM days WHERE path = ?", (day,))
        for day, tree_id in there.items():
            if known.get(day) != tree_id:
                self._day(database, tree, day)
                database.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (day, tree_id))

    def _day(self, database: sqlite3.Connection, tree: Tree, day: str) -> None:
        ended = {
            entry.name[:-3]
            for entry in tree.entries(day)
            if entry.name.endswith(".md") and not entry.name.endswith(".result.md")
        }
        indexed = {row[0] for row in database.execute("SELECT DISTINCT task FROM outputs WHERE day = ?", (day,))}
        for task in indexed - ended:
            self._forget(database, day, task)
        for task, playbook, outputs in self._outputs(tree, sorted(ended - indexed)):
            for step, ref in sorted(outputs.items()):
                if not ref.stale:
                    self._add(database, (task, day, playbook, step, ref.blob))

    def _forget(self, database: sqlite3.Connection, day: str, task: str | None) -> None:
        ids = database.execute("SELECT id FROM outputs WHERE day = ? AND (? IS NULL OR task = ?)", (day, task, task))
        for (row,) in ids.fetchall():
            database.execute("DELETE FROM words WHERE rowid = ?", (row,))
            database.execute("DELETE FROM outputs WHERE id = ?", (row,))

    def _outputs(self, tree: Tree, tasks: Sequence[str]) -> list[tuple[str, str | None, Mapping[str, OutputRef]]]:
        """Task, playbook and outputs by step, with everything that is needed of them read ahead."""
        folders = [tree.entry(layout.runs_folder(task)) for task in tasks]
        self._ahead([entry.id for entry in folders if entry is not None])
        newest = {task: path for task in tasks if (path := _newest(tree, task)) is not None}
        self._ahead([entry.id for path in newest.values() if (entry := tree.entry(path)) is not None])
        found: list[tuple[str, str | None, Mapping[str, OutputRef]]] = []
        for task, path in newest.items():
            with contextlib.suppress(UnreadableRecord):
                found.append((task, *read_outputs(tree.read(path) or b"", path)))
        self._ahead([ref.blob for _task, _playbook, outputs in found for ref in outputs.values()])
        return found

    def _ahead(self, ids: Sequence[str]) -> None:
        if isinstance(self._history, GitHistory):
            self._history.prefetch(ids)

    def _add(self, database: sqlite3.Connection, row: tuple[str | None, ...]) -> None:
        """One output: task, day, playbook, step, blob."""
        try:
            text = self._history.blob(str(row[-1])).decode("utf-8", "replace")[:MOST_CHARS]
        except KeyError:
            return  # redacted
        sql = "INSERT INTO outputs (task, day, playbook, step, blob) VALUES (?, ?, ?, ?, ?)"
        number = database.execute(sql, row).lastrowid
        database.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))


def _newest(tree: Tree, task: str) -> str | None:
    """The path of a task's newest record; None where it has none."""
    folder = layout.runs_folder(task)
    numbered = [
        (n, entry.name) for entry in tree.entries(folder) if (n := layout.record_number(entry.name)) is not None
    ]
    return f"{folder}/{max(numbered)[1]}" if numbered else None


def _days(tree: Tree, folder: str, depth: int) -> Iterator[tuple[str, str]]:
    for entry in tree.entries(folder):
        if entry.is_folder:
            path = f"{folder}/{entry.name}"
            if depth == 1:
                yield path, entry.id
            else:
                yield from _days(tree, path, depth - 1)


def _text(database: sqlite3.Connection, row: int) -> str:
    return str(database.execute("SELECT text FROM words WHERE rowid = ?", (row,)).fetchone()[0])


def _short(score: float) -> float:
    """Six digits: with few documents BM25 tells the best apart by millionths."""
    return float(f"{score:.6g}")


def _terms(query: str) -> list[str]:
    words = sorted({word.lower() for word in _WORD.findall(query[:MOST_CHARS])}, key=lambda word: (-len(word), word))
    return words[:MOST_TERMS]
