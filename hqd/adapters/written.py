"""What a program that hqd has started wrote to the file named by HQD_OUTPUT."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def written_to(path: Path, limit: int) -> bytes | None:
    """The file's bytes, `limit` and one at most; None where it was not written. A link or a FIFO is not read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(handle)
