"""Bringing index and files from one commit of main to the next, without touching what is a person's.

Used after every append, and to finish what a crash cut off. All of it runs under index.lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hqd.adapters.git import GitFailed, trouble
from hqd.adapters.ledger.files import LINK, MISSING, stat_matches, untouched
from hqd.adapters.ledger.index_file import Index
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.adapters.ledger.writer import Writer
from hqd.core.batch import Change, Content
from hqd.errors import PathsInUse
from hqd.model.change import Act


@dataclass
class Survey:
    """What stands in the way of a move, and how the index is to be prepared for it.

    `in_use`: paths with a person's work; `settled`: paths whose index entry is to be set to the new tree at once,
    so that git leaves their files alone; `refresh`: git must look at its files again, some dates have changed.
    """

    in_use: list[str] = field(default_factory=list)
    settled: dict[str, Content | None] = field(default_factory=dict)
    refresh: bool = False


class Mover:
    """The steps of a move, on one writer's repository."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._files = writer.files

    def survey(self, changes: Sequence[Change], acts: Sequence[Act], index: Index) -> Survey:
        """Looks at every path of the move. Raises PathsInUse where an act is no longer true. Reads only."""
        found = Survey()
        known = {act.path: act.blob for act in acts}
        folders: dict[str, bool] = {}
        cone = self._writer.cone.cone()
        for path, blob in known.items():
            if self._files.blocked_by(path, folders) is not None or not self._still(path, blob):
                found.in_use.append(path)
        for change in changes:
            path = change.path
            if path in index.unmerged or self._staged(change, index):
                found.in_use.append(path)
            elif path in known:
                if change.old != change.new:
                    found.settled[path] = change.new
            elif not index.hidden(path) and (change.old is not None or cone.holds(path)):
                self._look(change, index, folders, found)
        found.in_use += [path for path in known if path in index.unmerged]
        if found.in_use:
            raise PathsInUse(tuple(dict.fromkeys(found.in_use)))
        return found

    def write(self, lock: IndexLock, old: str, new: str, settled: Mapping[str, Content | None], refresh: bool) -> None:
        """Moves the private index of `lock`, and the files, from `old` to `new`. Raises GitFailed, CannotCommit."""
        self.set_index(lock, settled)
        if refresh:
            self._git(lock, "update-index", "-q", "--refresh", codes=(0, 1))
        self._git(lock, "read-tree", "-m", "-u", old, new)

    def _git(self, lock: IndexLock, *args: str, stdin: bytes | None = None, codes: Sequence[int] = (0,)) -> None:
        """git on the private index of a lock."""
        try:
            self._writer.repo.git.quick(
                *args, stdin=stdin, env={"GIT_INDEX_FILE": str(lock.private)}, codes=codes,
                pass_fds=self._writer.inherited,
            )  # fmt: skip
        except GitFailed as failed:
            raise trouble(failed.stderr) or failed from failed

    def move_index(self, lock: IndexLock, old: str, new: str) -> None:
        """Moves the private index alone, whatever the files are. Raises GitFailed, CannotCommit."""
        self._git(lock, "read-tree", "-m", "-i", old, new)
        self._git(lock, "update-index", "-q", "--refresh", codes=(0, 1))

    def check_out(self, lock: IndexLock, paths: Sequence[str]) -> None:
        """Writes files that are missing, as the private index has them; those that are there stay."""
        if paths:
            names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
            self._git(lock, "checkout-index", "-q", "-u", "-z", "--stdin", stdin=names, codes=(0, 1, 128))

    def settle(self, acts: Iterable[tuple[Act, Content | None]]) -> list[str]:
        """Makes the files of acts what the new tree has there; returns the paths that changed meanwhile.

        Bytes that are taken away and that git does not have are kept aside. Raises OSError.
        """
        changed = []
        for act, new in acts:
            if new is not None and new[1] == act.blob:
                continue
            if new is None and act.blob is None:
                continue
            if not self._settle(act, new):
                changed.append(act.path)
        return changed

    def set_index(self, lock: IndexLock, entries: Mapping[str, Content | None]) -> None:
        """Sets entries of the private index, and nothing else."""
        if entries:
            self._git(lock, "update-index", "-z", "--index-info", stdin=_index_info(entries))

    def _settle(self, act: Act, new: Content | None) -> bool:
        if act.blob is not None:
            found = self._files.find(act.path)
            if found.content is None or found.content[1] != act.blob:
                return False
            aside = self._writer.aside(act.blob)
            if not self._files.take(act.path, found.content, aside):
                return False
            if self._writer.repo.objects.find(act.blob) is not None:
                aside.unlink()
        return new is None or self.put(act.path, new)

    def put(self, path: str, content: Content) -> bool:
        """Writes a file of git where nothing is; False where something is."""
        data = self._writer.repo.objects.blob(content[1])
        return self._files.put(path, data, content[0], self._writer.draft())

    def _still(self, path: str, blob: str | None) -> bool:
        found = self._files.find(path)
        if blob is None:
            return found.kind == MISSING
        return found.content is not None and found.kind != LINK and found.content[1] == blob

    def _staged(self, change: Change, index: Index) -> bool:
        """Whether the index has something else at the path than main: a person prepares a commit."""
        entry = index.entry(change.path)
        if entry is not None:
            return entry.intent or entry.content != change.old
        return change.old is not None and not index.hidden(change.path)

    def _look(self, change: Change, index: Index, folders: dict[str, bool], found: Survey) -> None:
        blocker = self._files.blocked_by(change.path, folders)
        if blocker is not None:
            found.in_use.append(blocker)
            return
        status = self._files.status(change.path)
        if change.old is None:
            if status is not None:
                found.in_use.append(change.path)
            return
        entry = index.entry(change.path)
        if status is None or entry is None:
            found.in_use.append(change.path)
            return
        if untouched(entry, status, index.written[0]):
            return
        if not self._files.same(change.path, change.old, self._files.find(change.path)):
            found.in_use.append(change.path)
        elif not stat_matches(entry, status):
            found.refresh = True


def _index_info(entries: Mapping[str, Content | None]) -> bytes:
    nothing = ("0", "0" * 40)
    lines = []
    for path, content in entries.items():
        mode, oid = content or nothing
        lines.append(f"{mode} {oid}\t{path}\0".encode("utf-8", "surrogateescape"))
    return b"".join(lines)
