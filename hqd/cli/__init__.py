"""The console script. Everything that can go wrong is told here, once: what, the remedy, the exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from hqd.errors import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, HqdError

EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""As a shell reports a program that wrote to a pipe nobody reads any more."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit code. `words`: without the program's name; None: the process's own."""
    if sys.stdout is None or sys.stderr is None:  # closed by the caller (`>&-`): what is said goes nowhere
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stands in until the process ends
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # names of files may be no UTF-8 at all
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        _stop_printing()
        return EXIT_PIPE
    except OSError as fault:  # a full disk behind `>`
        _stop_printing()
        print(f"hqd: the output cannot be written: {fault.strerror or fault}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILURE
    return code


def _stop_printing() -> None:
    """Or the interpreter complains at its end that it cannot write what is left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: Sequence[str] | None) -> int:
    said = sys.argv[1:] if words is None else list(words)
    try:
        from hqd.cli.app import app, command

        code = command(app)(args=said, prog_name="hqd", standalone_mode=False)
        return code if isinstance(code, int) else EXIT_OK
    except HqdError as fault:
        tell(fault)
        _tell_programs(said, fault.message, fault.remedy, fault.exit_code)
        return fault.exit_code
    except (KeyboardInterrupt, EOFError):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as fault:  # the edge: typer's own errors, and bugs
        if isinstance(fault, OSError) and fault.errno == errno.ENOSPC and fault.filename is None:
            raise  # standard output is full: `main` tells it
        return _typer_or_bug(fault, said)


def tell(fault: HqdError) -> None:
    """`hqd: message`, and below it what to do."""
    from hqd.model.problem import one_line

    print(f"hqd: {one_line(fault.message)}", file=sys.stderr)  # noqa: T201 - this is the command line
    if fault.remedy:
        print(f"  {one_line(fault.remedy)}", file=sys.stderr)  # noqa: T201


def _tell_programs(said: Sequence[str], message: str, remedy: str, code: int) -> None:
    """With --json, whoever reads standard output gets one object there too."""
    if "--json" not in said[: said.index("--") if "--" in said else None]:
        return
    from hqd.cli import terminal

    with suppress(OSError):  # nobody may be reading any more
        terminal.data({"error": {"message": message, "remedy": remedy, "exit_code": code}})


def _typer_or_bug(fault: Exception, said: Sequence[str]) -> int:
    """Wrong words on the command line (typer's errors know how to say so), an aborted prompt, or a bug."""
    from hqd import __version__

    show = getattr(fault, "format_message", None)
    if show is not None:
        if type(fault).__name__ == "NoArgsIsHelpError":  # a group without its command: its help is the whole answer
            print(show(), file=sys.stderr)  # noqa: T201
            return EXIT_USAGE
        path = getattr(getattr(fault, "ctx", None), "command_path", "hqd")
        message, remedy = show().replace(": Value error, ", ": "), f"`{path} --help` tells how it is used"
        if path == "hqd" and message.startswith("No such option: --json"):
            message = "No such option: --json"
            remedy = "it stands after the command: `hqd status --json`"
        print(f"hqd: {message}\n  {remedy}", file=sys.stderr)  # noqa: T201
        _tell_programs(said, message, remedy, EXIT_USAGE)
        return EXIT_USAGE
    if type(fault).__name__ == "Abort":
        return EXIT_INTERRUPTED
    traceback.print_exception(fault)
    message = f"this is a bug in hqd {__version__}; please report it with the lines above"
    print(f"hqd: {message}", file=sys.stderr)  # noqa: T201
    _tell_programs(said, f"{type(fault).__name__}: {fault}", message, EXIT_FAILURE)
    return EXIT_FAILURE
