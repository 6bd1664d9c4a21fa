"""The folder that an agent may change, and nothing beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_FORBIDDEN = ".git"


class OutsideOfCopy(Exception):
    """A path that leads out of the copy, or into git's own folder. The message is for the agent."""


class Workdir:
    """Reads and writes regular files below `root`, by relative paths; no `..`, no link that leads out, no `.git`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def place(self, path: str) -> Path:
        """Where `path` is. Raises OutsideOfCopy."""
        parts = PurePosixPath(path.replace("\\", "/")).parts
        if not path or "\0" in path or path.startswith(("/", "~")) or ".." in parts:
            raise OutsideOfCopy(f"{path!r}: give a path relative to the working copy, without ..")
        if any(part.lower() == _FORBIDDEN for part in parts):
            raise OutsideOfCopy(f"{path!r}: .git is not yours to read or change")
        place = self._root.joinpath(*parts)
        real = place.resolve()
        if real != self._root and self._root not in real.parents:
            raise OutsideOfCopy(f"{path!r}: a link on this path leads out of the working copy")
        if _FORBIDDEN in real.relative_to(self._root).parts:
            raise OutsideOfCopy(f"{path!r}: a link on this path leads into .git")
        return real

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes of a regular file. Raises OutsideOfCopy, OSError."""
        place = self.place(path)
        if not stat.S_ISREG(place.stat().st_mode):
            raise OutsideOfCopy(f"{path!r} is not a regular file")
        with place.open("rb") as file:
            return file.read(limit)

    def write(self, path: str, content: bytes) -> None:
        """Writes a file and the folders above it. Raises OutsideOfCopy, OSError."""
        place = self.place(path)
        if place == self._root or (place.exists() and not place.is_file()):
            raise OutsideOfCopy(f"{path!r} is not a regular file")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def remove(self, path: str) -> None:
        """Removes a file; it need not be there. Raises OutsideOfCopy, OSError."""
        self.place(path).unlink(missing_ok=True)

    def paths(self, folder: str = ".") -> Iterator[str]:
        """All regular files below `folder`, sorted within each folder, links not followed. Raises OutsideOfCopy."""
        start = self._root if folder in (".", "") else self.place(folder)
        for here, folders, names in os.walk(start):
            folders[:] = sorted(name for name in folders if name != _FORBIDDEN)
            for name in sorted(names):
                place = Path(here, name)
                if place.is_file() and not place.is_symlink():
                    yield place.relative_to(self._root).as_posix()
