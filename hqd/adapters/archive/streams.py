"""Much of git at a time: long answers as streams, blobs by the ten thousand."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import IO, cast

from hqd.adapters.git import Git, GitFailed

_QUIET = {"GIT_OPTIONAL_LOCKS": "0"}


def fields(git: Git, *args: str) -> Iterator[bytes]:
    """What `git ARGS` prints, by NUL. Raises GitFailed. Whoever stops early ends the process."""
    process = git.start(*args, env=_QUIET, stderr=subprocess.PIPE)
    cast(IO[bytes], process.stdin).close()
    said: list[bytes] = []
    listener = threading.Thread(target=lambda: said.append(cast(IO[bytes], process.stderr).read()), daemon=True)
    listener.start()
    with process:
        done = False
        try:
            rest = b""
            while chunk := cast(IO[bytes], process.stdout).read(1 << 20):
                *whole, rest = (rest + chunk).split(b"\0")
                yield from whole
            if rest:
                yield rest
            done = True
        finally:
            if not done:
                process.kill()
        code = process.wait()
        listener.join()
    if code != 0:
        raise GitFailed(args, code, b"".join(said).decode("utf-8", "replace"))


class Ahead:
    """A stream read ahead in a thread of its own, while its reader does something else. Ends with its `with`."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._found: list[bytes] = []
        self._fault: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def all(self) -> list[bytes]:
        """Everything, once it is there. Raises what the stream raised."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return self._found

    def _read(self, stream: Iterator[bytes]) -> None:
        try:
            for part in stream:
                if self._stop.is_set():
                    return
                self._found.append(part)
        except BaseException as fault:  # noqa: BLE001 - raised again in the reader's thread
            self._fault = fault


def blobs(git: Git, ids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """(name as asked, content) in the order asked; None where there is no such blob here."""
    if not ids:
        return
    process = git.start("cat-file", "--batch", "--buffer", env=_QUIET)
    asker = threading.Thread(target=_ask, args=(process, ids), daemon=True)
    asker.start()
    out = cast(IO[bytes], process.stdout)
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
