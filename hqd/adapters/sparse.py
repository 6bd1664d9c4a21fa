"""The sparse checkout of an HQ: records and old months of ended tasks stay in git's tree, not on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from typing import Literal

from hqd.adapters.git import GitFailed, trouble
from hqd.adapters.history import GitTree
from hqd.adapters.ledger.writer import Writer
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.model.task import State

Mode = Literal["index", "cone", "off"]

_DATED = (layout.STATE_FOLDERS[State.DONE], layout.STATE_FOLDERS[State.DROPPED])
_NEVER_WHOLE = (layout.RUNS, *_DATED)
_PRIVATE = (".git", layout.CACHE)


def cone_folders(today: date, top: Iterable[str], in_workspace: Iterable[str]) -> tuple[str, ...]:
    """The folders to keep on disk: all but runs/, and of done/ and dropped/ this month and the two before.

    `top` and `in_workspace` are the folders there are, in main's tree or on disk.
    """
    folders = {name for name in top if name != layout.WORKSPACE and name not in _PRIVATE}
    folders |= {f"{layout.WORKSPACE}/{name}" for name in in_workspace}
    folders |= {path for path in layout.KEPT_FOLDERS if path != layout.RUNS}
    folders -= set(_NEVER_WHOLE)
    folders |= {f"{folder}/{month}" for folder in _DATED for month in _months(today)}
    return tuple(sorted(folders))


def _months(today: date) -> list[str]:
    """This month, the two before it, and the next, so that midnight needs no hurry."""
    count = today.year * 12 + today.month - 1
    return [f"{month // 12:04}/{month % 12 + 1:02}" for month in range(count - 2, count + 2)]


class Sparse:
    """Sets git's sparse checkout under index.lock. A person's files that would go are left where they are."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._repo = writer.repo

    def apply(self, mode: Mode, today: date) -> bool:
        """Brings the checkout to `mode` and the folders that there are now; False: it was so already.

        Cheap when nothing is to be done: call it at the start, daily, and whenever main or the top folder changed.
        Raises RepositoryBusy, CannotCommit, GitFailed.
        """
        with self._repo.guard:
            if mode == "off":
                return self._off()
            wanted = cone_folders(today, *folders_of(self._repo))
            cone = self._writer.cone.cone()
            if not cone.everything and cone.whole == frozenset(wanted) and self._index_is(mode):
                return False
            flag = "--sparse-index" if mode == "index" else "--no-sparse-index"
            names = "".join(f"{_quoted(folder)}\n" for folder in wanted)
            self._run("sparse-checkout", "set", "--cone", flag, "--stdin", stdin=os.fsencode(names))
            return True

    def _off(self) -> bool:
        if self._writer.cone.cone().everything and not self._writer.index().folders:
            return False
        self._run("sparse-checkout", "disable")
        return True

    def _index_is(self, mode: Mode) -> bool:
        asked = self._repo.git.quick("config", "--type=bool", "index.sparse", codes=(0, 1)).text
        return (asked == "true") == (mode == "index")

    def _run(self, *args: str, stdin: bytes | None = None) -> None:
        busy = self._repo.occupied()
        if busy is not None:
            raise busy
        with self._writer.lock() as lock:
            try:
                self._repo.git.quick(
                    *args, stdin=stdin, env={"GIT_INDEX_FILE": str(lock.private)}, pass_fds=self._writer.inherited
                )
            except GitFailed as failed:
                raise trouble(failed.stderr) or failed from failed
            finally:
                if lock.private.exists():
                    lock.publish()  # also after a failure half way: the index tells what is on disk


def folders_of(repo: GitRepository) -> tuple[set[str], set[str]]:
    """(top folders, folders in workspace/) that main's tree has, or that a person has made on disk.

    Those on disk count too: git refuses `git add` of what lies outside the sparse checkout.
    """
    tree = GitTree(repo.objects, repo.tip())
    found = []
    for folder in ("", layout.WORKSPACE):
        names = {entry.name for entry in tree.entries(folder) if entry.is_folder}
        try:
            with os.scandir(repo.root / folder) as entries:
                names |= {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            pass  # main's tree alone then
        found.append(names)
    return found[0], found[1]


def _quoted(folder: str) -> str:
    """git reads a line that begins with a quote as a C string."""
    if not folder.startswith('"') and "\n" not in folder and "\\" not in folder:
        return folder
    return '"' + folder.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
