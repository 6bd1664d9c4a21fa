"""Ports Tree and History over git's own objects. Never reads the working tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import IO, cast

from hqd.adapters.git import GitFailed
from hqd.adapters.objects import Objects, RawTree
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.model.change import Entry

_FOLDER = "040000"


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _entry(name: str, mode: bytes, oid: bytes) -> Entry:
    return Entry(name, mode.decode().rjust(6, "0"), oid.hex())


class GitTree:
    """Port Tree: the files of one commit. Folders are read when they are asked for, and kept by id."""

    def __init__(self, objects: Objects, commit: str) -> None:
        self._objects = objects
        self._commit = commit
        self._root = objects.root(commit)

    @property
    def commit(self) -> str:
        return self._commit

    @property
    def root(self) -> str:
        """The id of the tree itself."""
        return self._root

    def read(self, path: str) -> bytes | None:
        entry = self.entry(path)
        if entry is None or entry.is_folder or entry.mode == "160000":
            return None
        return self._objects.blob(entry.id)

    def entry(self, path: str) -> Entry | None:
        if not path:
            return Entry("", _FOLDER, self._root)
        folder, _, name = path.rpartition("/")
        raw = self._folder(folder)
        found = raw.get(_bytes(name)) if raw is not None else None
        return _entry(name, *found) if found is not None else None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        raw = self._folder(folder.rstrip("/"))
        return tuple(_entry(_text(name), *found) for name, found in raw.items()) if raw else ()

    def raw(self, folder: str) -> tuple[str, RawTree] | None:
        """(tree id, entries) of a folder, as bytes; None where it is none."""
        oid = self._folder_id(folder)
        return None if oid is None else (oid, self._objects.tree(oid))

    def _folder(self, path: str) -> RawTree | None:
        oid = self._folder_id(path)
        return None if oid is None else self._objects.tree(oid)

    def _folder_id(self, path: str) -> str | None:
        oid = self._root
        for part in _bytes(path).split(b"/") if path else ():
            found = self._objects.tree(oid).get(part)
            if found is None or found[0] != b"40000":
                return None
            oid = found[1].hex()
        return oid


class GitHistory:
    """Port History."""

    def __init__(self, repo: GitRepository) -> None:
        self._repo = repo

    def tree(self, revision: str) -> GitTree:
        """Raises KeyError where `revision` names no commit."""
        if len(revision) in (40, 64) and not set(revision) - set("0123456789abcdef"):
            return GitTree(self._repo.objects, revision)
        found = self._repo.objects.find(f"{revision}^{{commit}}")
        if found is None:
            raise KeyError(revision)
        return GitTree(self._repo.objects, found[0])

    def blob(self, object_id: str) -> bytes:
        return self._repo.objects.blob(object_id)

    def prefetch(self, object_ids: Sequence[str]) -> None:
        """Reads objects ahead that will be asked for one by one."""
        self._repo.objects.prefetch(object_ids)

    def size(self, object_id: str) -> int:
        return self._repo.objects.size(object_id)

    def messages(self, since: str | None, paths: Sequence[str] = (), limit: int = 0) -> Iterator[tuple[str, str]]:
        """Streams `git log`; stop reading whenever you have enough. Raises GitFailed where `since` is no commit."""
        span = f"{since}..{self._repo.ref}" if since else self._repo.ref
        bound = (f"--max-count={limit}",) if limit else ()
        args = ("log", "--first-parent", "-z", "--format=%H%n%B", *bound, span, "--", *paths)
        process = self._repo.git.start(
            *args, env={"GIT_OPTIONAL_LOCKS": "0", "GIT_LITERAL_PATHSPECS": "1"}, stderr=subprocess.PIPE
        )
        cast(IO[bytes], process.stdin).close()
        with process:
            try:
                for record in _nul_separated(cast(IO[bytes], process.stdout)):
                    commit, _, message = record.decode("utf-8", "surrogateescape").partition("\n")
                    yield commit, message
            except GeneratorExit:
                process.kill()
                raise
            said = cast(IO[bytes], process.stderr).read().decode("utf-8", "replace")
            code = process.wait()
        if code != 0:
            raise GitFailed(args, code, said)

    def descends(self, old_tip: str, new_tip: str) -> bool:
        """Whether `new_tip` is `old_tip` or has it among its ancestors; False where `old_tip` is gone."""
        found = self._repo.git.read("merge-base", "--is-ancestor", old_tip, new_tip, codes=(0, 1, 128))
        return found.code == 0

    def spent_since(self, moment: datetime) -> tuple[float, int]:
        """Dollars and tokens in the trailers of main's commits since `moment`."""
        form = (
            "%(trailers:key=Hqd-Cost,valueonly,separator=%x20)%x1f%(trailers:key=Hqd-Tokens,valueonly,separator=%x20)"
        )
        since = f"--since={moment.isoformat(timespec='seconds')}"
        text = self._repo.git.read("log", "--first-parent", since, f"--format={form}", self._repo.ref).text
        cost, tokens = 0.0, 0
        for line in text.splitlines():
            dollars, _mark, count = line.partition("\x1f")
            cost += _number(dollars)
            tokens += int(_number(count))
        return round(cost, 6), tokens

    def lost_records(self, old_tip: str, new_tip: str) -> tuple[str, ...]:
        """Paths under workspace/runs that `old_tip` has and `new_tip` lacks or has otherwise.

        Empty: nothing that hqd wrote down was lost when main was moved by a person. Equal folders are not read.
        """
        try:
            old = GitTree(self._repo.objects, old_tip).entry(layout.RUNS)
        except KeyError:
            return (layout.RUNS,)  # the old tip itself is gone: nothing can be proven
        new = GitTree(self._repo.objects, new_tip).entry(layout.RUNS)
        if old is None:
            return ()
        return tuple(self._missing(layout.RUNS, old.id, new.id if new is not None and new.is_folder else None))

    def _missing(self, folder: str, old: str, new: str | None) -> Iterator[str]:
        if old == new:
            return
        there: RawTree = self._repo.objects.tree(new) if new is not None else {}
        for name, (mode, oid) in self._repo.objects.tree(old).items():
            other = there.get(name)
            path = f"{folder}/{_text(name)}"
            if mode == b"40000":
                below = other[1].hex() if other is not None and other[0] == mode else None
                yield from self._missing(path, oid.hex(), below)
            elif other is None or other[1] != oid:
                yield path


def _nul_separated(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(65536):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        yield rest


def _number(text: str) -> float:
    """A trailer's number; 0 for what a person may have typed there."""
    try:
        return float(text.split()[0]) if text.strip() else 0.0
    except ValueError:
        return 0.0
