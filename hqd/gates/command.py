"""The kind `command`: a program decides."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from hqd.errors import Expected, joined
from hqd.gates import patterns
from hqd.gates.kind import CannotJudge, Cost, GateKind, Params, Scope, Verdict, View, shorten
from hqd.model.duration import Duration, seconds
from hqd.model.gate import NOT_JUDGED, Evidence, Subject
from hqd.model.program import Ran
from hqd.ports import Programs

OUTPUT_FILE = "HQD_GATE_OUTPUT"
TAIL = 20  # lines of a failing program that the agent is shown


class Command(Params):
    """Runs a program and passes when it exits with `expect_exit` and its stdout matches `stdout_regex`.

    No shell: `argv` is the program and its arguments. It runs in the attempt's working copy; where a step has none,
    in an empty folder that holds the output as `output.md`. The variable HQD_GATE_OUTPUT names a file with the output
    in every case. A program that cannot be started, is stopped, or runs longer than `timeout` is an `error`.

    `compare = "base"`: when the program fails, it runs once more on a copy of the files as they were before the
    attempt; if it failed there too, the gate is skipped, since only what was green before counts. Then it says nothing
    of the work, and whoever reviews it is told so.
    """

    argv: tuple[str, ...] = Field(min_length=1, description="program and arguments, no shell")
    timeout: Duration = Field(default="5m", description="longest wall time")
    expect_exit: int = Field(default=0, description="the exit code that passes")
    stdout_regex: str | None = Field(default=None, description="what stdout must match as well")
    compare: Literal["none", "base"] = Field(default="none", description="base: only what was green before counts")

    @field_validator("argv")
    @classmethod
    def _program(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value[0].strip():
            raise ValueError("the program has no name")
        return value


def command(params: Command, view: View) -> Verdict:
    programs = view.doors.programs
    if programs is None:
        raise CannotJudge("no programs can be run here")
    with tempfile.TemporaryDirectory(prefix="hqd-gate-") as name:
        folder = Path(name)
        output = folder / "output.md"
        output.write_text(view.subject.output, encoding="utf-8", errors="surrogatepass")
        ran = _run(programs, params, view, view.subject.cwd or folder, output)
        fault = _fault(params, ran)
        score, threshold = float(ran.exit), float(params.expect_exit)
        if fault is None:
            return Verdict(True, f"`{_spoken(params)}` passes", (), score, threshold)
        if params.compare == "base" and view.subject.cwd is not None:
            with before(view.subject, folder / "base") as base:
                empty = folder / "no-output.md"
                empty.touch()
                earlier = _run(programs, params, view, base, empty)
                was = _fault(params, earlier)
            if was is not None:
                return Verdict(None, _red_before(params, was, _tail(earlier)), (), score, threshold)
            fault += " It passed before this attempt."
        tail = _tail(ran)
        message = f"`{_spoken(params)}` {fault}" + (f" Its last lines:\n{tail}" if tail else " It printed nothing.")
        return Verdict(False, message, _places(view.subject, tail), score, threshold)


def _run(programs: Programs, params: Command, view: View, cwd: Path, output: Path) -> Ran:
    env = {**view.doors.env, OUTPUT_FILE: str(output)}
    limit = seconds(params.timeout)
    try:
        ran = programs.run(params.argv, cwd, env, limit, view.subject.stop)
    except Expected as error:
        raise CannotJudge(joined(error.message, error.remedy)) from None
    if ran.stopped:
        raise CannotJudge(f"`{_spoken(params)}` was stopped")
    if ran.timed_out:
        raise CannotJudge(f"`{_spoken(params)}` ran longer than {params.timeout}")
    return ran


def _fault(params: Command, ran: Ran) -> str | None:
    """Why a run does not pass; None: it does."""
    if ran.exit != params.expect_exit:
        how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"exits with {ran.exit}"
        return f"{how}, not {params.expect_exit}."
    if params.stdout_regex is None:
        return None
    printed = ran.stdout.decode("utf-8", "replace")
    if patterns.find_all(params.stdout_regex, ("m",), printed, 1):
        return None
    return f"exits with {ran.exit}, but prints nothing that matches `{shorten(params.stdout_regex)}`."


def _red_before(params: Command, was: str, tail: str) -> str:
    """For whoever reviews work that no program has judged; tables show the beginning only."""
    return (
        f"{NOT_JUDGED}already red before this attempt, and red after it, so whether the work is right it does not tell."
        f" Before this attempt `{_spoken(params)}` {was}"
    ) + (f" Its last lines then:\n{tail}" if tail else " It printed nothing.")


@contextmanager
def before(subject: Subject, folder: Path) -> Iterator[Path]:
    """A copy of the working copy in which every change of the attempt is taken back.

    A copy, not the bare files of the base: what the set-up installed but git ignores has to be there, or a program
    would fail for want of it and pass for red before. Raises CannotJudge.
    """
    if subject.base is None or subject.cwd is None:
        raise CannotJudge("compare: the state before the attempt is not known here")
    try:
        shutil.copytree(subject.cwd, folder, symlinks=True, ignore_dangling_symlinks=True)
        for change in subject.changed:
            for path in filter(None, (change.path, change.old_path)):
                _restore(folder, path, subject.base.read(path))
        yield folder
    except (OSError, shutil.Error) as error:
        raise CannotJudge(f"compare: cannot copy the working copy: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _restore(folder: Path, path: str, content: bytes | None) -> None:
    target = folder / path
    if content is None:
        target.unlink(missing_ok=True)
        return
    mode = target.stat().st_mode if target.is_file() and not target.is_symlink() else None
    target.unlink(missing_ok=True)  # never write through a link that the attempt made
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    if mode is not None:
        target.chmod(mode)


def _tail(ran: Ran) -> str:
    """The last lines of what it printed: stderr after stdout, as on a terminal that shows both."""
    text = "\n".join(part.decode("utf-8", "replace").rstrip() for part in (ran.stdout, ran.stderr) if part.strip())
    return "\n".join(line[:500] for line in text.split("\n")[-TAIL:])


def _places(subject: Subject, tail: str) -> tuple[Evidence, ...]:
    """`path:line` of changed files in what was printed."""
    found = []
    known = {change.path for change in subject.changed}
    for match in patterns.find_all(r"([\w./\-]+\.\w+):(\d+)", (), tail, 50):
        path = match[1].removeprefix("./")
        if path in known:
            found.append(Evidence(path=path, line=int(match[2])))
    return tuple(dict.fromkeys(found))[:10]


def _spoken(params: Command) -> str:
    return shorten(" ".join(params.argv), 200)


def _faults(params: Command) -> tuple[str, ...]:
    if seconds(params.timeout) <= 0:
        return ("timeout: must be longer than nothing",)
    problem = patterns.fault(params.stdout_regex, ()) if params.stdout_regex is not None else None
    return (f"stdout_regex: {problem}",) if problem else ()


KINDS = (GateKind("command", "code", Command, command, cost=Cost.DEAR, scope=Scope.NONE, pure=False, check=_faults),)
