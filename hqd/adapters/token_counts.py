"""Port Counting: each provider's own endpoint, its answers kept by content in `.hqd/tokens.sqlite`.

The file is disposable: a damaged one is made anew, and without one counts are asked for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hqd.adapters.disposable import make_folder
from hqd.model.attempt import Question
from hqd.model.settings import AgentSettings

SCHEMA = 1
MOST_PAGES = 16_000
"""Pages (64 MB) of the file, above which all counts are forgotten."""

_KEPT = 10_000
_SECONDS = 15.0
_TABLES = "CREATE TABLE counts (key BLOB PRIMARY KEY, tokens INTEGER NOT NULL) WITHOUT ROWID"


class Counts(Protocol):
    """An agent adapter whose provider counts. Never raises; None: not now, or not at all."""

    def count(self, question: Question) -> int | None: ...


class KeptCounts:
    """One for each process; several may share the file. `counters`: by provider."""

    def __init__(self, file: Path, counters: Mapping[str, Counts]) -> None:
        self._file = file
        self._counters = counters
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, int] = OrderedDict()

    def count(
        self, settings: AgentSettings, stable: str, prompt: str, schema: Mapping[str, Any] | None, *, tools: bool
    ) -> int | None:
        counter = self._counters.get(settings.provider)
        if counter is None:
            return None
        key = _key(settings, stable, prompt, schema, tools=tools)
        known = self._kept(key)
        if known is not None:
            return known
        counted = counter.count(_question(settings, stable, prompt, schema, tools=tools))
        if counted is not None:
            self._keep(key, counted)
        return counted

    def asks(self, settings: AgentSettings) -> bool:
        return settings.provider in self._counters

    def _kept(self, key: bytes) -> int | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            row = self._tried("SELECT tokens FROM counts WHERE key = ?", (key,))
            if row is None:
                return None
            self._remember(key, int(row[0]))
            return int(row[0])

    def _keep(self, key: bytes, tokens: int) -> None:
        with self._lock:
            self._remember(key, tokens)
            self._tried("INSERT OR REPLACE INTO counts VALUES (?, ?)", (key, tokens))

    def _remember(self, key: bytes, tokens: int) -> None:
        self._known[key] = tokens
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _tried(self, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        """One statement on the cache. What goes wrong with it is passed over: it only saves time."""
        try:
            make_folder(self._file.parent)
            with contextlib.closing(sqlite3.connect(self._file, timeout=2, isolation_level=None)) as database:
                return _run(database, sql, values)
        except (sqlite3.OperationalError, OSError):
            return None  # locked, full or read-only
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                self._file.unlink()
            return None


def _run(database: sqlite3.Connection, sql: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN IMMEDIATE")
    if database.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
        database.execute("DROP TABLE IF EXISTS counts")
        database.execute(_TABLES)
        database.execute(f"PRAGMA user_version = {SCHEMA}")
    elif database.execute("PRAGMA page_count").fetchone()[0] > MOST_PAGES:
        database.execute("DELETE FROM counts")
    row: tuple[Any, ...] | None = database.execute(sql, values).fetchone()
    database.execute("COMMIT")
    return row


def _key(settings: AgentSettings, stable: str, prompt: str, schema: Mapping[str, Any] | None, *, tools: bool) -> bytes:
    """Everything that a count depends on."""
    about = [settings.provider, settings.model, settings.base_url, settings.system, tools, schema]
    text = json.dumps(about, sort_keys=True, ensure_ascii=False)
    parts = [part.encode("utf-8", "surrogatepass") for part in (text, stable, prompt)]
    return hashlib.sha256(b"".join(b"%d\0" % len(part) + part for part in parts)).digest()


def _question(
    settings: AgentSettings, stable: str, prompt: str, schema: Mapping[str, Any] | None, *, tools: bool
) -> Question:
    return Question(
        agent="",
        settings=settings,
        task="",
        step="",
        attempt=1,
        stable=stable,
        prompt=prompt,
        cwd=Path() if tools else None,
        output_file=None,
        slot=0,
        timeout=_SECONDS,
        max_bytes=0,
        schema=schema,
        tools=tools,
    )
