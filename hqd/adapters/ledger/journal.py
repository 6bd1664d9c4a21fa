"""What a crash must not make hqd forget: the journal of the move under way, and what was written out and seen last.

The journal is one file, written in place and fsynced before main moves. A torn journal therefore means that main
has not moved for it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqd.core.batch import Content
from hqd.model.change import Act


@dataclass(frozen=True, slots=True)
class Move:
    """Main is about to go from `old` to `new`, or has gone; `acts` are the known differences that it settles.

    `foreign`: the commits are not this hqd's own, or not all of them: main's new tip is still to be looked at.
    """

    old: str
    new: str
    acts: tuple[Act, ...] = ()
    at: float = 0.0
    nonce: str = ""
    foreign: bool = False


class Journal:
    """At most one move. The file stays open for as long as the ledger is."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._pending = self._read()

    @property
    def pending(self) -> Move | None:
        """The move that is not known to be finished."""
        return self._pending

    def begin(self, move: Move) -> None:
        """Durable when it returns. Raises OSError."""
        body = json.dumps(
            {"old": move.old, "new": move.new, "at": move.at, "nonce": move.nonce, "foreign": move.foreign,
             "acts": [[act.path, act.blob] for act in move.acts]}
        ).encode()  # fmt: skip
        self._write(body)
        os.fdatasync(self._handle)
        self._pending = move

    def end(self) -> None:
        """Not fsynced: a finished move that is looked at once more does no harm."""
        self._pending = None
        self._write(b"{}")

    def close(self) -> None:
        os.close(self._handle)

    def _write(self, body: bytes) -> None:
        line = body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"
        if os.pwrite(self._handle, line, 0) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self._handle, len(line))

    def _read(self) -> Move | None:
        body, _, digest = os.pread(self._handle, os.fstat(self._handle).st_size, 0).partition(b"\n")
        if digest.strip() != hashlib.sha256(body).hexdigest().encode():
            return None
        found: Any = json.loads(body)
        if not found:
            return None
        acts = tuple(Act(path, blob) for path, blob in found["acts"])
        return Move(found["old"], found["new"], acts, found["at"], found["nonce"], bool(found.get("foreign")))


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """The tree that hqd last wrote out: that of `commit`, but for `kept`.

    `kept`: path -> (what the file is based on, what main has there): main changed the file under a person's edit.
    """

    commit: str | None
    kept: Mapping[str, tuple[Content | None, Content | None]] = field(default_factory=dict)


class Marks:
    """The two notes in .git/hqd: `tree` (last written out) and `tip` (main as hqd last saw it and agreed to it)."""

    def __init__(self, folder: Path) -> None:
        self._tree = folder / "tree"
        self._tip = folder / "tip"
        self._written: WrittenOut | None = None

    def written_out(self) -> WrittenOut:
        if self._written is None:
            self._written = self._read()
        return self._written

    def set_written_out(self, written: WrittenOut) -> None:
        if written == self._written:
            return
        kept = {path: [list(old) if old else None, list(new) if new else None]
                for path, (old, new) in written.kept.items()}  # fmt: skip
        _write(self._tree, json.dumps({"commit": written.commit, "kept": kept}).encode() + b"\n")
        self._written = written

    def tip(self) -> str | None:
        """None: no tip was agreed to yet."""
        try:
            tip = self._tip.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return tip if len(tip) in (40, 64) else None

    def set_tip(self, tip: str) -> None:
        _write(self._tip, tip.encode() + b"\n")

    def _read(self) -> WrittenOut:
        try:
            found: Any = json.loads(self._tree.read_bytes())
            kept = {path: (_content(old), _content(new)) for path, (old, new) in found["kept"].items()}
            return WrittenOut(found["commit"], kept)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return WrittenOut(None)  # torn by a power cut: main's tree is the best guess


def _content(found: Any) -> Content | None:
    return None if found is None else (str(found[0]), str(found[1]))


def _write(path: Path, data: bytes) -> None:
    """In place, and not fsynced: both notes are short, and can be guessed after a power cut."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        if os.pwrite(handle, data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(handle, len(data))
    finally:
        os.close(handle)
