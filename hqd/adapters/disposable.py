"""`.hqd/`: caches and indexes beside the HQ's files, disposable at any time, and no matter of git's."""

from __future__ import annotations

from pathlib import Path

from hqd.codec import layout

_IGNORE = "# Caches of hqd: safe to delete.\n*\n"


def make_folder(folder: Path) -> None:
    """Makes a folder in or under `.hqd/`, which tells git by itself to look away. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    top = next((each for each in (folder, *folder.parents) if each.name == layout.CACHE), None)
    if top is not None and not (top / ".gitignore").exists():
        (top / ".gitignore").write_text(_IGNORE, encoding="utf-8")
