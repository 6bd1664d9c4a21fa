"""The files of the working tree: what stands at a path now, and changing it without losing a person's bytes.

Nothing here follows a symbolic link. What is taken away is first moved aside and looked at again, so that a save
that slipped in between is put back, not lost.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hqd.adapters.git import Git, GitFailed
from hqd.adapters.ledger.index_file import IndexEntry
from hqd.core.batch import Content

MISSING = "missing"
FILE = "file"
LINK = "link"
FOLDER = "folder"
OTHER = "other"

_LINK_MODE = "120000"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a path. `content` is None for what git would not store, or what is larger than asked for."""

    kind: str
    content: Content | None = None
    status: os.stat_result | None = None


NOTHING = Found(MISSING)


@dataclass(frozen=True)
class Files:
    """The working tree under `root`."""

    root: Path
    object_format: str
    git: Git
    runnable_counts: bool = True  # core.fileMode

    def path(self, path: str) -> str:
        return f"{self.root}/{path}"

    def status(self, path: str) -> os.stat_result | None:
        """lstat; None where nothing is."""
        try:
            return os.lstat(self.path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def find(self, path: str, limit: int | None = None) -> Found:
        """What stands at `path`, hashed; files above `limit` bytes are not read. Raises OSError."""
        status = self.status(path)
        if status is None:
            return NOTHING
        if stat.S_ISDIR(status.st_mode):
            return Found(FOLDER, None, status)
        if stat.S_ISLNK(status.st_mode):
            target = os.fsencode(os.readlink(self.path(path)))  # noqa: PTH115  # a Path would normalise it
            return Found(LINK, (_LINK_MODE, self._hash(target)), status)
        if not stat.S_ISREG(status.st_mode):
            return Found(OTHER, None, status)
        if limit is not None and status.st_size > limit:
            return Found(FILE, None, status)
        try:
            return self._read(path)
        except FileNotFoundError:
            return NOTHING

    def same(self, path: str, content: Content | None, found: Found) -> bool:
        """Whether what was found is what git has as `content` (None: nothing), line ends and filters included."""
        if content is None:
            return found.kind == MISSING
        if found.content is None:
            return False
        mode = found.content[0]
        if not self.runnable_counts and mode != _LINK_MODE and content[0] != _LINK_MODE:
            mode = content[0]
        if mode != content[0]:
            return False
        return found.content[1] == content[1] or (found.kind == FILE and self._filtered(path) == content[1])

    def blocked_by(self, path: str, known: dict[str, bool]) -> str | None:
        """The parent of `path` that is no real folder; None: there is none. `known` remembers between calls."""
        at = path.find("/")
        while at >= 0:
            parent = path[:at]
            if parent not in known:
                status = self.status(parent)
                known[parent] = status is None or stat.S_ISDIR(status.st_mode)
            if not known[parent]:
                return parent
            at = path.find("/", at + 1)
        return None

    def relocate(self, old: str, new: str) -> bool:
        """Moves a file to where nothing is; False, and nothing changed, where something is."""
        target = self.path(new)
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120  # paths may be any bytes
        try:
            os.link(self.path(old), target, follow_symlinks=False)
        except FileExistsError:
            return False
        os.unlink(self.path(old))  # noqa: PTH108
        return True

    def prune(self, folder: str) -> None:
        """Removes a folder below workspace/ and those above it, as long as they are empty."""
        while folder.count("/") >= 1:
            try:
                os.rmdir(self.path(folder))  # noqa: PTH106
            except OSError:
                return
            folder = folder.rpartition("/")[0]

    def put(self, path: str, data: bytes, mode: str, draft: Path) -> bool:
        """Makes a file where nothing is, whole or not at all; False where something is. `draft`: a private name."""
        target = self.path(path)
        parent = os.path.dirname(target)  # noqa: PTH120  # paths may be any bytes, and are many
        os.makedirs(parent, exist_ok=True)  # noqa: PTH103
        permissions = 0o777 if mode == "100755" else 0o666
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, permissions)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.link(draft, target)
        except FileExistsError:
            return False
        except OSError as fault:
            if fault.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP):
                raise
            return self._put_in_place(target, data, permissions)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def take(self, path: str, content: Content, aside: Path) -> bool:
        """Moves the file at `path` to `aside` if it is `content`; False, and nothing changed, where it is not."""
        if not self.same(path, content, self.find(path)):
            return False
        aside.parent.mkdir(exist_ok=True)
        os.rename(self.path(path), aside)  # noqa: PTH104
        moved = Files(aside.parent, self.object_format, self.git, self.runnable_counts)
        found = moved.find(aside.name)
        if found.content is not None and found.content[1] == content[1]:
            return True
        try:
            os.link(aside, self.path(path), follow_symlinks=False)  # a person saved it in this very moment
        except FileExistsError:
            return False  # and once more: the newest stands there, the one before is kept aside
        aside.unlink()
        return False

    def starts(self, path: str, whole: bytes) -> bool:
        """Whether the file is a beginning of `whole`: what a killed git leaves of a file that it was writing."""
        try:
            handle = os.open(self.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return False
            data = file.read(len(whole) + 1)
        return len(data) < len(whole) and whole.startswith(data)

    def _put_in_place(self, target: str, data: bytes, permissions: int) -> bool:
        """For file systems without hard links between the two places."""
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        except FileExistsError:
            return False
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return True

    def _read(self, path: str) -> Found:
        handle = os.open(self.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb", buffering=0) as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                return Found(OTHER, None, status)
            hasher = hashlib.new(self.object_format, b"blob %d\0" % status.st_size, usedforsecurity=False)
            left = status.st_size
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                hasher.update(chunk)
                left -= len(chunk)
        mode = "100755" if status.st_mode & 0o100 else "100644"
        return Found(FILE, (mode, hasher.hexdigest()), status)

    def _hash(self, data: bytes) -> str:
        return hashlib.new(self.object_format, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()

    def _filtered(self, path: str) -> str | None:
        """The id that git would give the file after line ends and filters; workspace/ has none by its attributes."""
        if path.startswith("workspace/"):
            return None
        try:
            return self.git.quick("hash-object", "--", path).text
        except GitFailed:
            return None


def untouched(entry: IndexEntry, status: os.stat_result, index_written: int) -> bool:
    """Whether the file is the one git wrote, by its dates alone. False also when they cannot tell ("racy")."""
    mtime, mtime_ns, ctime, ctime_ns, ino, size = entry.stat
    return (
        status.st_mtime_ns == mtime * 1_000_000_000 + mtime_ns
        and status.st_ctime_ns == ctime * 1_000_000_000 + ctime_ns
        and status.st_size & 0xFFFFFFFF == size
        and status.st_ino & 0xFFFFFFFF == ino
        and status.st_mtime_ns < index_written
    )


def stat_matches(entry: IndexEntry, status: os.stat_result) -> bool:
    """Whether git would take the file as unchanged without a refresh of its index."""
    return untouched(entry, status, 1 << 63)
