"""git's own index.lock, held by hqd.

The lock is a hard link to hqd's token file, so that it appears with its content at once and names its owner. The
work is done on a second link to the index, .git/hqd/index, and renamed over the index at the end: readers never
see a half-written index, and its time stamp, by which git tells racy files, stays true.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hqd.errors import RepositoryBusy

TOKEN_START = b"hqd "
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.05


class IndexLock:
    """`with IndexLock(…) as lock:` holds .git/index.lock; raises RepositoryBusy("index_lock") after `wait` seconds."""

    def __init__(
        self,
        index: Path,
        token: Path,
        private: Path,
        wait: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._index = index
        self._lock = index.with_name(index.name + ".lock")
        self._token = token
        self.private = private
        self._wait = wait
        self._sleep = sleep
        self._kept = False

    def __enter__(self) -> IndexLock:
        self._acquire()
        try:
            self._drop_private()
            self._copy()
        except OSError:
            self._lock.unlink()
            raise
        self._kept = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._drop_private()
        finally:
            if not self._kept:
                self._lock.unlink(missing_ok=True)

    def keep(self) -> None:
        """Leaves index.lock in place at the end of the `with`: the next one of this process takes it over.

        For a move whose index could not be written: a person's commit on the old index would undo it.
        """
        self._kept = True

    def release(self) -> None:
        """Takes `keep` back."""
        self._kept = False

    def publish(self) -> None:
        """Makes the private index the index."""
        self.private.rename(self._index)

    def _acquire(self) -> None:
        deadline = time.monotonic() + self._wait
        pause = _FIRST_PAUSE
        while not self._try():
            if time.monotonic() >= deadline:
                raise RepositoryBusy(
                    "index_lock", f"{self._lock} is held by another git",
                    remedy="let the git command that runs there end; if none runs, remove the file",
                )  # fmt: skip
            self._sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _try(self) -> bool:
        try:
            os.link(self._token, self._lock)
        except FileExistsError:
            return self._is_ours()
        except OSError as fault:
            if fault.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
                raise
            return self._try_by_writing()
        return True

    def _is_ours(self) -> bool:
        """Whether this process left the lock there on purpose (`keep`)."""
        try:
            return self._lock.read_bytes() == self._token.read_bytes()
        except FileNotFoundError:
            return False

    def _try_by_writing(self) -> bool:
        """For file systems without hard links."""
        try:
            handle = os.open(self._lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return self._is_ours()
        with os.fdopen(handle, "wb") as file:
            file.write(self._token.read_bytes())
        return True

    def _copy(self) -> None:
        try:
            os.link(self._index, self.private)
        except FileNotFoundError:
            return  # no index yet: git starts with an empty one
        except OSError as fault:
            if fault.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
                raise
            shutil.copy2(self._index, self.private)

    def _drop_private(self) -> None:
        self.private.unlink(missing_ok=True)
        self.private.with_name(self.private.name + ".lock").unlink(missing_ok=True)


def owner_is_hqd(lock: Path) -> bool:
    """Whether a lock file is a token of some hqd."""
    try:
        with lock.open("rb") as file:
            return file.read(len(TOKEN_START)) == TOKEN_START
    except OSError:
        return False
