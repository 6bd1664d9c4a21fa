"""Reading git's index, to tell what a person has staged and which files are as hqd left them.

Only read: the index is written by git alone. Format: `gitformat-index`, versions 2 to 4, with sparse folders.
What is split or otherwise unknown is read through `git ls-files` instead.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hqd.adapters.git import Git
from hqd.core.batch import Content

_EXTENDED = 0x4000
_SKIP_WORKTREE = 0x4000
_INTENT_TO_ADD = 0x2000
_HEAD = struct.Struct(">4sLL")
_MODE = struct.Struct(">L")
_STAT = struct.Struct(">10L")
_FOLDER = "040000"


class IndexEntry(NamedTuple):
    """One path as the index has it. `stat`: (mtime s, mtime ns, ctime s, ctime ns, ino mod 2^32, size mod 2^32)."""

    mode: str
    id: str
    stage: int
    skipped: bool
    stat: tuple[int, int, int, int, int, int]
    intent: bool = False

    @property
    def content(self) -> Content:
        return self.mode, self.id


class UnknownIndex(Exception):
    """This index cannot be read here."""


class Index:
    """All entries by path, taken apart only when asked for.

    `folders`: sparse folders, without slash at the end; `unmerged`: paths in conflict; `written`: its stamp.
    """

    def __init__(self, written: tuple[int, int, int], data: bytes = b"", id_bytes: int = 20) -> None:
        self.written = written
        self.folders: dict[str, str] = {}
        self.unmerged: frozenset[str] = frozenset()
        self._data = data
        self.id_bytes = id_bytes
        self._end = 0
        self._order: tuple[list[bytes], list[int]] = ([], [])
        self._at: dict[bytes, int] = {}
        self._ready: dict[bytes, IndexEntry] = {}
        if data:
            self._at, self._end = _offsets(data, id_bytes)
            self._order = (list(self._at), list(self._at.values()))
            self._sort_out()

    @classmethod
    def of(cls, written: tuple[int, int, int], entries: Iterable[tuple[bytes, IndexEntry]]) -> Index:
        """An index that somebody else has read."""
        index = cls(written)
        for name, entry in entries:
            if entry.stage:
                name = b"%d:%s" % (entry.stage, name)
            index._at[name] = -1
            index._ready[name] = entry
        index._sort_out()
        return index

    def plain(self) -> bytes | None:
        """The file itself, where its entries stand whole one after the other (versions 2 and 3)."""
        return self._data if self._data and self._data[4:8] in (b"\0\0\0\2", b"\0\0\0\3") else None

    def layout(self) -> tuple[list[bytes], list[int], int]:
        """All names of the file in its order, sparse folders with their slash; where each begins; the end."""
        return (*self._order, self._end)

    def names(self) -> Iterable[bytes]:
        """The paths of all files."""
        return self._at.keys()

    def entry(self, path: str | bytes) -> IndexEntry | None:
        name = path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
        at = self._at.get(name)
        if at is None:
            return None
        ready = self._ready.get(name)
        if ready is None:
            ready = self._ready[name] = _entry(self._data, at, self.id_bytes)
        return ready

    def has(self, name: bytes, mode: bytes, oid: bytes) -> bool:
        """Whether a path is exactly this file in the index; mode and binary id as a raw tree has them."""
        at = self._at.get(name)
        if at is None or at < 0:
            entry = self.entry(name)
            return entry is not None and not entry.intent and (entry.mode.encode(), entry.id) == (mode, oid.hex())
        data = self._data
        return data[at + 40 : at + 40 + self.id_bytes] == oid and b"%o" % _MODE.unpack_from(data, at + 24)[0] == mode

    def content(self, path: str | bytes) -> Content | None:
        """What is staged at a path; an intention to add counts as nothing."""
        entry = self.entry(path)
        return None if entry is None or entry.intent else entry.content

    def hidden(self, path: str) -> bool:
        """Whether the path, or the folder that holds it, is kept off the disk by the sparse checkout."""
        entry = self.entry(path)
        if entry is not None:
            return entry.skipped
        return self.folder_of(path) is not None

    def folder_of(self, path: str) -> str | None:
        """The sparse folder that stands for a path; None: there is none."""
        at = path.find("/") if self.folders else -1
        while at >= 0:
            if path[:at] in self.folders:
                return path[:at]
            at = path.find("/", at + 1)
        return None

    def _sort_out(self) -> None:
        """Takes sparse folders and unmerged paths out of the files."""
        unmerged = set()
        for name in [name for name in self._at if name.endswith(b"/") or name[1:2] == b":"]:
            entry = self.entry(name)
            if entry is None:
                continue
            if entry.mode == _FOLDER:
                self.folders[name.rstrip(b"/").decode("utf-8", "surrogateescape")] = entry.id
                del self._at[name]
            elif name[:1] in b"123" and (entry.stage or self._at[name] < 0):
                unmerged.add(name[2:].decode("utf-8", "surrogateescape"))
                del self._at[name]
        self.unmerged = frozenset(unmerged)


def stamp(path: Path) -> tuple[int, int, int]:
    """What tells one written index from the next: (mtime ns, size, inode); zeros where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0, 0)
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_index(path: Path, git: Git, id_bytes: int) -> Index:
    """The index in the file `path`; an absent one is empty."""
    written = stamp(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Index(written)
    try:
        return Index(written, data, id_bytes)
    except UnknownIndex:
        return Index.of(written, _ask(git, path))


def _offsets(data: bytes, id_bytes: int) -> tuple[dict[bytes, int], int]:
    """(path -> where its entry begins, where the last one ends). Unmerged ones are named `STAGE:path`."""
    if len(data) < 12 + id_bytes:
        raise UnknownIndex("too short")
    magic, version, count = _HEAD.unpack_from(data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise UnknownIndex("version")
    found: dict[bytes, int] = {}
    at, previous, fixed = 12, b"", 42 + id_bytes
    for _ in range(count):
        high = data[at + fixed - 2]
        start = at + fixed + (2 if high & 0x40 else 0)
        if version == 4:
            strip, start = _varint(data, start)
            end = data.index(b"\0", start)
            name = previous = previous[: len(previous) - strip] + data[start:end]
            after = end + 1
        else:
            end = data.index(b"\0", start)
            name = data[start:end]
            after = at + ((end - at + 8) & ~7)
        found[name if not high & 0x30 else b"%d:%s" % (high >> 4 & 3, name)] = at
        at = after
    _check_extensions(data, at, len(data) - id_bytes)
    return found, at


def _entry(data: bytes, at: int, id_bytes: int) -> IndexEntry:
    ctime, ctime_ns, mtime, mtime_ns, _dev, ino, mode, _uid, _gid, size = _STAT.unpack_from(data, at)
    oid = data[at + 40 : at + 40 + id_bytes].hex()
    flags = data[at + 40 + id_bytes] << 8
    more = int.from_bytes(data[at + 42 + id_bytes : at + 44 + id_bytes], "big") if flags & _EXTENDED else 0
    return IndexEntry(
        f"{mode:06o}", oid, flags >> 12 & 3, bool(more & _SKIP_WORKTREE),
        (mtime, mtime_ns, ctime, ctime_ns, ino, size), bool(more & _INTENT_TO_ADD),
    )  # fmt: skip


def _check_extensions(data: bytes, at: int, end: int) -> None:
    """An extension in small letters must be understood; only `sdir` (sparse folders) is."""
    while at + 8 <= end:
        name = data[at : at + 4]
        if not name[:1].isupper() and name != b"sdir":
            raise UnknownIndex(name.decode("latin-1"))
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "big")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, at + 1


_LISTED = re.compile(
    rb"(?P<tag>\w) (?P<mode>\d+) (?P<id>[0-9a-f]+) (?P<stage>\d)\t(?P<path>[^\0]+)\0"
    rb"  ctime: (?P<cs>\d+):(?P<cn>\d+)\n  mtime: (?P<ms>\d+):(?P<mn>\d+)\n"
    rb"  dev: \d+\tino: (?P<ino>\d+)\n  uid: \d+\tgid: \d+\n  size: (?P<size>\d+)\tflags: (?P<flags>[0-9a-f]+)\n"
)


def _ask(git: Git, path: Path) -> Iterator[tuple[bytes, IndexEntry]]:
    listing = git.quick(
        "ls-files", "-z", "--stage", "-t", "--debug", "--sparse",
        env={"GIT_INDEX_FILE": str(path), "GIT_OPTIONAL_LOCKS": "0"},
    ).out  # fmt: skip
    for line in _LISTED.finditer(listing):
        numbers = tuple(int(line[name]) for name in ("ms", "mn", "cs", "cn", "ino", "size"))
        ms, mn, cs, cn, ino, size = numbers
        entry = IndexEntry(
            line["mode"].decode(), line["id"].decode(), int(line["stage"]), line["tag"] == b"S",
            (ms, mn, cs, cn, ino, size), bool(int(line["flags"], 16) & 0x20000000),
        )  # fmt: skip
        yield line["path"], entry
