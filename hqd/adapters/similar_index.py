"""Port Similar: full-text ranking (BM25, SQLite's FTS5) among accepted outputs, with an index under .hqd/.

The index is disposable: it is brought in line with the tree that is asked about, by the ids of the days' folders in
done/, and made anew where it is damaged. Only outputs of tasks in done/ are in it, so nothing else can be retrieved;
scores follow from that tree alone, whatever was looked at before.

Plug-ins (entry point group `hqd.retrieval`): a callable `(query, texts) -> scores`, one number for each text, higher is
better; it ranks the best that BM25 finds anew. One that fails is passed over: what is found says so, and the log once.
"""

from __future__ import annotations

import contextlib
import math
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from hqd.adapters.disposable import make_folder, opened, remove
from hqd.adapters.history import GitHistory
from hqd.codec import layout
from hqd.codec.record import UnreadableRecord, read_outputs
from hqd.model.problem import one_line
from hqd.model.record import OutputRef
from hqd.model.task import State
from hqd.ports import Accepted, History, Tree

GROUP = "hqd.retrieval"
SCHEMA = 2
TOKENIZER = "tokenize = 'porter unicode61'"

Reranker = Callable[[str, Sequence[str]], Sequence[float]]

MOST_WORDS = 400
"""Words of a task that are considered: the longest."""

MOST_TERMS = 24
"""Words that are looked for: the rarest, which tell most."""

LEAST_TERMS = 4
MOST_LOOKED_AT = 20_000
"""Places where words stand that one question looks at, once it has `LEAST_TERMS`: words that stand everywhere rank
nothing, and take all the time."""

MOST_CHARS = 200_000
"""Characters of an output that are indexed."""

_RANKED_ANEW = 50
_SAID = 300  # characters of what a plug-in says
_ANSWERS = 1_000
_WORD = re.compile(r"\w{3,}")
_TABLES = """
CREATE TABLE days (path TEXT PRIMARY KEY, tree TEXT NOT NULL);
CREATE TABLE outputs (id INTEGER PRIMARY KEY, task TEXT, day TEXT, playbook TEXT, step TEXT, blob TEXT);
CREATE INDEX outputs_of ON outputs (playbook, step);
CREATE INDEX outputs_on ON outputs (day);
CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE words_forms USING fts5vocab (words, 'row');
"""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A ranking by its name; `load` may fail as foreign code does."""

    name: str
    load: Callable[[], Any]


def rerankers() -> tuple[Plugin, ...]:
    """What is installed in this Python, in order of name."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return tuple(Plugin(point.name, point.load) for point in points)


def _quiet(text: str) -> None:
    """Nobody listens."""


class SimilarIndex:
    """One for each process; several may share the file. A damaged file is replaced; without one nothing is found."""

    def __init__(
        self, file: Path, history: History, plugins: Sequence[Plugin] = (), note: Callable[[str], None] = _quiet
    ) -> None:
        self._file = file
        self._history = history
        self._plugins = plugins
        self._note = note
        self._told: set[str] = set()  # plug-ins that have failed
        self._lock = threading.Lock()
        self._of: str | None = None  # done/ that words were counted in
        self._known: dict[str, int] = {}
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
                    found = self._find(tree, playbook, step, query, most)
                    if any(each.remark for each in found):
                        return found  # not kept: what has failed may come back
                    self._found[asked] = found
                    if len(self._found) > _ANSWERS:
                        self._found.popitem(last=False)
                    return found
                except sqlite3.OperationalError:
                    return ()  # locked for too long, or the disk is full or read-only: work goes on without it
                except sqlite3.DatabaseError:
                    remove(self._file)
        return ()

    def _find(self, tree: Tree, playbook: str, step: str, query: str, most: int) -> tuple[Accepted, ...]:
        words = _words(query)
        wanted = max(most, _RANKED_ANEW) if self._plugins else most
        with self._open() as database:
            self._follow(database, tree)
            terms = _telling(self._counts(database, tree, words)) if most > 0 else []
            if not terms:
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
        ranked, remark = self._ranked(query, texts)
        if ranked is not None:
            pairs = sorted(zip(ranked, found, strict=True), key=lambda pair: (-pair[0], pair[1][0]))
            found = [(task, blob, _short(float(score))) for score, (task, blob, _old) in pairs]
        return tuple(Accepted(*each, remark) for each in found[:most])

    def _counts(self, database: sqlite3.Connection, tree: Tree, words: Sequence[str]) -> dict[str, int]:
        """In how many outputs each word stands, those of this very tree; what was counted for it is kept."""
        done = tree.entry(layout.STATE_FOLDERS[State.DONE])
        if done is None or self._of != done.id:
            self._of, self._known = done.id if done is not None else None, {}
        new = [word for word in words if word not in self._known]
        if new:
            found = _counted(database, new)
            self._known.update((word, found.get(word, 0)) for word in new)
        return {word: self._known[word] for word in words if self._known[word]}

    def _ranked(self, query: str, texts: Sequence[str]) -> tuple[list[float] | None, str]:
        """Scores of the first plug-in that gives some, None: full text's stay; and what there is to say of others."""
        failed: list[str] = []
        for plugin in self._plugins if texts else ():
            try:
                rank: Reranker = plugin.load()
                scores = [float(score) for score in rank(query, texts)]
            except Exception as fault:  # noqa: BLE001 - foreign code: without it the ranking stays as it was
                failed.append(self._failed(plugin, type(fault).__name__, str(fault)))
                continue
            if len(scores) == len(texts) and all(map(math.isfinite, scores)):
                return scores, "; ".join([*failed, f"ranked by {plugin.name}"] if failed else [])
            what = (
                f"{len(scores)} scores for {len(texts)} texts" if len(scores) != len(texts) else "a score is no number"
            )
            failed.append(self._failed(plugin, what, ""))
        return None, "; ".join([*failed, "ranked by full text"] if failed else [])

    def _failed(self, plugin: Plugin, what: str, said: str) -> str:
        """For the manifest; the log has its own words too, once."""
        told = f"retrieval plug-in {plugin.name} failed ({what})"
        if plugin.name not in self._told:
            self._told.add(plugin.name)
            words = f": {one_line(said)[:_SAID]}" if said else ""
            self._note(f"{told}{words}; similar work is ranked without it until it works again")
        return told

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The index, its tables there, in one transaction."""
        self._make_folder()
        with opened(self._file, _TABLES, SCHEMA, timeout=30) as database:
            yield database

    def _make_folder(self) -> None:
        try:
            make_folder(self._file.parent)
        except OSError as fault:
            raise sqlite3.OperationalError(str(fault)) from fault

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
        number = database.execute("SELECT COALESCE(MAX(id), 0) FROM outputs").fetchone()[0]
        rows, texts = [], []
        for task, playbook, outputs in self._outputs(tree, sorted(ended - indexed)):
            for step, ref in sorted(outputs.items()):
                text = self._text_of(ref)
                if text is not None:
                    number += 1
                    rows.append((number, task, day, playbook, step, ref.blob))
                    texts.append((number, text))
        database.executemany("INSERT INTO outputs VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", texts)

    def _forget(self, database: sqlite3.Connection, day: str, task: str | None) -> None:
        ids = database.execute("SELECT id FROM outputs WHERE day = ? AND (? IS NULL OR task = ?)", (day, task, task))
        for (row,) in ids.fetchall():
            database.execute("DELETE FROM words WHERE rowid = ?", (row,))
            database.execute("DELETE FROM outputs WHERE id = ?", (row,))

    def _outputs(self, tree: Tree, tasks: Sequence[str]) -> list[tuple[str, str | None, Mapping[str, OutputRef]]]:
        """Task, playbook and outputs by step, with everything that is needed of them read ahead."""
        listed: dict[str, dict[str, str]] = {}  # folder of a day's runs -> task -> id of its folder
        for folder in {layout.runs_folder(task).rpartition("/")[0] for task in tasks}:
            listed[folder] = {entry.name: entry.id for entry in tree.entries(folder)}
        folders = {task: listed[layout.runs_folder(task).rpartition("/")[0]].get(task) for task in tasks}
        self._ahead([oid for oid in folders.values() if oid is not None])
        newest: dict[str, tuple[str, str]] = {}
        for task, oid in folders.items():
            record = _newest(self._history.tree(oid)) if oid is not None else None
            if record is not None:
                newest[task] = record
        self._ahead([blob for _name, blob in newest.values()])
        found: list[tuple[str, str | None, Mapping[str, OutputRef]]] = []
        for task, (name, blob) in newest.items():
            with contextlib.suppress(UnreadableRecord, KeyError):
                found.append((task, *read_outputs(self._history.blob(blob), f"{layout.runs_folder(task)}/{name}")))
        self._ahead([ref.blob for _task, _playbook, outputs in found for ref in outputs.values()])
        return found

    def _ahead(self, ids: Sequence[str]) -> None:
        if isinstance(self._history, GitHistory):
            self._history.prefetch(ids)

    def _text_of(self, ref: OutputRef) -> str | None:
        """What is indexed of an output; None for one that is stale or redacted."""
        if ref.stale:
            return None
        try:
            return self._history.blob(ref.blob).decode("utf-8", "replace")[:MOST_CHARS]
        except KeyError:
            return None


def _newest(folder: Tree) -> tuple[str, str] | None:
    """Name and blob of a task's newest record; None where it has none. `folder`: of its records."""
    numbered = [
        (n, entry.name, entry.id) for entry in folder.entries("") if (n := layout.record_number(entry.name)) is not None
    ]
    return max(numbered)[1:] if numbered else None


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


def _words(query: str) -> list[str]:
    """The words of a query, each once, the longest first."""
    words = {word.lower() for word in _WORD.findall(query[:MOST_CHARS])}
    return sorted(words, key=lambda word: (-len(word), word))[:MOST_WORDS]


def _counted(database: sqlite3.Connection, words: Sequence[str]) -> dict[str, int]:
    """In how many outputs each word stands; words that stand in none are not named.

    Which form of a word is in the index, only its own tokenizer knows: it is asked.
    """
    database.execute(f"CREATE VIRTUAL TABLE temp.asked USING fts5 (text, {TOKENIZER})")
    database.execute("CREATE VIRTUAL TABLE temp.forms USING fts5vocab (temp, 'asked', 'instance')")
    database.executemany("INSERT INTO temp.asked (rowid, text) VALUES (?, ?)", enumerate(words, start=1))
    rows = database.execute(
        "SELECT temp.forms.doc, words_forms.doc FROM temp.forms JOIN words_forms ON words_forms.term = temp.forms.term"
    ).fetchall()
    database.execute("DROP TABLE temp.forms")
    database.execute("DROP TABLE temp.asked")
    return {words[place - 1]: outputs for place, outputs in rows}


def _telling(counts: Mapping[str, int]) -> list[str]:
    """The words that tell documents apart: the rarest among all outputs, as far as looking them up stays quick."""
    chosen: list[str] = []
    looked_at = 0
    for word, outputs in sorted(counts.items(), key=lambda pair: (pair[1], pair[0])):
        if len(chosen) >= MOST_TERMS or (len(chosen) >= LEAST_TERMS and looked_at + outputs > MOST_LOOKED_AT):
            break
        chosen.append(word)
        looked_at += outputs
    return chosen
