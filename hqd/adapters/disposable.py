"""`.hqd/`: caches and indexes beside the HQ's files, disposable at any time, and no matter of git's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hqd.codec import layout

_IGNORE = "# Caches of hqd: safe to delete.\n*\n"


def make_folder(folder: Path) -> None:
    """Makes a folder in or under `.hqd/`, which tells git by itself to look away. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    top = next((each for each in (folder, *folder.parents) if each.name == layout.CACHE), None)
    if top is not None and not (top / ".gitignore").exists():
        (top / ".gitignore").write_text(_IGNORE, encoding="utf-8")


@contextlib.contextmanager
def opened(
    file: Path | None, tables: str, schema: int, *, timeout: float, cache: int = 0
) -> Iterator[sqlite3.Connection]:
    """An index with its tables, in one transaction. Raises sqlite3.DatabaseError: damaged, or of another `schema`.

    `file` None: in memory, for once. `timeout`: seconds that another's transaction is waited for. `cache`: kibibytes
    of pages kept in memory; 0: as SQLite thinks best.
    """
    database = sqlite3.connect(file or ":memory:", timeout=timeout, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # disposable
        if cache:
            database.execute(f"PRAGMA cache_size = -{cache}")
        database.execute("BEGIN IMMEDIATE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, schema):
            raise sqlite3.DatabaseError("of another hqd")
        if version == 0:
            for statement in tables.strip().split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {schema}")
        yield database
        database.execute("COMMIT")
    finally:
        database.close()


def remove(file: Path) -> None:
    """Throws an index away, with what SQLite keeps beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
