"""The console script. Everything that can go wrong is told here, once: what, the remedy, the exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from hqd.errors import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, HqdError

EXIT_INTERRUPTED = 130
EXIT_PIPE = 141
"""As a shell reports a program that wrote to a pipe nobody reads any more."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit code. `words`: without the program's name; None: the process's own."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # names of files may be no UTF-8 at all
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return EXIT_PIPE
    return code


def _run(words: Sequence[str] | None) -> int:
    try:
        from hqd.cli.app import app, command

        code = command(app)(args=None if words is None else list(words), prog_name="hqd", standalone_mode=False)
        return code if isinstance(code, int) else EXIT_OK
    except HqdError as fault:
        tell(fault)
        return fault.exit_code
    except (KeyboardInterrupt, EOFError):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as fault:  # noqa: BLE001 - the edge: typer's own errors, and bugs
        return _typer_or_bug(fault)


def tell(fault: HqdError) -> None:
    """`hqd: message`, and below it what to do."""
    from hqd.model.problem import one_line

    print(f"hqd: {one_line(fault.message)}", file=sys.stderr)  # noqa: T201 - this is the command line
    if fault.remedy:
        print(f"  {one_line(fault.remedy)}", file=sys.stderr)  # noqa: T201


def _typer_or_bug(fault: Exception) -> int:
    """Wrong words on the command line (typer's errors know how to say so), an aborted prompt, or a bug."""
    from hqd import __version__

    show = getattr(fault, "format_message", None)
    if show is not None:
        if type(fault).__name__ == "NoArgsIsHelpError":  # a group without its command: its help is the whole answer
            print(show(), file=sys.stderr)  # noqa: T201
            return EXIT_USAGE
        path = getattr(getattr(fault, "ctx", None), "command_path", "hqd")
        print(f"hqd: {show()}\n  `{path} --help` tells how it is used", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    if type(fault).__name__ == "Abort":
        return EXIT_INTERRUPTED
    traceback.print_exception(fault)
    print(f"hqd: this is a bug in hqd {__version__}; please report it with the lines above", file=sys.stderr)  # noqa: T201
    return EXIT_FAILURE
