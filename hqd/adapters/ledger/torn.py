"""Temporary packs that a git left when it died: as large as what it wrote, and never removed by git itself soon."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_PROCESSES = Path("/proc")
_NAMES = ("tmp_pack_*", "tmp_idx_*", ".tmp-*")


def remove_torn_packs(packs: Path, older_than: float, now: float) -> int:
    """Removes temporary packs unchanged for `older_than` seconds that no process has open; returns how many.

    Where the system does not tell who has a file open, only those of yesterday go.
    """
    found = [path for name in _NAMES for path in packs.glob(name)]
    if not found:
        return 0
    in_use = _open_files()
    removed = 0
    for path in found:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            status = path.lstat()
            age = now - status.st_mtime
            free = age > 86_400 if in_use is None else (status.st_dev, status.st_ino) not in in_use
            if free and age >= older_than and status.st_uid == os.geteuid():
                path.unlink()
                removed += 1
    return removed


def _open_files() -> set[tuple[int, int]] | None:
    """(device, inode) of every file that a process of this user has open; None: the system does not tell."""
    if not (_PROCESSES / "self" / "fd").is_dir():
        return None
    found = set()
    for process in _PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError), os.scandir(process / "fd") as handles:
            for handle in handles:
                with contextlib.suppress(OSError):
                    status = handle.stat()
                    found.add((status.st_dev, status.st_ino))
    return found
