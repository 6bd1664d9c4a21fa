"""What each command is called with: names, options, help. The doing is in hqd/cli, imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from hqd.cli import names
from hqd.cli.call import Call

Task = Annotated[
    str,
    typer.Argument(metavar="TASK", help="Its id, a unique beginning of it, or its slug.", autocompletion=names.tasks),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object with schema_version.")]


def call_of(context: typer.Context) -> Call:
    """The call that the global options made."""
    call = context.obj
    if not isinstance(call, Call):
        raise TypeError("the command was called without its group")
    return call


def finish(code: int) -> None:
    """Ends the command with an exit code."""
    if code:
        raise typer.Exit(code)
