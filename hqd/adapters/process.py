"""The one door that starts processes other than git.

Laws of this file: an argv and never a shell; an environment given whole; a deadline always; memory bounded by the
caps; and when `run` returns, nothing that was started is left: neither the process, nor its group, nor children that
left the group. The last are found by their parents, and by the variable HQD_CLAIM in their environment, which every
process is given a nonce in. A child that clears its environment and also loses its parent is out of reach here;
under systemd the unit's control group ends it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hqd.errors import Expected

CLAIM = "HQD_CLAIM"
"""Environment variable by which every process that hqd started can be found again, also after a crash of hqd."""

_CHUNK = 65536
_POLL = 0.1  # seconds between looks at the stop event
_DRAIN = 0.5  # seconds that output may still come after the process itself has ended
_PROC = Path("/proc")


class CannotStart(Expected):
    """The program is missing, is not executable, or the folder to start it in is gone."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a process ended.

    `exit` is the exit code, negative for a signal, as in `subprocess`. `stdout` is cut at its cap, and then `capped`
    is true and the process was killed. `stderr` is the tail. `seconds` is wall time.
    """

    exit: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    stopped: bool = False
    capped: bool = False
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Ended by itself, with exit code 0."""
        return self.exit == 0 and not (self.timed_out or self.stopped or self.capped)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cwd: Path | None = None,
    stdin: bytes = b"",
    stop: threading.Event | None = None,
    max_stdout: int = 10_000_000,
    max_stderr: int = 64_000,
    grace: float = 2.0,
    on_stdout: Callable[[bytes], None] | None = None,
    nonce: str | None = None,
) -> Result:
    """Starts `argv` in a session of its own and waits for its end, for `timeout` seconds at most.

    The whole group gets TERM and, `grace` seconds later, KILL: at the deadline, when `stop` is set, when stdout
    exceeds `max_stdout` bytes. What is left of the group after a normal end is killed too. `on_stdout` sees each
    chunk as it comes. Raises CannotStart.
    """
    if nonce is None:
        nonce = secrets.token_hex(12)
    began = time.monotonic()
    child = _start(argv, {**env, CLAIM: nonce}, cwd)
    talk = _Talk(child, stdin, max_stdout, max_stderr, on_stdout)
    try:
        with talk:
            why = talk.until(began + timeout, stop)
            if why != "ended":
                _terminate(child, nonce)
                talk.until(time.monotonic() + grace, None)
    finally:
        _kill(child, nonce)
    return Result(
        exit=child.wait(),
        stdout=bytes(talk.out),
        stderr=bytes(talk.err[-max_stderr:]),
        timed_out=why == "timed_out",
        stopped=why == "stopped",
        capped=why == "capped",
        seconds=time.monotonic() - began,
    )


@contextlib.contextmanager
def beside(argv: Sequence[str], *, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`argv` in a session of its own, to be talked with by its pipes, which nobody else reads, until the `with` ends.
    Then it is killed with its group, however the `with` ends. Raises CannotStart."""
    nonce = secrets.token_hex(12)
    child = _start(argv, {**env, CLAIM: nonce}, None)
    try:
        yield child
    finally:
        _kill(child, nonce)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()


def _start(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> subprocess.Popen[bytes]:
    if cwd is not None and not cwd.is_dir():
        raise CannotStart(f"no folder {cwd} to start {argv[0]} in")
    try:
        return subprocess.Popen(
            tuple(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            bufsize=0,
            start_new_session=True,
        )
    except FileNotFoundError:
        message, remedy = f"program not found: {argv[0]}", "install it, or give its full path"
    except PermissionError:
        message, remedy = f"program is not executable: {argv[0]}", f"chmod +x {argv[0]}"
    except (OSError, ValueError) as error:
        message, remedy = f"cannot start {argv[0]}: {error}", ""
    raise CannotStart(message, remedy=remedy)


class _Talk:
    """The pipes of one process: feeds stdin, keeps stdout up to its cap and the tail of stderr."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        stdin: bytes,
        max_stdout: int,
        max_stderr: int,
        on_stdout: Callable[[bytes], None] | None,
    ) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self._child = child
        self._left = memoryview(stdin)
        self._max_stdout = max_stdout
        self._max_stderr = max_stderr
        self._on_stdout = on_stdout
        self._selector = selectors.DefaultSelector()
        self._pidfd: int | None = None
        self._capped = False

    def __enter__(self) -> _Talk:
        for pipe, act in ((self._child.stdout, self._read_out), (self._child.stderr, self._read_err)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, act)
        if self._child.stdin is not None:
            os.set_blocking(self._child.stdin.fileno(), False)
            self._selector.register(self._child.stdin, selectors.EVENT_WRITE, self._write)
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(self._child.pid)
                self._selector.register(self._pidfd, selectors.EVENT_READ, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def until(self, deadline: float, stop: threading.Event | None) -> str:
        """Carries bytes until the process has ended; says why it is over: ended, timed_out, stopped, capped."""
        ended_at: float | None = None
        while True:
            now = time.monotonic()
            if ended_at is None and self._child.poll() is not None:
                ended_at = now
            why = self._over(now, deadline, ended_at, stop)
            if why is not None:
                return why
            wait = max(0.0, min(_POLL, deadline - now))
            for key, _ in self._selector.select(wait):
                if key.data is not None:
                    key.data(key.fileobj)
                else:  # the pidfd: it has ended
                    self._selector.unregister(key.fileobj)

    def _over(self, now: float, deadline: float, ended_at: float | None, stop: threading.Event | None) -> str | None:
        if self._capped:
            return "capped"
        if ended_at is not None:
            quiet = self._child.stdout not in self._selector.get_map()
            quiet = quiet and self._child.stderr not in self._selector.get_map()
            return "ended" if quiet or now - ended_at > _DRAIN else None
        if stop is not None and stop.is_set():
            return "stopped"
        return "timed_out" if now >= deadline else None

    def _read(self, pipe: IO[bytes]) -> bytes:
        try:
            data = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            self._selector.unregister(pipe)
        return data

    def _read_out(self, pipe: IO[bytes]) -> None:
        data = self._read(pipe)
        room = self._max_stdout - len(self.out)
        self.out += data[:room]
        if data and self._on_stdout is not None:
            self._on_stdout(data[:room])
        if len(data) > room:
            self._capped = True

    def _read_err(self, pipe: IO[bytes]) -> None:
        self.err += self._read(pipe)
        if len(self.err) > 2 * self._max_stderr:
            del self.err[: -self._max_stderr]

    def _write(self, pipe: IO[bytes]) -> None:
        try:
            self._left = self._left[os.write(pipe.fileno(), self._left[:_CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left = self._left[:0]  # a program need not read what it is told
        if not self._left:
            self._selector.unregister(pipe)
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _terminate(child: subprocess.Popen[bytes], nonce: str) -> None:
    """TERM to the group and to what left it; once each, for a second TERM would cut the tidying up short."""
    outside = {pid for pid in set(_descendants(child.pid)) | _claimed(nonce) if _group(pid) != child.pid}
    _signal_group(child.pid, signal.SIGTERM)
    _signal_all(outside, signal.SIGTERM)


def _kill(child: subprocess.Popen[bytes], nonce: str) -> None:
    """KILL to what is left of the group, and to whatever left it."""
    strays = _descendants(child.pid)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()
    _signal_all({pid for pid, born in strays.items() if _parent_and_birth(pid)[1] == born}, signal.SIGKILL)
    sweep(nonce)


def sweep(nonce: str) -> int:
    """Kills every process that carries this claim; returns how many. For what a crashed hqd left running too."""
    return _kill_until_gone(lambda: _claimed(nonce))


def evict(folder: Path) -> int:
    """Kills every process with a claim whose current folder is in `folder`; returns how many.

    A person's shell in there carries no claim, and stays.
    """
    return _kill_until_gone(lambda: {pid for pid in _at_home_in(folder) if _is_claimed(pid)})


def _kill_until_gone(find: Callable[[], set[int]]) -> int:
    """A process may fork between the look and the signal, so it is looked again, a bounded number of times."""
    killed: set[int] = set()
    for _ in range(50):
        found = find()
        if not found:
            break
        _signal_all(found, signal.SIGKILL)
        killed |= found
        time.sleep(0.005)
    return len(killed)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _processes() -> Iterator[int]:
    if _PROC.is_dir():
        yield from (int(name) for name in os.listdir(_PROC) if name.isdigit())  # noqa: PTH208 - once per process


def _claimed(nonce: str) -> set[int]:
    return {pid for pid in _processes() if _is_claimed(pid, nonce)}


def _is_claimed(pid: int, nonce: str = "") -> bool:
    """Whether a living process (a zombie has no environment) carries this claim; without a nonce: any."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    claim = f"{CLAIM}={nonce}".encode()
    return any(entry == claim if nonce else entry.startswith(claim) for entry in environment.split(b"\0"))


def _at_home_in(folder: Path) -> set[int]:
    home = str(folder.resolve())
    found: set[int] = set()
    for pid in _processes():
        try:
            where = os.readlink(_PROC / str(pid) / "cwd")  # noqa: PTH115 - a text with " (deleted)", not a path
        except OSError:
            continue
        where = where.removesuffix(" (deleted)")
        if (where == home or where.startswith(home + "/")) and pid != os.getpid():
            found.add(pid)
    return found


def _parent_and_birth(pid: int) -> tuple[int, int]:
    """Parent, and start time in clock ticks, which tells a process from a later one of the same id; (0, -1): gone."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return 0, -1
    fields = stat.rpartition(")")[2].split()
    return int(fields[1]), int(fields[19])


def _descendants(root: int) -> dict[int, int]:
    """Children and children's children with their birth, by /proc; empty where there is no /proc."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid in _processes():
        parent, born = _parent_and_birth(pid)
        children.setdefault(parent, []).append((pid, born))
    found: dict[int, int] = {}
    todo = [root]
    while todo:
        for pid, born in children.get(todo.pop(), ()):
            if pid not in found:
                found[pid] = born
                todo.append(pid)
    return found
