"""The commands of the lesson book."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli.commands import Json, call_of, finish

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Lessons, as L-4f2a or 4f2a.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="A lesson, as L-4f2a or 4f2a.")]

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The lesson book: failures as tests.\n\nExample: hqd lessons check",
)


@group.command("list")
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Retired ones too.")] = False,
    as_json: Json = False,
) -> None:
    """All lessons, those that act first.

    Example: hqd lessons list --all
    """
    from hqd.cli.lessons.book import list_

    finish(list_(call_of(context), everything=everything, as_json=as_json))


@group.command()
def show(context: typer.Context, name: Id, as_json: Json = False) -> None:
    """One lesson, with the texts of its evidence.

    Example: hqd lessons show L-4f2a
    """
    from hqd.cli.lessons.book import show

    finish(show(call_of(context), name, as_json=as_json))


@group.command()
def new(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Option("--from", metavar="TASK[/STEP][/ATTEMPT]", help="An attempt that went wrong.")
    ] = None,
    bad: Annotated[Path | None, typer.Option("--bad", metavar="FILE", help="A text that is wrong.")] = None,
    good: Annotated[Path | None, typer.Option("--good", metavar="FILE", help="The same, as it should be.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Its gate; else gates are tried.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of the gate; repeatable.")
    ] = None,
    pick: Annotated[int | None, typer.Option("--pick", metavar="N", help="Take the Nth suggestion.")] = None,
    playbook: Annotated[str | None, typer.Option("--playbook", help="Where it counts.")] = None,
    step: Annotated[str | None, typer.Option("--step", help="The step whose output was wrong.")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="What it is about, in a word.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="What agents are told, in one sentence.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="For people.")] = None,
    as_json: Json = False,
) -> None:
    """Write a lesson down, and look for a gate that is red on the bad text and green on the good one.

    The file is yours to edit and to commit (`hqd apply`), or to propose.

    Example: hqd lessons new --from spring-prices/write/1
    """
    from hqd.cli.lessons.new import Wanted, new

    wanted = Wanted(source, bad, good, kind, tuple(set_ or ()), pick, playbook, step, topic, text, title)
    finish(new(call_of(context), wanted, as_json=as_json))


@group.command()
def check(context: typer.Context, names: Ids = None, as_json: Json = False) -> None:
    """Judge lessons by their evidence and by history; for CI too.

    Red on the evidence, green on its correction, quiet on accepted work, no conflict, within its budget, and red on
    accepted work with the failure put back. Exit 1 where a lesson fails.

    Example: hqd lessons check
    """
    from hqd.cli.lessons.book import check

    finish(check(call_of(context), names or (), as_json=as_json))


@group.command()
def propose(
    context: typer.Context,
    names: Ids = None,
    ready: Annotated[bool, typer.Option("--ready", help="All recordings for which a gate can be found.")] = False,
    as_json: Json = False,
) -> None:
    """Ask for a lesson's next status: a branch hqd/lesson-ID with its backtest, for a person to merge.

    Example: hqd lessons propose L-4f2a
    """
    from hqd.cli.lessons.propose import propose

    finish(propose(call_of(context), names or (), ready=ready, as_json=as_json))


@group.command()
def accept(context: typer.Context, name: Id, as_json: Json = False) -> None:
    """Merge a proposal, in your name.

    Example: hqd lessons accept L-4f2a
    """
    from hqd.cli.lessons.propose import accept

    finish(accept(call_of(context), name, as_json=as_json))


@group.command()
def decline(
    context: typer.Context,
    name: Id,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="Why.")] = "",
    as_json: Json = False,
) -> None:
    """Turn a lesson down; it is kept as retired, with the reason.

    Example: hqd lessons decline L-4f2a -m "Too narrow"
    """
    from hqd.cli.lessons.propose import decline

    finish(decline(call_of(context), name, message, as_json=as_json))


@group.command()
def review(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say it only; set no branch.")] = False,
    as_json: Json = False,
) -> None:
    """Propose promotion and retirement where the numbers say so.

    Counts only tasks claimed after a lesson's merge, with verdicts that nobody saw and labels older than label_days,
    at a sample size fixed beforehand.

    Example: hqd lessons review --dry-run
    """
    from hqd.cli.lessons.review import review

    finish(review(call_of(context), dry_run=dry_run, as_json=as_json))


@group.command()
def stats(context: typer.Context, as_json: Json = False) -> None:
    """What each lesson was worth, from records alone.

    Example: hqd lessons stats
    """
    from hqd.cli.lessons.review import stats

    finish(stats(call_of(context), as_json=as_json))


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="lessons")
