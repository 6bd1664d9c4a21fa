"""Commands that take history as a test bed: replay, bisect. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli import names
from hqd.cli.commands import Json, call_of, finish


def replay(
    context: typer.Context,
    playbook: Annotated[
        Path, typer.Option("--playbook", metavar="FILE", help="The playbook that is tried: a file or a name.")
    ],
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
    from hqd.cli.history.replay import replay

    finish(replay(call_of(context), playbook, since=since, as_json=as_json))


def backtest(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(metavar="LESSON | GATE | PLAYBOOK[@REV]", help="What is tested; with --kind none.")
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="One gate of this kind.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of it, as in TOML; repeatable.")
    ] = None,
    playbook: Annotated[
        str | None,
        typer.Option(
            "--playbook",
            metavar="NAME[@REV]",
            help="Only outputs of this playbook; without a gate or a lesson: the playbook's own gates.",
        ),
    ] = None,
    step: Annotated[str | None, typer.Option("--step", metavar="STEP", help="Only outputs of this step.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="REV", help="Read no output and no label after this commit.")
    ] = None,
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="Which output stands for its cluster.")] = "hqd",
    allow_commands: Annotated[
        bool, typer.Option("--allow-commands", help="Also gates that start programs, once for every output.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try a gate, lesson or playbook on every past output.

    A lesson by id or file, a gate of hqd.toml by its name, a playbook; each also as committed at a revision. Beside
    what people said of these outputs: labels come from people's acts alone and are set before any gate runs.

    Example: hqd backtest --kind must_not_include --set values=TODO --playbook newsletter
    """
    from hqd.cli.backtest.command import Asked, backtest

    asked = Asked(what, kind, tuple(set_ or ()), playbook, step, as_of, seed, allow_commands)
    finish(backtest(call_of(context), asked, as_json=as_json))


def bisect(
    context: typer.Context,
    playbook: Annotated[str, typer.Argument(metavar="PLAYBOOK", autocompletion=names.playbooks)],
    step: Annotated[str | None, typer.Option("--step", metavar="STEP", help="Only this agent step.")] = None,
    metric: Annotated[str, typer.Option("--metric", metavar="M", help="first_pass or clean.")] = "first_pass",
    as_json: Json = False,
) -> None:
    """Which edit made a playbook better or worse.

    Its versions side by side, by the pin of each attempt: the same agent and model only, all judged by the gates of the
    newest version; neighbours with the interval of their difference.

    Example: hqd bisect newsletter --step write
    """
    from hqd.cli.history.bisect import bisect

    finish(bisect(call_of(context), playbook, step=step, metric=metric, as_json=as_json))


def register(app: typer.Typer) -> None:
    app.command()(replay)
    app.command()(bisect)
    app.command()(backtest)
