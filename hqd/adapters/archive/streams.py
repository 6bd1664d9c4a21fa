"""Much of git at a time: long answers as streams, blobs by the ten thousand."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import IO, NamedTuple, cast

from hqd.adapters.git import Git, GitFailed

_PIPE = 1 << 20
_PIECE = 1 << 18
_SMALL = 1 << 16
_MANY = 16  # small pieces; before, nobody waits
_MOMENT = 0.002  # seconds: of what git prints, some hundred kilobytes
_QUIET = {"GIT_OPTIONAL_LOCKS": "0"}


class Cut:
    """By which what git is asked in one thread is given up by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = False
        self._running: list[subprocess.Popen[bytes]] = []

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running = [process]  # one at a time
            if self._now:
                process.kill()

    def now(self) -> None:
        """Ends what runs, and whatever is begun afterwards."""
        with self._lock:
            self._now = True
            for process in self._running:
                process.kill()


def fields(git: Git, *args: str) -> Iterator[bytes]:
    """What `git ARGS` prints, by NUL. Raises GitFailed. Whoever stops early ends the process."""
    rest = b""
    for chunk in _chunks(git, args):
        *found, rest = (rest + chunk).split(b"\0")
        yield from found
    if rest:
        yield rest


def _chunks(git: Git, args: tuple[str, ...], asked: Sequence[str] = (), cut: Cut | None = None) -> Iterator[bytes]:
    process = git.start(*args, env=_QUIET, stderr=subprocess.PIPE)
    if cut is not None:
        cut.watch(process)
    asker = threading.Thread(target=_ask, args=(process, asked), daemon=True)
    asker.start()
    out = _Gulps(process)
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(cast(IO[bytes], process.stderr).read()), daemon=True)
    listener.start()
    with process:
        done = False
        try:
            while chunk := out.read():
                yield chunk
            done = True
        finally:
            if not done:
                process.kill()
        code = process.wait()
        listener.join()
        asker.join()
    if code != 0:
        raise GitFailed(args, code, b"".join(said).decode("utf-8", "replace"))


class _Gulps:
    """What a process prints, in large pieces.

    git writes every blob by itself: whoever reads at once wakes as often, and takes longer than git. So where much
    comes in small pieces, the pipe is left to fill for a moment.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._from = cast(IO[bytes], process.stdout).fileno()
        self._small = 0
        with contextlib.suppress(OSError, AttributeError):  # not on Linux, or not allowed
            fcntl.fcntl(self._from, fcntl.F_SETPIPE_SZ, _PIPE)

    def read(self) -> bytes:
        """Empty at the end."""
        piece = os.read(self._from, _PIECE)
        if len(piece) < _SMALL:
            self._small += 1
            if self._small > _MANY and piece:
                time.sleep(_MOMENT)
        return piece


def whole(git: Git, *args: str, asked: Sequence[str] = (), cut: Cut | None = None) -> bytes:
    """All that `git ARGS` prints, `asked` given to it line by line. Raises GitFailed."""
    return b"".join(_chunks(git, args, asked, cut))


class Ahead:
    """Work done in a thread of its own, while its giver does something else. Ends with its `with`; after a fault, at
    once."""

    def __init__(self, work: Callable[[Cut], bytes]) -> None:
        self._work = work
        self._cut = Cut()
        self._found = b""
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _fault: BaseException | None, _where: TracebackType | None
    ) -> None:
        if kind is not None:
            self._cut.now()
        self._thread.join()

    def all(self) -> bytes:
        """What it has found, once it is there. Raises GitFailed."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._work(self._cut)
        except BaseException as fault:  # noqa: BLE001 - raised again in the giver's thread
            self._fault = fault


class Place(NamedTuple):
    """A blob as it stands in much data."""

    data: bytes
    start: int
    stop: int


def blobs(git: Git, ids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """(name as asked, content) in the order asked; None where there is no such blob here."""
    for name, found in zip(ids, places(git, ids), strict=True):
        yield name, found.data[found.start : found.stop] if found is not None else None


def places(git: Git, ids: Sequence[str]) -> Iterator[Place | None]:
    """Contents in the order asked, not copied; None where there is no such blob here. Raises GitFailed."""
    if not ids:
        return
    process = git.start("cat-file", "--batch=%(objecttype) %(objectsize)", "--buffer", env=_QUIET)
    asker = threading.Thread(target=_ask, args=(process, ids), daemon=True)
    asker.start()
    done = False
    try:
        yield from _cut_out(process, len(ids))
        done = True
    finally:
        if not done:
            process.kill()
        asker.join()
        cast(IO[bytes], process.stdout).close()
        process.wait()


def _cut_out(process: subprocess.Popen[bytes], count: int) -> Iterator[Place | None]:
    out, data, at = _Gulps(process), b"", 0

    def more(least: int = 1) -> bytes:
        """What is left of the data, with so many bytes more."""
        parts = [data[at:]]
        while least > 0:
            chunk = out.read()
            if not chunk:
                raise GitFailed(("cat-file",), process.poll() or -1, "the object reader ended")
            parts.append(chunk)
            least -= len(chunk)
        return b"".join(parts)

    for _ in range(count):
        while (end := data.find(b"\n", at)) < 0:
            data, at = more(), 0
        kind, _space, size = data[at:end].rpartition(b" ")
        at = end + 1
        if not size.isdigit():
            yield None  # "ID missing", or a submodule
            continue
        stop = at + int(size)
        if len(data) <= stop:
            data, at, stop = more(stop + 1 - len(data)), 0, stop - at
        yield Place(data, at, stop) if kind == b"blob" else None
        at = stop + 1


def blobs_at(git: Git, places: Sequence[tuple[str, str]]) -> Iterator[str | None]:
    """The blobs at (commit, path), in the order asked; None: there is none, or the commit is not here."""
    names = [f"{commit}:{path}" for commit, path in places]
    plain = [name for name in names if "\n" not in name]
    form = "--batch-check=%(objecttype) %(objectname)"
    said = whole(git, "cat-file", form, "--buffer", asked=plain).split(b"\n")[:-1] if plain else []
    found = dict(zip(plain, said, strict=True))
    for name in names:
        kind, _space, oid = found.get(name, b"").partition(b" ")
        yield oid.decode() if kind == b"blob" else None


def _ask(process: subprocess.Popen[bytes], names: Sequence[str]) -> None:
    try:
        with cast(IO[bytes], process.stdin) as to:
            for start in range(0, len(names), 1000):
                to.write(
                    "".join(f"{name}\n" for name in names[start : start + 1000]).encode("utf-8", "surrogateescape")
                )
    except OSError:
        return  # it ended: whoever reads says so
