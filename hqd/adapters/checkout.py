"""Port Checkout: the working tree that hqd shares with people.

A difference from the tree that was last written out is a person's act. What git itself did (commit, pull, checkout,
reset, stash) is none: git moves the index along with the files, so a path whose index entry is main's is compared
with main, whoever moved it; a path whose index entry is not main's is a commit being prepared.

No lock is taken to look. The index, HEAD and main are read before and after; if one of them changed, or a git holds
index.lock, the look counts for nothing and is repeated.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hqd.adapters.history import GitTree
from hqd.adapters.ledger.files import FILE, MISSING, OTHER, Files, Found, untouched
from hqd.adapters.ledger.index_file import Index, read_index, stamp
from hqd.adapters.ledger.journal import Marks, WrittenOut
from hqd.adapters.ledger.moving import Mover
from hqd.adapters.ledger.recover import content
from hqd.adapters.ledger.writer import Writer, runnable_counts
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.core.batch import Content
from hqd.errors import CannotCommit, RepositoryBusy
from hqd.model.change import Act, Difference, WorkingTree
from hqd.model.task import OPEN_STATES, State

FLAT = (
    *(layout.STATE_FOLDERS[state] for state in sorted(OPEN_STATES)),
    layout.STATE_FOLDERS[State.DROPPED],  # what a person's hand puts there; hqd's own are in folders of days
    layout.HOLDS,
)
"""Folders whose files count, not those of folders in them."""
DEEP = (layout.PLAYBOOKS, layout.LESSONS)
SINGLE = (layout.PAUSED, layout.SETTINGS)

LIMIT = 8 << 20
"""Files above this many bytes are not read by `look`."""

_ATTEMPTS = 20
_PAUSE = 0.01
_SURE = 50_000_000  # ns: file dates are a few ms coarse; younger ones may hide a second save

Dates = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Base:
    """What the hot paths should be, for one tip and one index."""

    key: object
    paths: dict[str, Content]
    folders: frozenset[str]
    staged: frozenset[str]
    hidden: frozenset[str]
    index: Index
    tip: GitTree


class GitCheckout:
    """`GitCheckout(repo)` reads only; with the `writer` of a daemon it can restore, and keeps its notes up to date.

    `finish` is the ledger's: a move that was cut off is finished before anything counts as a person's act.
    """

    def __init__(
        self,
        repo: GitRepository,
        writer: Writer | None = None,
        finish: Callable[[], None] | None = None,
        *,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._repo = repo
        self._writer = writer
        self._finish = finish
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._files = writer.files if writer else Files(repo.root, repo.object_format, repo.git, runnable_counts(repo))
        self._marks = writer.marks if writer else Marks(repo.private)
        self._seen: dict[str, tuple[Dates, Found]] = {}
        self._base: _Base | None = None

    def look(self) -> WorkingTree:
        with self._repo.guard:
            tip = self._repo.tip()
            try:
                if self._finish is not None:
                    self._finish()
            except RepositoryBusy as busy:
                return WorkingTree(tip, (), busy.cause, busy.message)
            except CannotCommit as fault:
                return WorkingTree(tip, (), fault.cause, fault.message)
            return self._look()

    def read(self, path: str, limit: int) -> bytes:
        if self._files.blocked_by(path, {}) is not None:
            raise OSError(f"a parent of {path!r} is no folder")
        handle = os.open(self._files.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(f"{path!r} is no regular file")
            return file.read(limit + 1)

    def restore(self, acts: Sequence[Act]) -> None:
        """Also raises RepositoryBusy. What is no longer as given stays; bytes that git lacks are kept aside."""
        if self._writer is None:
            raise ValueError("a checkout without a writer cannot restore")
        with self._repo.guard, self._writer.lock():
            busy = self._repo.occupied()
            if busy is not None:
                raise busy
            index = self._writer.index()
            tip = GitTree(self._repo.objects, self._repo.tip())
            todo = [
                (act, content(tip, act.path))
                for act in acts
                if index.content(act.path) == content(tip, act.path) and act.path not in index.unmerged
                and self._files.blocked_by(act.path, {}) is None
            ]  # fmt: skip
            Mover(self._writer).settle(todo)

    def _look(self) -> WorkingTree:
        tip = self._repo.tip()
        busy: RepositoryBusy | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._sleep(_PAUSE)
            busy = self._repo.occupied()
            if busy is not None:
                break
            if os.path.lexists(self._repo.git_dir / "index.lock"):
                busy = RepositoryBusy("index_lock", f"a git holds {self._repo.git_dir / 'index.lock'}")
                continue
            before = self._moment()
            try:
                differences = tuple(self._differences(before[0], before[1]))
            except PermissionError as fault:
                return WorkingTree(before[0], (), "unreadable", str(fault))
            if self._moment() == before and not os.path.lexists(self._repo.git_dir / "index.lock"):
                self._note(before[0])
                return WorkingTree(before[0], differences)
            busy = RepositoryBusy("index_lock", "index or main changed while hqd looked at the files")
        return WorkingTree(tip, (), busy.cause if busy else None, busy.message if busy else "")

    def _moment(self) -> tuple[str, tuple[int, int, int], str]:
        return self._repo.tip(), stamp(self._repo.index), self._repo.head()

    def _differences(self, tip: str, index_stamp: tuple[int, int, int]) -> Iterator[Difference]:
        base = self._base_of(tip, index_stamp)
        now = self._clock()
        left = dict(base.paths)
        for path, entry in self._walk(base):
            expected = left.pop(path, None)
            staged = path in base.staged
            found = self._found(path, entry, base)
            if found.kind == MISSING:
                if expected is not None:
                    left[path] = expected
                continue
            if staged or not self._files.same(path, expected, found):
                yield self._difference(path, expected, found, now, staged)
        for path, expected in left.items():
            if path not in base.hidden:
                yield self._deleted(path, expected, now, path in base.staged)
        for path in base.staged - base.paths.keys():
            if self._files.status(path) is None:
                yield self._deleted(path, None, now, staged=True)

    def _difference(self, path: str, expected: Content | None, found: Found, now: float, staged: bool) -> Difference:
        status = found.status
        age = max(0.0, now - status.st_mtime) if status else 0.0
        blob = found.content[1] if found.content is not None and found.kind == FILE else None
        return Difference(
            path, "added" if expected is None else "modified", found.kind, blob, status.st_size if status else 0,
            age, staged, status is not None and status.st_ctime_ns > status.st_mtime_ns,
        )  # fmt: skip

    def _deleted(self, path: str, expected: Content | None, now: float, staged: bool) -> Difference:
        folder = self._files.status(path.rpartition("/")[0])
        age = max(0.0, now - folder.st_mtime) if folder else 0.0
        return Difference(path, "deleted" if expected else "modified", MISSING, None, 0, age, staged)

    def _found(self, path: str, status: os.stat_result, base: _Base) -> Found:
        """What stands there; read only if its dates are not those of the last time, or of git's own writing."""
        if not stat.S_ISREG(status.st_mode):
            return self._files.find(path, self._limit)
        dates = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        known = self._seen.get(path)
        if known is not None and known[0] == dates:
            return known[1]
        entry = base.index.entry(path)
        if entry is not None and untouched(entry, status, base.index.written[0]):
            found = Found(FILE, entry.content, status)
        else:
            try:
                found = self._files.find(path, self._limit)
            except PermissionError:
                return Found(OTHER, None, status)
        if self._clock() * 1e9 - max(dates[:2]) > _SURE:
            self._seen[path] = (dates, found)
        return found

    def _walk(self, base: _Base) -> Iterator[tuple[str, os.stat_result]]:
        for folder in FLAT:
            yield from self._scan(folder, base, 0)
        yield from self._scan(layout.INBOX, base, 1)
        for folder in DEEP:
            yield from self._scan(folder, base, 16)
        for path in SINGLE:
            status = self._files.status(path)
            if status is not None:
                yield path, status

    def _scan(self, folder: str, base: _Base, depth: int) -> Iterator[tuple[str, os.stat_result]]:
        """Files and other things of a folder; folders below it to `depth`, and those that main does not know."""
        status = self._files.status(folder)
        if status is None:
            return
        if not stat.S_ISDIR(status.st_mode):
            yield folder, status
            return
        below = []
        prefix = folder + "/"
        with os.scandir(self._files.path(folder)) as entries:
            for entry in entries:
                path = prefix + entry.name
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield path, status
                    continue
                if path not in base.folders:
                    yield path, status
                if depth:
                    below.append(path)
        for path in below:
            yield from self._scan(path, base, depth - 1)

    def _base_of(self, tip: str, index_stamp: tuple[int, int, int]) -> _Base:
        written = self._marks.written_out()
        key = (tip, index_stamp, written.commit, len(written.kept))
        if self._base is None or self._base.key != key:
            self._base = self._make_base(key, tip, written)
            self._seen = {path: seen for path, seen in self._seen.items() if path in self._base.paths}
        return self._base

    def _make_base(self, key: object, tip_id: str, written: WrittenOut) -> _Base:
        tip = GitTree(self._repo.objects, tip_id)
        index = (
            self._writer.index() if self._writer else read_index(self._repo.index, self._repo.git, self._repo.id_bytes)
        )
        paths: dict[str, Content] = {}
        folders: set[str] = set()
        staged: set[str] = set()
        hidden: set[str] = set()
        for path, mode, oid in _hot(tip, folders):
            paths[path] = (mode.decode(), oid.hex())
            name = path.encode("utf-8", "surrogateescape")
            if not index.has(name, mode, oid):
                (hidden if index.hidden(path) else staged).add(path)
            elif (entry := index.entry(name)) is not None and entry.skipped:
                hidden.add(path)
        for name in index.names():
            path = name.decode("utf-8", "surrogateescape")
            if is_hot(path) and path not in paths:
                staged.add(path)
        staged |= {path for path in index.unmerged if is_hot(path)}
        self._rebase(paths, staged, written, tip)
        return _Base(key, paths, frozenset(folders), frozenset(staged), frozenset(hidden), index, tip)

    def _rebase(self, paths: dict[str, Content], staged: set[str], written: WrittenOut, tip: GitTree) -> None:
        """Sets the expected content of paths that are not as main has them to what was last written out."""
        for path, (based_on, of_main) in written.kept.items():
            if paths.get(path) == of_main:
                _set(paths, path, based_on)
        if written.commit is None or written.commit == tip.commit or not staged:
            return
        try:
            last = GitTree(self._repo.objects, written.commit)
        except KeyError:
            return
        for path in staged:
            _set(paths, path, content(last, path))

    def _note(self, tip: str) -> None:
        """Remembers that everything is written out as of `tip`, once nothing is staged."""
        base = self._base
        written = self._marks.written_out()
        if self._writer is None or base is None or base.staged:
            return
        kept = {path: pair for path, pair in written.kept.items() if self._still_kept(path, pair, base)}
        if written.commit != tip or kept != written.kept:
            self._marks.set_written_out(WrittenOut(tip, kept))

    def _still_kept(self, path: str, pair: tuple[Content | None, Content | None], base: _Base) -> bool:
        return content(base.tip, path) == pair[1] and not self._files.same(path, pair[1], self._files.find(path))


def is_hot(path: str) -> bool:
    """Whether `look` cares for a file at this path."""
    if path in SINGLE or path.startswith(_DEEP_PREFIXES):
        return True
    folder = path.rpartition("/")[0]
    return folder in FLAT or folder == layout.INBOX or folder.rpartition("/")[0] == layout.INBOX


_DEEP_PREFIXES = tuple(folder + "/" for folder in DEEP)


def _hot(tip: GitTree, folders: set[str]) -> Iterator[tuple[str, bytes, bytes]]:
    """(path, mode, binary id) of every file that counts; `folders` is filled with the folders met."""
    for folder in FLAT:
        yield from _below(tip, folder, 0, folders)
    yield from _below(tip, layout.INBOX, 1, folders)
    for folder in DEEP:
        yield from _below(tip, folder, 16, folders)
    for path in SINGLE:
        entry = tip.entry(path)
        if entry is not None and not entry.is_folder:
            yield path, entry.mode.encode(), bytes.fromhex(entry.id)


def _below(tip: GitTree, folder: str, depth: int, folders: set[str]) -> Iterator[tuple[str, bytes, bytes]]:
    raw = tip.raw(folder)
    if raw is None:
        return
    for name, (mode, oid) in raw[1].items():
        path = f"{folder}/{name.decode('utf-8', 'surrogateescape')}"
        if mode != b"40000":
            yield path, mode, oid
            continue
        folders.add(path)
        if depth:
            yield from _below(tip, path, depth - 1, folders)


def _set(paths: dict[str, Content], path: str, value: Content | None) -> None:
    if value is None:
        paths.pop(path, None)
    else:
        paths[path] = value
