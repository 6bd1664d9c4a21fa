"""The typer app: global options and the commands. Imports nothing heavy; each command imports what it needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command as command

from hqd import __version__
from hqd.cli.call import Call
from hqd.cli.commands import board, daemon, files, history, lessons, words, workshop

__all__ = ["app", "command"]

app = typer.Typer(
    name="hqd",
    epilog="Start with `hqd demo`, or `hqd init PATH`. Exit codes: 0 ok, 1 failure or red gate, 2 usage, "
    "75 try again later, 78 a file must be changed by a person.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hqd {__version__}")
        raise typer.Exit


@app.callback()
def hqd(
    context: typer.Context,
    hq: Annotated[
        Path | None,
        typer.Option("--hq", metavar="PATH", envvar="HQD_HQ", help="The HQ; else the nearest hqd.toml upwards."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Files in, checked and reviewed results out, all of it in git. An HQ is a git repository with an hqd.toml."""
    context.obj = Call(os.environ, Path.cwd(), hq)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


for group in (daemon, board, words, files, workshop, history, lessons):
    group.register(app)
