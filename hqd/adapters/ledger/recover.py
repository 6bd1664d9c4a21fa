"""Finishing a move of main that something cut off: a crash, a full disk, a person's save in the same moment.

Main is the truth. Every path of the move is brought to what main has, unless it carries a person's work: that
stays as it is, and is remembered as based on the older tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hqd.adapters.history import GitTree
from hqd.adapters.ledger.files import MISSING
from hqd.adapters.ledger.index_file import Index, read_index
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.adapters.ledger.journal import Move
from hqd.adapters.ledger.moving import Mover
from hqd.adapters.ledger.writer import Writer
from hqd.adapters.objects import Objects
from hqd.core.batch import Change, Content

_FOLDER = b"40000"
_CLOCK_TICK = 0.05  # file dates come from a coarser clock than the journal's


@dataclass
class _Work:
    settled: dict[str, Content | None] = field(default_factory=dict)
    restage: dict[str, Content | None] = field(default_factory=dict)
    by_hand: list[Change] = field(default_factory=list)
    kept: dict[str, tuple[Content | None, Content | None]] = field(default_factory=dict)


class Recovery:
    """Finishes moves for one writer."""

    def __init__(self, writer: Writer, mover: Mover) -> None:
        self._writer = writer
        self._mover = mover
        self._files = writer.files

    def finish(self, move: Move, lock: IndexLock) -> dict[str, tuple[Content | None, Content | None]]:
        """Writes the move out under `lock` and publishes the index; main has it already.

        Returns what was left as a person has it: path -> (base, main's). Raises GitFailed, CannotCommit, OSError.
        """
        repo = self._writer.repo
        index = read_index(lock.private, repo.git, repo.id_bytes)
        tip = GitTree(repo.objects, repo.tip())
        work = self._sort(move, index, tip)
        self._mover.set_index(lock, work.settled)
        self._mover.move_index(lock, move.old, move.new)
        self._mover.set_index(lock, work.restage)
        for change in work.by_hand:
            self._take_old(change)
        self._mover.check_out(lock, [change.path for change in work.by_hand if change.new is not None])
        self._mover.settle((act, content(tip, act.path)) for act in move.acts)
        lock.publish()
        return work.kept

    def _sort(self, move: Move, index: Index, tip: GitTree) -> _Work:
        work = _Work()
        known = {act.path: act.blob for act in move.acts}
        cone = self._writer.cone.cone()
        objects = self._writer.repo.objects
        for change in tree_changes(objects, objects.root(move.old), objects.root(move.new)):
            staged = index.content(change.path)
            overtaken = tip.commit != move.new and content(tip, change.path) != change.new
            if index.hidden(change.path) or not cone.holds(change.path):
                continue
            if overtaken or staged not in (change.old, change.new):
                work.settled[change.path] = change.new
                work.restage[change.path] = staged
            else:
                self._sort_file(change, known, work)
        return work

    def _sort_file(self, change: Change, known: dict[str, str | None], work: _Work) -> None:
        path, found = change.path, self._files.find(change.path)
        act = path in known and (found.content[1] if found.content else None) == known[path]
        if self._files.same(path, change.new, found) or act:
            return
        if self._files.same(path, change.old, found) or found.kind == MISSING or self._cut_off(change):
            work.by_hand.append(change)
        else:
            work.kept[path] = (change.old, change.new)

    def _cut_off(self, change: Change) -> bool:
        """Whether the file is the beginning of main's, which a killed git was writing; such a file is removed."""
        if change.new is None or not self._files.starts(change.path, self._writer.repo.objects.blob(change.new[1])):
            return False
        Path(self._files.path(change.path)).unlink()
        return True

    def _take_old(self, change: Change) -> None:
        if change.old is None:
            return
        aside = self._writer.aside(change.old[1])
        if self._files.take(change.path, change.old, aside):
            aside.unlink()
        if change.new is None:
            self._files.prune(change.path.rpartition("/")[0])

    def after_power_cut(self, folders: tuple[str, ...], window: float = 120.0) -> tuple[str, ...]:
        """Writes again what a power cut took from files that git had just written; returns their paths.

        git never syncs working files. A file of `folders` that is missing, empty or cut off, and that the index
        says was written within `window` seconds before the end, is not a person's act.
        """
        index = self._writer.index()
        tip = GitTree(self._writer.repo.objects, self._writer.repo.tip())
        end = index.written[0] / 1e9
        mended = []
        for name in index.names():
            path, entry = name.decode("utf-8", "surrogateescape"), index.entry(name)
            if entry is None or not path.startswith(folders) or entry.skipped or entry.stat[0] < end - window:
                continue
            if content(tip, path) != entry.content:
                continue
            found = self._files.find(path)
            change = Change(path, None, entry.content)
            if (found.kind == MISSING or self._cut_off(change)) and self._mover.put(path, entry.content):
                mended.append(path)
        return tuple(mended)


def clear_ref_locks(writer: Writer, move: Move, grace: float, sleep: Callable[[float], None]) -> None:
    """Removes the locks that a killed `git update-ref` of ours left; nobody else's.

    Ours is a lock made after the journal of the move, holding the move's new commit, or empty and unchanged for
    `grace` seconds: git holds an empty one only for the blink between two locks. No git of ours is alive here.
    """
    repo = writer.repo
    proven = False
    for lock in (repo.common_dir / f"{repo.ref}.lock", repo.git_dir / "HEAD.lock"):
        try:
            status = lock.stat()
            text = lock.read_bytes().strip()
        except FileNotFoundError:
            continue
        if status.st_mtime < move.at - _CLOCK_TICK:
            continue
        if text == move.new.encode():
            proven = True
        elif text or not (proven or _stays(lock, status.st_ino, status.st_mtime + grace - time.time(), sleep)):
            continue
        lock.unlink(missing_ok=True)


def _stays(lock: Path, inode: int, wait: float, sleep: Callable[[float], None]) -> bool:
    if wait > 0:
        sleep(wait)
    try:
        return lock.stat().st_ino == inode and lock.stat().st_size == 0
    except FileNotFoundError:
        return False


def content(tree: GitTree, path: str) -> Content | None:
    """What a tree has at a path, files only."""
    entry = tree.entry(path)
    return None if entry is None or entry.is_folder else (entry.mode, entry.id)


def tree_changes(objects: Objects, old: str | None, new: str | None, folder: str = "") -> Iterator[Change]:
    """Every file at which two trees differ. Equal folders are not read."""
    if old == new:
        return
    before = objects.tree(old) if old else {}
    after = objects.tree(new) if new else {}
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        path = folder + name.decode("utf-8", "surrogateescape")
        yield from tree_changes(objects, _folder(was), _folder(now), path + "/")
        if _file(was) != _file(now):
            yield Change(path, _file(was), _file(now))


def _folder(entry: tuple[bytes, bytes] | None) -> str | None:
    return entry[1].hex() if entry is not None and entry[0] == _FOLDER else None


def _file(entry: tuple[bytes, bytes] | None) -> Content | None:
    return None if entry is None or entry[0] == _FOLDER else (entry[0].decode(), entry[1].hex())
