"""Settings, playbooks and lessons in the working tree: what differs from main and so is not in force."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.model.change import Entry
from hqd.ports import Tree

FOLDERS = (layout.PLAYBOOKS, layout.LESSONS)
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


def edits(root: Path, tree: Tree, object_format: str) -> tuple[Edit, ...]:
    """What a person has changed in hqd.toml, playbooks/ and lessons/ and not committed, by path."""
    there = dict(_on_disk(root, object_format))
    main = dict(_on_main(tree))
    found = [
        Edit(path, "added" if path not in main else "modified")
        for path, blob in there.items()
        if main.get(path) != blob
    ]
    found += [Edit(path, "deleted") for path in main if path not in there]
    return tuple(sorted(found, key=lambda edit: edit.path))


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
