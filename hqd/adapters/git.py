"""The one door that runs git.

Every git process gets an environment of its own (inherited `GIT_*` variables name somebody else's repository,
index or configuration), runs without hooks and fsmonitor, and never asks at a terminal. Ordinary calls go through
GitPython's command interface, imported at the first of them: that alone takes 60 ms. The write path, the long-lived
readers and what a command only reads are started directly, because milliseconds count there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from hqd.errors import CannotCommit, Expected, NotAnHQ

OPTIONS = (
    "-c", f"core.hooksPath={os.devnull}",
    "-c", "core.fsmonitor=false",
    "-c", "core.splitIndex=false",
    "-c", "core.quotePath=false",
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
    "-c", "advice.detachedHead=false",
    "-c", "core.packedRefsTimeout=10000",
    "-c", "core.filesRefLockTimeout=1000",
)  # fmt: skip
"""Given to every call. `core.splitIndex`: an index that stands in one file can be copied and renamed. The time-outs, in
milliseconds: git waits for a lock of another git, of hqd or of a person, rather than fail."""

DURABLE = ("-c", "core.fsync=all")
"""Given to every call whose objects or refs must outlive a power cut."""

_KEPT = frozenset(
    {
        "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH",
        "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL",
        "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_HTTP_USER_AGENT",
        "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL",
    }
)  # fmt: skip
_NEUTRAL = {
    "GIT_NAMESPACE": "",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
    "GIT_CONFIG_COUNT": "0",
    "GIT_CONFIG_PARAMETERS": "",
    "GIT_PREFIX": "",
    "GIT_LITERAL_PATHSPECS": "0",
}
"""Values that undo what GitPython lets through: it starts from the process's own environment."""


class Stop(Protocol):
    """What ends a call: asked all the time while it is under way. An Event is one."""

    def is_set(self) -> bool: ...


class GitFailed(Expected):
    """A git call ended with an exit code that the caller did not foresee."""

    def __init__(self, args: Sequence[str], code: int, stderr: str) -> None:
        said = " ".join(stderr.split())[-600:] or f"exit code {code}"
        super().__init__(f"git {_command(args)}: {said}")
        self.code = code
        self.stderr = stderr


def _command(args: Sequence[str]) -> str:
    """The command's name: what is left of it behind `-c KEY=VALUE`."""
    rest = list(args)
    while rest and rest[0] == "-c":
        del rest[:2]
    return rest[0] if rest else ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a git call ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output without its last newline; bytes that are not UTF-8 as surrogates."""
        return self.out.decode("utf-8", "surrogateescape").removesuffix("\n")


def clean_environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` without what would point git elsewhere; messages in English, no prompts, no replaced objects."""
    kept = {name: value for name, value in env.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_EDITOR": "true",
        "GIT_MERGE_AUTOEDIT": "no",
    }


READ_ONLY = ("read-only file system", "permission denied", "insufficient permission", "operation not permitted")


def trouble(stderr: str) -> CannotCommit | None:
    """The condition of disk or permissions that a git message tells of; None: something else is wrong."""
    said = stderr.lower()
    if any(words in said for words in ("no space left", "quota exceeded", "out of diskspace")):
        return CannotCommit("disk", "the disk is full", remedy="free some space; hqd goes on by itself")
    if any(words in said for words in READ_ONLY):
        return CannotCommit(
            "read_only", "the repository cannot be written: " + " ".join(stderr.split())[:200],
            remedy="make the repository writable for hqd; it goes on by itself",
        )  # fmt: skip
    return None


@dataclass(frozen=True)
class Git:
    """Runs git in one folder. `place` are the GIT_* variables that name the repository (empty: git finds it)."""

    cwd: Path
    env: Mapping[str, str]
    place: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
        timeout: float | None = None,
    ) -> Result:
        """Runs git to its end by GitPython. Raises GitFailed for an exit code not in `codes`, or after `timeout` s."""
        import git as gitpython  # here: a command that only reads never comes by

        command = gitpython.cmd.Git(str(self.cwd))
        whole = clean_environment(self.env) | _NEUTRAL | dict(self.place) | dict(env or {})
        options: dict[str, Any] = {"kill_after_timeout": timeout} if timeout else {}
        with tempfile.TemporaryFile() as source:
            if stdin:
                source.write(stdin)
                source.seek(0)
            code, out, err = cast(
                tuple[int, bytes, str | bytes],
                command.execute(
                    ["git", *OPTIONS, *args], istream=cast(Any, source), with_extended_output=True,
                    with_exceptions=False, stdout_as_string=False, strip_newline_in_stdout=False,
                    env=whole, **options,
                ),
            )  # fmt: skip
        message = err if isinstance(err, str) else err.decode("utf-8", "replace")
        if code not in codes:
            raise GitFailed(args, code, message)
        return Result(code, out, message)

    def read(self, *args: str, codes: Sequence[int] = (0,), stdin: bytes | None = None) -> Result:
        """Like `quick`, for calls that only read: never takes a lock to refresh the index."""
        return self.quick(*args, codes=codes, stdin=stdin, env={"GIT_OPTIONAL_LOCKS": "0"})

    def quick(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
        pass_fds: Sequence[int] = (),
    ) -> Result:
        """Like `run`, started directly: for the write path and for what a person waits for."""
        source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        done = subprocess.run(
            ["git", *OPTIONS, *args], capture_output=True, cwd=self.cwd, check=False,
            env=self._environment(env), pass_fds=tuple(pass_fds), **source,
        )  # fmt: skip
        message = done.stderr.decode("utf-8", "replace")
        if done.returncode not in codes:
            raise GitFailed(args, done.returncode, message)
        return Result(done.returncode, done.stdout, message)

    def far(
        self,
        *args: str,
        env: Mapping[str, str],
        timeout: float,
        stop: Stop | None = None,
    ) -> Result | None:
        """Like `run`, for calls that speak to another machine; whatever the exit code is, it is in the result.

        git and what it started (ssh, curl) are one group, killed whole after `timeout` seconds or soon after `stop`
        is set: then None.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(
                ["git", *OPTIONS, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.cwd,
                env=self._environment(env), start_new_session=True,
            )  # fmt: skip
            code = _ended(process, time.monotonic() + timeout, stop)
            if code is None:
                return None
            out.seek(0)
            err.seek(0)
            return Result(code, out.read(), err.read().decode("utf-8", "replace"))

    def start(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        stderr: int | Any = subprocess.DEVNULL,
        low: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Starts git with pipes on its standard input and output; the caller ends it. `low`: at low priority."""
        nice = ("nice", "-n", "15") if low else ()
        return subprocess.Popen(
            [*nice, "git", *OPTIONS, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
            cwd=self.cwd, env=self._environment(env), pass_fds=tuple(pass_fds),
        )  # fmt: skip

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        return clean_environment(self.env) | dict(self.place) | dict(env or {})


def _ended(process: subprocess.Popen[bytes], until: float, stop: Stop | None) -> int | None:
    """The exit code of a process; None: it was killed, with all of its group."""
    pause = 0.002
    try:
        while (code := process.poll()) is None:
            if time.monotonic() >= until or (stop is not None and stop.is_set()):
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return code
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def discover(path: Path, env: Mapping[str, str]) -> tuple[Path, Path, Path, str]:
    """(top of the working tree, git directory, common git directory, object format) of the repository at `path`."""
    asked = ("rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--show-object-format")
    try:
        answer = Git(path, env).quick(*asked)
    except GitFailed as failed:
        raise NotAnHQ(path) from failed
    top, git_dir, common, object_format = answer.text.split("\n")
    return Path(top), Path(git_dir), (path / common).resolve(), object_format
