"""Locks on refs that a killed hqd left: a stale one would keep a task's branch from being set or removed for ever.

Before hqd changes branches it leaves a mark under .git/hqd, and takes it away afterwards. Who starts and finds the
mark knows that an hqd was killed in the middle; a lock made since then that nobody touches is what it left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hqd.adapters.repository import GitRepository

_MARK = "branches-change"
_CLOCK_TICK = 0.05  # file dates come from a coarse clock
GRACE = 2.0
"""Seconds for which a lock must not have changed; git holds one for the blink of a few renames."""


@contextmanager
def marked(private: Path) -> Iterator[None]:
    """Around every change of branches. Not fsynced: after a power cut no lock of ours is younger than the mark."""
    mark = private / _MARK
    with suppress(OSError):  # a full or read-only disk: git says so itself
        mark.touch()
    try:
        yield
    finally:
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def clear(repository: GitRepository, grace: float = GRACE, sleep: Callable[[float], None] = time.sleep) -> None:
    """Removes the locks that a killed hqd left on hqd/ branches and on packed-refs; live ones never.

    To be called when no other hqd is alive, before the first change. Waits up to `grace` if there is such a lock.
    """
    mark = repository.private / _MARK
    try:
        began = mark.stat().st_mtime
    except FileNotFoundError:
        return
    common = repository.common_dir
    for lock in (common / "packed-refs.lock", *(common / "refs" / "heads" / "hqd").glob("**/*.lock")):
        seen = _stamp(lock)
        if seen is None or seen[0] < began - _CLOCK_TICK:
            continue
        wait = seen[0] + grace - time.time()
        if wait > 0:
            sleep(wait)
        if _stamp(lock) == seen:
            lock.unlink(missing_ok=True)
    mark.unlink(missing_ok=True)


def _stamp(lock: Path) -> tuple[float, int, int] | None:
    try:
        status = lock.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime, status.st_ino, status.st_size
