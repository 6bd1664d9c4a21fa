"""Locks of refs that git processes of a killed hqd have left: a kill of the whole service takes its git along.

git never removes another's lock, so each would be in the way for ever: of a branch, or, as `packed-refs.lock`, of every
deletion of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

GRACE = 2.0
"""Seconds that a lock must stay as it is: no git holds one that long without writing."""

_TICK = 0.05
"""Clocks of file systems tick more coarsely than the process's own."""

_BRANCHES = ("refs/heads/hqd", "refs/remotes")
"""Where hqd sets branches beside main, which has rules of its own (`recover.clear_ref_locks`)."""


def clear(
    folders: Sequence[Path], since: float, sleep: Callable[[float], None], clock: Callable[[], float] = time.time
) -> list[Path]:
    """Removes them and returns their paths. `folders`: git directories; `since`: when the hqd that was killed had
    begun (seconds since 1970): what is older is somebody else's, and so is what changes within GRACE."""
    found = {lock: state for lock in _locks(folders) if (state := _state(lock)) and state[0] >= since - _TICK}
    if not found:
        return []
    youngest = max(at for at, _what in found.values())
    if (wait := min(GRACE, youngest + GRACE - clock())) > 0:
        sleep(wait)
    stale = [lock for lock, state in found.items() if _state(lock) == state]
    for lock in stale:
        lock.unlink(missing_ok=True)
    return stale


def _locks(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        yield folder / "packed-refs.lock"
        for branches in _BRANCHES:
            yield from (folder / branches).glob("**/*.lock")


def _state(lock: Path) -> tuple[float, tuple[int, ...]] | None:
    """When it was last written, and all that changes with a write; of packed-refs git writes a file beside the lock."""
    parts: list[int] = []
    newest = 0.0
    for path in (lock, lock.with_suffix(".new")):
        try:
            status = path.stat()
        except FileNotFoundError:
            if path is lock:
                return None
            continue
        parts += [status.st_ino, status.st_size, status.st_mtime_ns]
        newest = max(newest, status.st_mtime)
    return newest, tuple(parts)
