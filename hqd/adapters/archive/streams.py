"""Much of git at a time: long answers as streams, blobs by the ten thousand."""

from __future__ import annotations

import contextlib
import fcntl
import io
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, cast

from hqd.adapters.git import Git, GitFailed

_BUFFER = 1 << 20
_QUIET = {"GIT_OPTIONAL_LOCKS": "0"}


def fields(git: Git, *args: str) -> Iterator[bytes]:
    """What `git ARGS` prints, by NUL. Raises GitFailed. Whoever stops early ends the process."""
    rest = b""
    for chunk in _chunks(git, args):
        *found, rest = (rest + chunk).split(b"\0")
        yield from found
    if rest:
        yield rest


def _chunks(git: Git, args: tuple[str, ...], asked: Sequence[str] = ()) -> Iterator[bytes]:
    process = git.start(*args, env=_QUIET, stderr=subprocess.PIPE)
    asker = threading.Thread(target=_ask, args=(process, asked), daemon=True)
    asker.start()
    out = _wide(process)
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(cast(IO[bytes], process.stderr).read()), daemon=True)
    listener.start()
    with process:
        done = False
        try:
            while chunk := cast(io.BufferedReader, out).read1(_BUFFER):
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


def _wide(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """What a process prints, by the megabyte: git writes 4 kB at a time, and who reads so wakes as often."""
    raw = cast(io.BufferedReader, process.stdout).detach()
    with contextlib.suppress(OSError, AttributeError):  # not on Linux, or not allowed
        fcntl.fcntl(raw.fileno(), fcntl.F_SETPIPE_SZ, _BUFFER)
    process.stdout = io.BufferedReader(raw, _BUFFER)
    return process.stdout


def whole(git: Git, *args: str, asked: Sequence[str] = ()) -> bytes:
    """All that `git ARGS` prints, `asked` given to it line by line. Raises GitFailed."""
    return b"".join(_chunks(git, args, asked))


class Ahead:
    """Work done in a thread of its own, while its giver does something else. Ends with its `with`."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._work = work
        self._found = b""
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._thread.join()

    def all(self) -> bytes:
        """What it has found, once it is there. Raises GitFailed."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._work()
        except BaseException as fault:  # noqa: BLE001 - raised again in the giver's thread
            self._fault = fault


def blobs(git: Git, ids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """(name as asked, content) in the order asked; None where there is no such blob here."""
    if not ids:
        return
    process = git.start("cat-file", "--batch", "--buffer", env=_QUIET)
    asker = threading.Thread(target=_ask, args=(process, ids), daemon=True)
    asker.start()
    out = _wide(process)
    done = False
    try:
        for name in ids:
            head = out.readline()
            if not head:
                raise GitFailed(("cat-file",), process.poll() or -1, "the object reader ended")
            words = head.split()
            if len(words) != 3 or not words[2].isdigit():
                yield name, None  # "ID missing", or a submodule
                continue
            data = out.read(int(words[2]) + 1)
            yield name, data[:-1] if words[1] == b"blob" else None
        done = True
    finally:
        if not done:
            process.kill()
        asker.join()
        out.close()
        process.wait()


def _ask(process: subprocess.Popen[bytes], names: Sequence[str]) -> None:
    try:
        with cast(IO[bytes], process.stdin) as to:
            for start in range(0, len(names), 1000):
                to.write(
                    "".join(f"{name}\n" for name in names[start : start + 1000]).encode("utf-8", "surrogateescape")
                )
    except OSError:
        return  # it ended: whoever reads says so
