"""The right to write an HQ's index and files: one holder at a time, whatever was killed before.

Held by a flock that every git child of the holder inherits. Who gets it therefore knows that no hqd and no git
of an hqd is alive, and may clear away what a killed one left: nothing has to be guessed from process ids.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from hqd.adapters.git import GitFailed
from hqd.adapters.ledger import stale_locks
from hqd.adapters.ledger.cone import ConeFile
from hqd.adapters.ledger.files import Files
from hqd.adapters.ledger.index_file import Index, read_index, stamp
from hqd.adapters.ledger.index_lock import IndexLock, owner_is_hqd
from hqd.adapters.ledger.journal import Journal, Marks
from hqd.adapters.repository import MIRRORS, GitRepository
from hqd.errors import AlreadyRunning

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\n")
_POLL = 0.02


class Writer:
    """Shared by ledger, checkout and sparse checkout of one process. Close it last.

    `lock_wait`: seconds to wait for index.lock; `orphan_wait`: seconds to wait at the start for git children of
    a killed hqd. Raises AlreadyRunning where another process writes. Leftovers are cleared; a move that a crash
    cut off is finished by the ledger.
    """

    def __init__(
        self,
        repo: GitRepository,
        *,
        lock_wait: float = 1.0,
        orphan_wait: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.repo = repo
        self.lock_wait = lock_wait
        self._sleep = sleep
        self._handle = _hold(repo.private / "writing", orphan_wait, sleep)
        try:
            self.boot = _boot_id()
            self.token = repo.private / "token"
            self.previous_boot = self._previous_boot()
            self._clear_leftovers()
            if self.previous_boot is not None:
                mirrors = (repo.private / MIRRORS).glob("*")
                stale_locks.clear([repo.common_dir, *mirrors], self.token.stat().st_mtime, sleep)
            self._write_token()
            self.journal = Journal(repo.private / "journal")
        except BaseException:
            os.close(self._handle)
            raise
        self.marks = Marks(repo.private)
        self.cone = ConeFile(repo.git_dir, repo.common_dir)
        self.files = Files(repo.root, repo.object_format, repo.git, runnable_counts(repo))
        self._index: Index | None = None

    def close(self) -> None:
        """Gives the right back. A second call does nothing."""
        if self._handle < 0:
            return
        self.journal.close()
        self.token.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def inherited(self) -> tuple[int, ...]:
        """What git children that write must keep open."""
        return (self._handle,)

    def lock(self, wait: float | None = None) -> IndexLock:
        """git's index.lock, to be held by `with`."""
        return IndexLock(
            self.repo.index, self.token, self.repo.private / "index",
            self.lock_wait if wait is None else wait, self._sleep,
        )  # fmt: skip

    def index(self) -> Index:
        """The index as it is now, kept until it is written anew."""
        if self._index is not None and self._index.written == stamp(self.repo.index):
            return self._index
        index = read_index(self.repo.index, self.repo.git, self.repo.id_bytes)
        self._index = index
        return index

    def aside(self, blob: str) -> Path:
        """Where a person's file goes that is taken away: kept until upkeep removes it after a month."""
        return self.repo.private / "taken" / f"{time.time_ns()}-{blob[:12]}-{secrets.token_hex(3)}"

    def draft(self) -> Path:
        """A private name on the HQ's file system."""
        return self.repo.private / "draft"

    def _previous_boot(self) -> str | None:
        """The boot of an hqd that did not end cleanly; None: the last one did."""
        try:
            words = self.token.read_text("ascii").split()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return words[2] if len(words) == 4 else ""

    def _clear_leftovers(self) -> None:
        index_lock = self.repo.index.with_name("index.lock")
        if owner_is_hqd(index_lock):
            index_lock.unlink()
        private = self.repo.private
        for name in ("index", "index.lock", "draft", "token.new"):
            (private / name).unlink(missing_ok=True)
        incoming = self.repo.common_dir / "refs" / "hqd" / "incoming"
        if incoming.exists() and not _OBJECT_ID.fullmatch(incoming.read_bytes()):
            incoming.unlink()  # torn by a power cut; it only kept gc away
        for lock in (self.repo.common_dir / "refs" / "hqd").glob("**/*.lock"):
            lock.unlink()  # nobody but hqd writes there

    def _write_token(self) -> None:
        draft = self.token.with_name("token.new")
        draft.write_text(f"hqd {os.getpid()} {self.boot or '-'} {secrets.token_hex(8)}\n", "ascii")
        draft.replace(self.token)


def _hold(path: Path, wait: float, sleep: Callable[[float], None]) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                raise AlreadyRunning(
                    f"another hqd, or a git that it started, writes here ({path})", remedy="stop it first"
                ) from None
            sleep(_POLL)
        else:
            return handle


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def runnable_counts(repo: GitRepository) -> bool:
    """git's core.fileMode: whether the permission to run is a difference."""
    try:
        return repo.git.quick("config", "--type=bool", "core.fileMode", codes=(0, 1)).text != "false"
    except GitFailed:
        return True
