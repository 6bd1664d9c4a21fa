"""Changing a few entries of an index without starting git: the rest of the file is copied as it is.

Only for plain indexes (`gitformat-index` versions 2 and 3), whose optional extensions are left out: they are caches
that git makes again. What cannot be done here is left to `git read-tree`.
"""

from __future__ import annotations

import bisect
import hashlib
import os
import struct
from collections.abc import Mapping

from hqd.adapters.ledger.index_file import Index
from hqd.core.batch import Content

_STAT = struct.Struct(">10L")
_NO_STAT = (0,) * 6
_WORD = 0xFFFFFFFF
_SPARSE = b"sdir\0\0\0\0"

NewEntry = tuple[Content, os.stat_result | None]
"""A file as it is to stand in the index; without dates git compares its content the next time."""


def splice(index: Index, entries: Mapping[str, NewEntry | None], folders: Mapping[str, str]) -> bytes | None:
    """The bytes of `index` with these entries set (None: taken out) and these sparse folders' trees replaced.

    None: not an index that can be spliced, or a folder that it does not have.
    """
    data = index.plain()
    if data is None or index.unmerged or not all(folder in index.folders for folder in folders):
        return None
    names, starts, end = index.layout()
    edits: list[tuple[int, int, bytes]] = []
    count = len(names)
    for path, new in entries.items():
        name = path.encode("utf-8", "surrogateescape")
        at = bisect.bisect_left(names, name)
        there = at < len(names) and names[at] == name
        start = starts[at] if at < len(starts) else end
        stop = (starts[at + 1] if at + 1 < len(starts) else end) if there else start
        body = b"" if new is None else _entry(name, *new, index.id_bytes)
        count += (new is not None) - there
        edits.append((start, stop, body))
    for folder, tree in folders.items():
        at = bisect.bisect_left(names, folder.encode("utf-8", "surrogateescape") + b"/")
        start = starts[at] + _STAT.size
        edits.append((start, start + index.id_bytes, bytes.fromhex(tree)))
    return _assemble(data, end, edits, count, index)


def _assemble(data: bytes, end: int, edits: list[tuple[int, int, bytes]], count: int, index: Index) -> bytes:
    parts = [data[:8], struct.pack(">L", count)]
    at = 12
    # Of entries that go in at the same place, the earlier name first: their bodies hold no order, their names do.
    for start, stop, body in sorted(
        edits, key=lambda edit: (edit[0], edit[1], edit[2][_STAT.size + index.id_bytes + 2 :])
    ):
        parts += (data[at:start], body)
        at = max(at, stop)
    parts.append(data[at:end])
    if index.folders:
        parts.append(_SPARSE)
    whole = b"".join(parts)
    return whole + hashlib.new("sha256" if index.id_bytes == 32 else "sha1", whole, usedforsecurity=False).digest()


def _entry(name: bytes, content: Content, status: os.stat_result | None, id_bytes: int) -> bytes:
    mode, oid = content
    dates = _NO_STAT if status is None else (
        *_seconds(status.st_ctime_ns), *_seconds(status.st_mtime_ns), status.st_dev & _WORD, status.st_ino & _WORD,
    )  # fmt: skip
    owner = (0, 0, 0) if status is None else (status.st_uid, status.st_gid, status.st_size & _WORD)
    head = _STAT.pack(*dates, int(mode, 8), *owner) + bytes.fromhex(oid) + struct.pack(">H", min(len(name), 0xFFF))
    length = len(head) + len(name)
    return head + name + b"\0" * (8 - length % 8)


def _seconds(nanoseconds: int) -> tuple[int, int]:
    return nanoseconds // 1_000_000_000 & _WORD, nanoseconds % 1_000_000_000
