"""Commands that take history as a test bed: replay, bisect. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli.commands import Json, call_of, finish


def replay(
    context: typer.Context,
    playbook: Annotated[Path, typer.Option("--playbook", metavar="FILE", help="The playbook that is tried.")],
    since: Annotated[
        str | None, typer.Option("--from", metavar="REV", help="Only tasks that were accepted after this commit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide history again under another playbook.

    With the attempts that were recorded: which decisions change, what that saves or costs. Exact up to the first
    decision of a task that differs, bounds after it. Prompts and files beside FILE count.

    Example: hqd replay --playbook playbooks/newsletter.toml --from main@{30.days.ago}
    """
    from hqd.cli.replay import replay

    finish(replay(call_of(context), playbook, since=since, as_json=as_json))


def register(app: typer.Typer) -> None:
    app.command()(replay)
