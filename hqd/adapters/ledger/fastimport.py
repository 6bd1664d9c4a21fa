"""Batches of commits as one pack, by one long-lived `git fast-import` on refs/hqd/incoming.

A batch is on disk, fsynced, when `build` returns; it is part of main only when the ledger has moved main.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from hqd.adapters.git import Git, GitFailed, trouble
from hqd.adapters.ledger.torn import remove_torn_packs
from hqd.core.batch import FILE
from hqd.errors import CannotCommit
from hqd.model.change import Transition
from hqd.model.record import Person

INCOMING = "refs/hqd/incoming"
COMMITTER = Person(name="hqd", email="hqd@localhost")

_DURABLE_PACKS = ("-c", "core.fsync=all,-reference")
"""refs/hqd/incoming only keeps gc away; a broken one is removed at the start."""
_COMMITS_PER_PROCESS = 20_000  # fast-import never forgets an object id; 20,000 commits are some 15 MB


class FastImport:
    """One writer of packs. Not thread-safe: the ledger's thread uses it. A dead process is replaced."""

    def __init__(self, git: Git, keep_open: Sequence[int] = ()) -> None:
        self._git = git
        self._keep_open = tuple(keep_open)
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._tip: str | None = None
        self._commits = 0
        self.packs = 0

    def build(
        self, base: str, transitions: Sequence[Transition], modes: Sequence[Sequence[str]]
    ) -> tuple[tuple[str, ...], str]:
        """(ids of one new commit per transition on top of `base`, root tree of the last).

        `modes[i][j]`: of transition i's write j.

        Raises CannotCommit for a full or read-only disk, GitFailed for all else, after one more try.
        """
        if self._commits > _COMMITS_PER_PROCESS:
            self.close()
        try:
            return self._build(base, transitions, modes)
        except GitFailed:
            return self._build(base, transitions, modes)

    def close(self) -> None:
        """Ends the process. Its finished packs stay."""
        process, self._process = self._process, None
        errors, self._errors = self._errors, None
        self._tip, self._commits = None, 0
        if process is not None:
            with contextlib.suppress(OSError):  # it died with our words in the pipe
                cast(IO[bytes], process.stdin).close()
            cast(IO[bytes], process.stdout).close()
            process.wait()
        if errors is not None:
            errors.close()

    def _build(
        self, base: str, transitions: Sequence[Transition], modes: Sequence[Sequence[str]]
    ) -> tuple[tuple[str, ...], str]:
        if self._process is None:
            self._start()
        process = cast("subprocess.Popen[bytes]", self._process)
        to, back = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        script: list[bytes] = []
        if self._tip != base:
            script.append(b"reset %s\nfrom %s\n\n" % (INCOMING.encode(), base.encode()))
        for mark, (transition, of_writes) in enumerate(zip(transitions, modes, strict=True), 1):
            script += commit_script(transition, mark, of_writes)
        script.append(b"checkpoint\n")
        script += [b"get-mark :%d\n" % mark for mark in range(1, len(transitions) + 1)]
        script.append(b'ls :%d ""\n' % len(transitions))
        self._tip = None
        try:
            to.write(b"".join(script))
            to.flush()
            ids = tuple(self._line(back) for _ in transitions)
            root = self._line(back).split()
        except (OSError, EOFError) as fault:
            raise self._failure(fault) from fault
        self._tip = ids[-1]
        self._commits += len(ids)
        self.packs += 1
        return ids, root[2] if len(root) == 3 else ""

    def _line(self, back: IO[bytes]) -> str:
        line = back.readline()
        if not line.endswith(b"\n"):
            raise EOFError("fast-import ended")
        return line[:-1].decode()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        self._process = self._git.start(
            *_DURABLE_PACKS, "-c", "fastimport.unpackLimit=1", "-c", "pack.packSizeLimit=0",
            "fast-import", "--force", "--quiet", "--date-format=raw",
            pass_fds=self._keep_open, stderr=self._errors,
        )  # fmt: skip

    def _failure(self, fault: Exception) -> CannotCommit | GitFailed:
        """What the dead process said. Its crash report is removed: it holds what people wrote."""
        process = cast("subprocess.Popen[bytes]", self._process)
        with contextlib.suppress(OSError):  # the pipe is broken already
            cast(IO[bytes], process.stdin).close()
        process.wait()
        errors = cast(IO[bytes], self._errors)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
        (Path(self._git.place["GIT_DIR"]) / f"fast_import_crash_{process.pid}").unlink(missing_ok=True)
        self.close()
        remove_torn_packs(Path(self._git.place["GIT_OBJECT_DIRECTORY"]) / "pack", 0.0, time.time())
        if isinstance(fault, OSError) and not said:
            said = str(fault)
        return trouble(said) or GitFailed(("fast-import",), process.returncode, said)


def commit_script(transition: Transition, mark: int, modes: Sequence[str]) -> list[bytes]:
    """One commit in fast-import's language."""
    if transition.at.tzinfo is None:
        raise ValueError("a transition needs a time with a zone")
    when = f"{int(transition.at.timestamp())} {transition.at:%z}".encode()
    message = transition.message.encode("utf-8", "replace").replace(b"\0", b"")
    if not message.endswith(b"\n"):
        message += b"\n"
    parts = [
        b"commit %s\nmark :%d\n" % (INCOMING.encode(), mark),
        b"author %s %s\n" % (_identity(transition.author or COMMITTER), when),
        b"committer %s %s\n" % (_identity(COMMITTER), when),
        _data(message),
    ]
    if transition.merge is not None:
        parts.append(b"merge %s\n" % transition.merge.encode())
    for old, new in transition.renames:
        parts.append(b"R %s %s\n" % (quote(old), quote(new)))
    for path in transition.deletes:
        parts.append(b"D %s\n" % quote(path))
    for (path, data), mode in zip(transition.writes, modes or [FILE] * len(transition.writes), strict=True):
        parts += (b"M %s inline %s\n" % (mode.encode(), quote(path)), _data(data))
    for mode, oid, path in transition.links:
        parts.append(b"M %s %s %s\n" % (mode.encode(), oid.encode(), quote(path)))
    parts.append(b"\n")
    return parts


def quote(path: str) -> bytes:
    """A path in C style, always in quotes: spaces, newlines and bytes that are no UTF-8 survive."""
    raw = path.encode("utf-8", "surrogateescape")
    return b'"' + b"".join(_QUOTED[byte] for byte in raw) + b'"'


def _quoted(byte: int) -> bytes:
    if byte in b'"\\':
        return b"\\" + bytes([byte])
    return b"\\%03o" % byte if byte < 0x20 or byte == 0x7F else bytes([byte])


_QUOTED = tuple(_quoted(byte) for byte in range(256))
_UNFIT = str.maketrans({"<": "", ">": "", "\n": " ", "\r": " ", "\0": ""})


def _identity(person: Person) -> bytes:
    """`Name <email>` with the characters taken out that would end it early."""
    email = person.email.translate(_UNFIT).strip() or "unknown"
    name = person.name.translate(_UNFIT).strip() or email
    return f"{name} <{email}>".encode("utf-8", "replace")


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)
