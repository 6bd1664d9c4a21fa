"""Commands about the files that people write: check and apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli.commands import Json, call_of, finish


def check(
    context: typer.Context,
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH…", help="Files or folders; else the HQ.")] = None,
    schemas: Annotated[
        Path | None, typer.Option("--schemas", metavar="DIR", help="Write JSON Schemas for editors there instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check files as they stand on disk, without running them.

    Prints file:line: key: message, sorted. Exit 1 where there is an error.

    Example: hqd check playbooks/newsletter.toml
    """
    from hqd.cli.check import check

    finish(check(call_of(context), paths or (), as_json=as_json, schema_folder=schemas))


def apply(
    context: typer.Context,
    message: Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="The commit's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and list only.")] = False,
    as_json: Json = False,
) -> None:
    """Put your edits in force: check them, then commit them.

    Of settings, playbooks, lessons, decisions and context documents; exactly these are committed, in your name.

    Example: hqd apply -m "Ask for two sources"
    """
    from hqd.cli.apply import apply

    finish(apply(call_of(context), message=message, dry_run=dry_run, as_json=as_json))


def register(app: typer.Typer) -> None:
    for each in (check, apply):
        app.command()(each)
