"""Moving main by compare-and-swap, through one long-lived `git update-ref --stdin`.

The process answers `commit: ok` once the new ref file is fsynced and renamed over the old one; the folder entry
is fsynced here, because git does not do that.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from hqd.adapters.git import DURABLE, Git, GitFailed, trouble


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class RefMover:
    """Not thread-safe: the ledger's thread uses it. A refused move ends the process; the next one starts it anew."""

    def __init__(self, git: Git, keep_open: Sequence[int] = ()) -> None:
        self._git = git
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def move(self, ref: str, new: str, old: str) -> None:
        """Sets `ref` to `new` if it is `old`. Raises CannotCommit, or GitFailed with what git said.

        After an error the ref may have moved all the same: ask the ref, not the error.
        """
        if self._process is not None and self._process.poll() is not None:
            self.close()  # killed while it was idle
        if self._process is None:
            self._start()
        process = cast("subprocess.Popen[bytes]", self._process)
        to, back = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            to.write(f"start\nupdate {ref} {new} {old}\nprepare\ncommit\n".encode())
            to.flush()
            for expected in (b"start: ok\n", b"prepare: ok\n", b"commit: ok\n"):
                if back.readline() != expected:
                    raise EOFError(expected.decode())
        except (OSError, EOFError) as fault:
            raise self._failure() from fault

    def start(self) -> None:
        """Starts the process ahead of its first use."""
        if self._process is None:
            self._start()

    def close(self) -> None:
        process, self._process = self._process, None
        errors, self._errors = self._errors, None
        if process is not None:
            with contextlib.suppress(OSError):  # it died with our words in the pipe
                cast(IO[bytes], process.stdin).close()
            cast(IO[bytes], process.stdout).close()
            process.wait()
        if errors is not None:
            errors.close()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._process = self._git.start(
            *DURABLE, "-c", "core.filesRefLockTimeout=1000", "update-ref", "-m", "hqd", "--stdin",
            pass_fds=self._keep_open, stderr=self._errors,
        )  # fmt: skip

    def _failure(self) -> Exception:
        process = cast("subprocess.Popen[bytes]", self._process)
        with contextlib.suppress(OSError):  # the pipe is broken already
            cast(IO[bytes], process.stdin).close()
        code = process.wait()
        errors = cast(IO[bytes], self._errors)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
        self.close()
        return trouble(said) or GitFailed(("update-ref",), code, said)
