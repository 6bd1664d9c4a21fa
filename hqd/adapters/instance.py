"""One daemon per HQ, and the id of this clone."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hqd.errors import AlreadyRunning


@contextmanager
def only_instance(private: Path) -> Iterator[Path]:
    """Holds .git/hqd/lock for as long as the `with` lasts; yields its path. Raises AlreadyRunning.

    `private` is GitRepository.private. The kernel gives the lock back when the process ends, however it ends;
    processes that it starts do not inherit it.
    """
    path = private / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _taken(handle):
            raise AlreadyRunning(
                f"another hqd runs here (process {_holder(path)})", remedy="use that one, or stop it first"
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield path
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Tries for a moment: `daemon_alive` of another process holds a shared lock for the blink of an eye."""
    for _try in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def daemon_alive(private: Path) -> int | None:
    """The process id of the daemon that runs here (0: it did not say); None: none does. Takes nothing from it."""
    path = private / "lock"
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(handle)
    return None


def host_id(private: Path) -> str:
    """The random id of this clone, made once; a clone made from this one gets its own, as .git is not copied."""
    path = private / "host"
    try:
        return path.read_text("ascii").split()[0]
    except (FileNotFoundError, IndexError):
        draft = path.with_name(f"host.{os.getpid()}")
        draft.write_text(f"{secrets.token_hex(8)} {host_name()}\n", "utf-8")
        try:
            os.link(draft, path)  # the first of two that start at once wins
        except FileExistsError:
            if not path.read_text("utf-8").split():
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path.read_text("utf-8").split()[0]


def host_name() -> str:
    """For people."""
    return socket.gethostname() or "unknown"


def _holder(path: Path) -> int:
    text = path.read_text("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
