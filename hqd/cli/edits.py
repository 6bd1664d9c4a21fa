"""Settings, playbooks, lessons, decisions and background documents in the working tree: what differs from main.

All of them count as committed on main; what differs is not in force.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.model.change import Entry
from hqd.ports import Tree

FOLDERS = (layout.PLAYBOOKS, layout.LESSONS)
DOCUMENTS = (layout.DECISIONS, layout.CONTEXT)
"""They may be many and large: git, which knows what it has looked at before, is asked which of them differ."""

MOST = 5_000
MAX_BYTES = 4_000_000


class FolderReader:
    """The two methods by which configuration is read, over a folder on disk. Links are followed nowhere."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes | None:
        place = self.root / path
        try:
            if not stat.S_ISREG(place.lstat().st_mode):
                return None
            with place.open("rb") as file:
                return file.read(MAX_BYTES)
        except OSError:
            return None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        try:
            with os.scandir(self.root / folder) as found:
                return tuple(sorted((_entry(each) for each in found), key=lambda entry: entry.name))
        except OSError:
            return ()


@dataclass(frozen=True, slots=True)
class Edit:
    """A file that differs. `kind`: added, modified, deleted."""

    path: str
    kind: str


def edits(repo: GitRepository, tree: Tree) -> tuple[Edit, ...]:
    """What a person has changed in hqd.toml, playbooks/, lessons/ and documents and not committed, by path."""
    there = dict(_on_disk(repo.root, repo.object_format))
    main = dict(_on_main(tree))
    found = [
        Edit(path, "added" if path not in main else "modified")
        for path, blob in there.items()
        if main.get(path) != blob
    ]
    found += [Edit(path, "deleted") for path in main if path not in there]
    found += _documents(repo, tree)
    return tuple(sorted(found, key=lambda edit: edit.path))


def _documents(repo: GitRepository, tree: Tree) -> Iterator[Edit]:
    words = ("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", *DOCUMENTS)
    for row in repo.git.read(*words).out.split(b"\0"):
        path = row[3:].decode("utf-8", "surrogateescape")
        if not path or any(left_alone(name) for name in path.split("/")):
            continue
        place, known = repo.root / path, tree.entry(path) is not None
        if not os.path.lexists(place):
            yield from [Edit(path, "deleted")] if known else []
        elif stat.S_ISREG(place.lstat().st_mode):
            yield Edit(path, "modified" if known else "added")


def left_alone(name: str) -> bool:
    """What editors leave behind; never configuration."""
    return name.startswith(".") or name.endswith(("~", ".swp", ".swx", ".tmp", ".bak", ".orig", ".rej"))


def _on_disk(root: Path, object_format: str) -> Iterator[tuple[str, str]]:
    reader = FolderReader(root)
    waiting = [layout.SETTINGS, *FOLDERS]
    for _count in range(MOST):
        if not waiting:
            return
        path = waiting.pop()
        if (root / path).is_dir() and not (root / path).is_symlink():
            waiting += [f"{path}/{entry.name}" for entry in reader.entries(path) if not left_alone(entry.name)]
            continue
        data = reader.read(path)
        if data is not None:
            yield path, blob_id(data, object_format)


def _on_main(tree: Tree) -> Iterator[tuple[str, str]]:
    waiting = list(FOLDERS)
    settings = tree.entry(layout.SETTINGS)
    if settings is not None:
        yield layout.SETTINGS, settings.id
    while waiting:
        folder = waiting.pop()
        for entry in tree.entries(folder):
            if left_alone(entry.name):
                continue
            if entry.is_folder:
                waiting.append(f"{folder}/{entry.name}")
            elif entry.mode.startswith("100"):
                yield f"{folder}/{entry.name}", entry.id


def _entry(found: os.DirEntry[str]) -> Entry:
    if found.is_symlink():
        return Entry(found.name, "120000", "")
    return Entry(found.name, "040000" if found.is_dir(follow_symlinks=False) else "100644", "")
