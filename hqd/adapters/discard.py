"""Deleting what others have made, whatever they made of it."""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def remove_tree(folder: Path) -> None:
    """Deletes a folder, also where an agent took the permissions away; links are not followed. Raises OSError."""

    def unlock(function: Callable[..., object], path: str, _: object) -> None:
        for place in (Path(path).parent, Path(path)):
            with contextlib.suppress(OSError):
                if not place.is_symlink():
                    place.chmod(stat.S_IRWXU)
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    if folder.exists():
        shutil.rmtree(folder, onerror=unlock)


def discard(path: Path) -> None:
    """Takes away whatever stands at a path; links are not followed. Raises OSError."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        remove_tree(path)
