"""Commands that make and run an HQ: init, demo, run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hqd.cli.commands import Json, call_of, finish


class AgentKind(StrEnum):
    """What works in a new HQ."""

    ANTHROPIC = "anthropic"
    CLAUDE = "claude"
    CODEX = "codex"
    NONE = "none"


def init(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder to make; may exist if it is empty.")],
    minimal: Annotated[bool, typer.Option("--minimal", help="Without the sample playbooks.")] = False,
    agent: Annotated[AgentKind | None, typer.Option("--agent", help="Who works; asked for on a terminal.")] = None,
    as_json: Json = False,
) -> None:
    """Make an HQ.

    A git repository with hqd.toml, folders, playbooks and a first commit.

    Example: hqd init ~/hq --agent claude
    """
    from hqd.cli.init import init

    call = call_of(context)
    kind = agent.value if agent is not None else None
    finish(init(call.cwd / path, call.env, minimal=minimal, agent=kind, as_json=as_json))


def demo(
    context: typer.Context,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="PATH", help="Leave its HQ in this folder.")] = None,
) -> None:
    """The guided tour on recorded agents.

    Real daemon, real git, a caught failure, a retry, a review, a lesson.

    Example: hqd demo
    """
    from hqd.cli.demo.tour import demo

    call = call_of(context)
    finish(demo(call.env, keep=call.cwd / keep if keep is not None else None))


def run(
    context: typer.Context,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when only a human, a date or a provider could move anything.")
    ] = False,
) -> None:
    """The daemon, in the foreground.

    Ends with Ctrl-C or SIGTERM; exit 75 where another one runs, or a hold stands.

    Example: hqd run --until-idle
    """
    from hqd.cli.run import run

    call = call_of(context)
    finish(run(call.root(), call.env, until_idle=until_idle))


def register(app: typer.Typer) -> None:
    for each in (init, demo, run):
        app.command()(each)
