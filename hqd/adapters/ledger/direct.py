"""Writing a move out without starting git: the common case, where all files are plain ones under workspace/.

`read-tree` is a third of what a lone transition costs. Everything unusual is left to it: links, filters (there are
none under workspace/), an index that is split, of version 4, or not sparse though its checkout is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hqd.adapters.history import GitTree
from hqd.adapters.ledger.index_file import Index, IndexEntry
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.adapters.ledger.splice import NewEntry, splice
from hqd.adapters.ledger.writer import Writer
from hqd.codec import layout
from hqd.core.batch import Change, Content
from hqd.model.change import Act

_PLAIN = ("100644", "100755")
_WORKSPACE = layout.WORKSPACE + "/"
Kept = dict[str, tuple[Content | None, Content | None]]


@dataclass
class _Sorted:
    """The changes of a move, by what is to be done."""

    on_disk: list[Change] = field(default_factory=list)
    settled: list[Change] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)


class DirectWriting:
    """`write` does the whole of it, or nothing and says so."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._files = writer.files

    def write(
        self,
        lock: IndexLock,
        changes: Sequence[Change],
        acts: Iterable[Act],
        tip: GitTree,
        data: Callable[[str], bytes],
        settle: Callable[[], object],
    ) -> Kept | None:
        """Files, then the index, published. None: nothing was done, it is a case for git.

        `data` gives the bytes of a blob, `settle` makes the files of the acts right. Returns the paths that were
        left as a person has them. Raises OSError.
        """
        index = self._writer.index()
        sorted_ = self._sort(changes, {act.path for act in acts}, index)
        if sorted_ is None:
            return None
        folders = {folder: self._tree_id(tip, folder) for folder in sorted_.folders}
        known = {folder: tree for folder, tree in folders.items() if tree is not None}
        if len(known) != len(folders) or splice(index, {}, known) is None:
            return None
        kept, entries = self._write_files(sorted_.on_disk, index, data)
        settle()
        for change in sorted_.settled:
            entries[change.path] = None if change.new is None else (change.new, None)
        whole = splice(index, entries, known)
        if whole is None:
            return None  # cannot be: it was tried above
        self._publish(lock, whole)
        return kept

    def _sort(self, changes: Sequence[Change], acts: set[str], index: Index) -> _Sorted | None:
        found = _Sorted()
        cone = self._writer.cone.cone()
        for change in changes:
            if change.old == change.new:
                continue
            entry = index.entry(change.path)
            folder = None if entry is not None else index.folder_of(change.path)
            if folder is not None:
                found.folders.add(folder)
            elif not _is_plain(change, entry) or not cone.holds(change.path):
                return None
            elif change.path in acts:
                found.settled.append(change)
            else:
                found.on_disk.append(change)
        return found

    def _tree_id(self, tip: GitTree, folder: str) -> str | None:
        entry = tip.entry(folder)
        return entry.id if entry is not None and entry.is_folder else None

    def _write_files(
        self, changes: Sequence[Change], index: Index, data: Callable[[str], bytes]
    ) -> tuple[Kept, dict[str, NewEntry | None]]:
        kept: Kept = {}
        entries: dict[str, NewEntry | None] = {}
        leaving: dict[Content, list[Change]] = {}
        for change in changes:
            if change.new is None and change.old is not None:
                leaving.setdefault(change.old, []).append(change)
        for change in changes:
            if change.new is None:
                continue
            there = leaving.get(change.new) if change.old is None else None
            source = there.pop() if there else None
            entries[change.path] = (change.new, self._bring(change, source, index, data, kept))
            if source is not None:
                entries[source.path] = None
        for left in leaving.values():
            for change in left:
                entries[change.path] = None
                self._remove(change, kept)
        for folder in {change.path.rpartition("/")[0] for change in changes if change.new is None}:
            self._files.prune(folder)
        return kept, entries

    def _bring(
        self, change: Change, source: Change | None, index: Index, data: Callable[[str], bytes], kept: Kept
    ) -> os.stat_result | None:
        """Makes the file of a change; its dates if it is for certain what git has, else None."""
        if source is not None:
            entry = index.entry(source.path)
            if self._files.relocate(source.path, change.path):
                return _still(self._files.status(change.path), entry)
            self._remove(source, kept)
        elif change.old is not None and not self._remove(change, kept):
            return None
        if change.new is None:
            return None
        if not self._files.put(change.path, data(change.new[1]), change.new[0], self._writer.draft()):
            kept[change.path] = (change.old, change.new)
            return None
        found = self._files.find(change.path)
        return found.status if found.content == change.new else None

    def _remove(self, change: Change, kept: Kept) -> bool:
        """Takes away the file of main's old tree; False: a person has changed it in this very moment."""
        if change.old is None:
            return True
        aside = self._writer.aside(change.old[1])
        if self._files.take(change.path, change.old, aside):
            aside.unlink()
            return True
        kept[change.path] = (change.old, change.new)
        return False

    def _publish(self, lock: IndexLock, whole: bytes) -> None:
        mode = self._writer.repo.index.stat().st_mode & 0o777
        lock.private.unlink(missing_ok=True)  # it is a second name of the index that readers have open
        handle = os.open(lock.private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(whole)
        lock.publish()


def _is_plain(change: Change, entry: IndexEntry | None) -> bool:
    modes = [content[0] for content in (change.old, change.new) if content is not None]
    return (
        change.path.startswith(_WORKSPACE) and all(mode in _PLAIN for mode in modes) and not (entry and entry.skipped)
    )


def _still(status: os.stat_result | None, entry: IndexEntry | None) -> os.stat_result | None:
    """The dates of a moved file, if its content has not been written since the index was."""
    if status is None or entry is None:
        return None
    mtime, mtime_ns, _, _, ino, size = entry.stat
    same = (status.st_mtime_ns, status.st_ino & 0xFFFFFFFF, status.st_size) == (mtime * 10**9 + mtime_ns, ino, size)
    return status if same else None
