"""What a batch of transitions does to paths, worked out on trees alone, before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hqd.model.change import Entry, Transition

Content = tuple[str, str]
"""(mode, object id) of a file as a tree has it."""

FILE = "100644"
_RUNNABLE = "100755"


class Listing(Protocol):
    """As much of the port Tree as is needed here."""

    def entry(self, path: str) -> Entry | None: ...

    def entries(self, folder: str) -> tuple[Entry, ...]: ...


def blob_id(data: bytes, object_format: str = "sha1") -> str:
    """The object id that git gives to a file of these bytes."""
    return hashlib.new(object_format, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Change:
    """One path at both ends of a batch; None: it is not there."""

    path: str
    old: Content | None
    new: Content | None


def changes(base: Listing, transitions: Sequence[Transition], identify: Callable[[bytes], str]) -> tuple[Change, ...]:
    """Every path at which the tree after the batch may differ from `base`, in order of first mention.

    Raises ValueError for a transition that cannot be: a path git could not store, a rename or delete of what is
    not there, a file where a folder is. That is the caller's bug, as `base` is what it decided on.
    """
    draft = _Draft(base)
    for transition in transitions:
        for old, new in transition.renames:
            draft.rename(old, new)
        for path in transition.deletes:
            draft.delete(path)
        for path, data in transition.writes:
            draft.put(path, (draft.mode(path), identify(data)))
        for mode, oid, path in transition.links:
            draft.put(path, (mode, oid))
    return draft.changes()


class _Draft:
    """The tree of `base` with the batch's changes on top."""

    def __init__(self, base: Listing) -> None:
        self._base = base
        self._paths: dict[str, Content | None] = {}
        self._old: dict[str, Content | None] = {}
        self._sound: set[str] = set()

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change(path, self._old[path], new) for path, new in self._paths.items())

    def mode(self, path: str) -> str:
        """A file that can be run stays one."""
        now = self._content(path)
        return _RUNNABLE if now is not None and now[0] == _RUNNABLE else FILE

    def rename(self, old: str, new: str) -> None:
        for below, content in list(self._files(old)):
            self._set(below, None)
            self.put(new + below[len(old) :], content)

    def delete(self, path: str) -> None:
        for below, _ in list(self._files(path)):
            self._set(below, None)

    def put(self, path: str, content: Content) -> None:
        self._check(path)
        self._set(path, content)

    def _set(self, path: str, content: Content | None) -> None:
        if path not in self._old:
            self._old[path] = self._in_base(path)
        self._paths[path] = content

    def _content(self, path: str) -> Content | None:
        return self._paths[path] if path in self._paths else self._in_base(path)

    def _in_base(self, path: str) -> Content | None:
        entry = self._base.entry(path)
        return None if entry is None or entry.is_folder else (entry.mode, entry.id)

    def _files(self, path: str) -> Iterator[tuple[str, Content]]:
        """The file at `path`, or the files below it. Raises ValueError where there is nothing."""
        content = self._content(path)
        if content is not None:
            yield path, content
            return
        found = False
        for below in self._below(path):
            now = self._content(below)
            if now is not None:
                found = True
                yield below, now
        if not found:
            raise ValueError(f"no such path in the tree: {path!r}")

    def _below(self, folder: str) -> Iterator[str]:
        for name in list(self._paths):
            if name.startswith(folder + "/"):
                yield name
        entry = self._base.entry(folder)
        if entry is not None and entry.is_folder:
            yield from (path for path in _walk(self._base, folder) if path not in self._paths)

    def _check(self, path: str) -> None:
        """Raises ValueError for a path that cannot be, or stands in the way of others."""
        parts = path.split("/")
        if any(not _storable(part) for part in parts):
            raise ValueError(f"not a path for git: {path!r}")
        for end in range(1, len(parts)):
            parent = "/".join(parts[:end])
            if parent not in self._sound and self._content(parent) is not None:
                raise ValueError(f"{parent!r} is a file, so {path!r} cannot be")
            self._sound.add(parent)
        if path in self._sound or self._is_folder(path):
            raise ValueError(f"{path!r} is a folder")

    def _is_folder(self, path: str) -> bool:
        entry = self._base.entry(path)
        if entry is None or not entry.is_folder:
            return False
        return any(self._content(below) is not None for below in self._below(path))


def _walk(tree: Listing, folder: str) -> Iterator[str]:
    for entry in tree.entries(folder):
        path = f"{folder}/{entry.name}"
        if entry.is_folder:
            yield from _walk(tree, path)
        else:
            yield path


def _storable(part: str) -> bool:
    return (
        part not in ("", ".", "..")
        and part.lower() not in (".git", "git~1")
        and "\0" not in part
        and len(part.encode("utf-8", "surrogateescape")) <= 255
    )
