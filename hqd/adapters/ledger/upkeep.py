"""Keeping the repository fast: packs joined, the commit graph written, nothing pruned early.

Every batch of the ledger is a pack, and every git process opens the list of all packs; so they are joined, by
`git repack --geometric`, every fifty. Old objects are never deleted here: what a branch of a person or a
reflog may still need stays until `hqd gc`.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path

from hqd.adapters.git import DURABLE, GitFailed
from hqd.adapters.ledger.ledger import GitLedger
from hqd.adapters.ledger.torn import remove_torn_packs
from hqd.adapters.repository import GitRepository

PACKS_BETWEEN = 50
DAY = 86_400.0
_LARGE = 2_000  # commits in packs; below that a commit graph gains nothing worth a start
_LEFT_FOR_DEAD = 600.0  # a temporary pack untouched for so long, and that no process has open, belongs to nobody
_KEPT_ASIDE = 30 * DAY
_KEEP_WORD = b"fast-import"
_CONFIG = {"gc.auto": "0", "maintenance.auto": "false", "core.splitIndex": "false"}


def prepare(repo: GitRepository) -> bool:
    """Settles the HQ's git configuration: hqd does the upkeep, in the background. True: something was changed."""
    changed = False
    for key, value in _CONFIG.items():
        if repo.git.read("config", "--local", "--get", key, codes=(0, 1)).text != value:
            repo.git.run("config", "--local", key, value)
            changed = True
    return changed


class Upkeep:
    """One background thread at low priority. `tick` is called by the loop as often as it likes.

    `error` is what went wrong last, for `status`; None: all is well.
    """

    def __init__(self, repo: GitRepository, ledger: GitLedger, *, packs_between: int = PACKS_BETWEEN) -> None:
        self._repo = repo
        self._ledger = ledger
        self._packs_between = packs_between
        self._packs_done = 0
        self._last_daily: float | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self.error: str | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def tick(self, now: float) -> bool:
        """Starts what is due, unless it runs already; `now` in seconds of any steady clock. True: it started."""
        if self.running or self._closing.is_set():
            return False
        daily = self._last_daily is None or now - self._last_daily >= DAY
        if not daily and self._ledger.packs - self._packs_done < self._packs_between:
            return False
        self._packs_done = self._ledger.packs
        if daily:
            self._last_daily = now
        self._thread = threading.Thread(target=self._work, args=(daily,), name="hqd-upkeep", daemon=True)
        self._thread.start()
        return True

    def wait(self, timeout: float | None = None) -> None:
        """Waits for the work under way."""
        if self._thread is not None:
            self._thread.join(timeout)

    def close(self) -> None:
        """Stops the work under way; git leaves nothing but temporary files, which are removed a day later."""
        self._closing.set()
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        self.wait()

    def _work(self, daily: bool) -> None:
        try:
            if daily:
                self._sweep()
            self._repack()
            if daily and self._commits() >= _LARGE:
                self._run("commit-graph", "write", "--reachable", "--split", "--changed-paths", "--no-progress")
            self.error = None
        except (GitFailed, OSError) as fault:
            self.error = str(fault)

    def _repack(self) -> None:
        """Joins packs. The pack writer marks its packs as kept while it lives; it is let go before and after."""
        self._ledger.let_packs_go()
        self._release_kept()
        self._run("repack", "-dq", "--geometric=2")
        self._ledger.let_packs_go()

    def _release_kept(self) -> None:
        """Removes the marks that a killed pack writer left: with them no pack would ever be joined."""
        for mark in self._packs().glob("*.keep"):
            with contextlib.suppress(FileNotFoundError):
                if mark.read_bytes() == _KEEP_WORD and time.time() - mark.stat().st_mtime > self._ledger.age:
                    mark.unlink()

    def _sweep(self) -> None:
        """Removes what killed gits left a day ago, and what was taken aside a month ago."""
        remove_torn_packs(self._packs(), _LEFT_FOR_DEAD, time.time())
        graphs = self._packs().parent / "info" / "commit-graphs"
        limits = [(path, DAY) for path in graphs.glob("*.lock")]
        limits += [(path, _KEPT_ASIDE) for path in (self._repo.private / "taken").glob("*")]
        for path, limit in limits:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > limit and path.is_file():
                    path.unlink()

    def _commits(self) -> int:
        return int(self._repo.git.quick("rev-list", "--count", f"--max-count={_LARGE}", self._repo.ref).text)

    def _run(self, *args: str) -> None:
        if self._closing.is_set():
            return
        process = self._repo.git.start(*DURABLE, *args, stderr=subprocess.PIPE, low=True)
        self._process = process
        _, said = process.communicate()
        self._process = None
        if process.returncode != 0 and not self._closing.is_set():
            raise GitFailed(args, process.returncode, said.decode("utf-8", "replace"))

    def _packs(self) -> Path:
        return self._repo.common_dir / "objects" / "pack"
