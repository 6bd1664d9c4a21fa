"""Commands that look: status, show, log, why, context."""

from __future__ import annotations

from typing import Annotated

import typer

from hqd.cli import names
from hqd.cli.commands import Json, Task, call_of, finish

Every = Annotated[bool, typer.Option("--all", help="With what was done or dropped in the last 30 days.")]
At = Annotated[str | None, typer.Option("--at", metavar="REV", help="The board as it was at a commit.")]


def status(context: typer.Context, every: Every = False, at: At = None, as_json: Json = False) -> None:
    """The board: open tasks, what they wait for, what to mend.

    Works beside a running daemon and without one.

    Example: hqd status --json
    """
    from hqd.cli.board.status import status

    finish(status(call_of(context), as_json=as_json, everything=every, at=at))


def show(
    context: typer.Context,
    task: Task,
    attempt: Annotated[int | None, typer.Option("--attempt", metavar="N", help="Only this attempt.")] = None,
    step: Annotated[str | None, typer.Option("--step", metavar="STEP", help="Only attempts at this step.")] = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="Print the prompt that was sent.")] = False,
    output: Annotated[bool, typer.Option("--output", help="Print the output.")] = False,
    answer: Annotated[bool, typer.Option("--raw", help="Print the answer as the agent gave it.")] = False,
    patch: Annotated[bool, typer.Option("--patch", help="Print the patch of a failed attempt.")] = False,
    manifest: Annotated[bool, typer.Option("--manifest", help="Print what the prompt was made of.")] = False,
    as_json: Json = False,
) -> None:
    """One task with every attempt, or one file of an attempt.

    Open tasks and ended ones.

    Example: hqd show names --attempt 2 --prompt
    """
    from hqd.cli.board.show import FILES, show
    from hqd.errors import Usage

    wanted = [name for name, flag in zip(FILES, (prompt, answer, output, patch, manifest), strict=True) if flag]
    if len(wanted) > 1 or (wanted and as_json):
        raise Usage("one of --prompt, --output, --raw, --patch, --manifest and --json at a time")
    file = wanted[0] if wanted else None
    finish(show(call_of(context), task, as_json=as_json, attempt=attempt, file=file, step=step))


def log(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="TASK", autocompletion=names.tasks)] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=0, help="At most so many events; 0: all.")] = 30,
    as_json: Json = False,
) -> None:
    """The history, newest first, of one task or of all.

    Example: hqd log names -n 0
    """
    from hqd.cli.board.log import log

    finish(log(call_of(context), task, limit=limit, as_json=as_json))


def why(context: typer.Context, task: Task, as_json: Json = False) -> None:
    """Why a task is where it is, and what moves it on.

    What is missing, who must act, what was tried, what it cost, what comes next.

    Example: hqd why names
    """
    from hqd.cli.board.why import why

    finish(why(call_of(context), task, as_json=as_json))


def context(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK STEP | stats [PLAYBOOK[/STEP]]",
            help="A task and an agent step of its playbook; or what history tells of sources.",
            autocompletion=names.tasks,
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the very bytes that would be sent.")] = False,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="SOURCE", help="As if this were not there; repeatable.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option("--diff", metavar="REV", help="What the rules at a commit would have done.")
    ] = None,
    what_if: Annotated[
        str | None,
        typer.Option("--what-if", metavar="REV", help="Other rules over all past attempts; . is the working tree."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=1, help="With --what-if: so many attempts, the newest.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="A past attempt at the step: what it was sent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the next attempt at a step would be sent, and why.

    Each source with its tokens, its rule, whether it is kept, cut or dropped. Nothing is sent, nothing is changed.
    --attempt N: what a past attempt was sent; with --text its prompt, made again from git to the byte. `stats`: what
    sources cost and how first tries went with and without them, and how experiments stand. --what-if: what other
    rules would have dropped or added.

    Example: hqd context names work --without workspace/context/brand.md
    """
    from hqd.cli.context.preview import Wish, asked

    wish = Wish(as_json, text, tuple(without or ()), diff, what_if, last, attempt)
    finish(asked(call_of(context), words or (), wish))


report = typer.Typer(invoke_without_command=True)


@report.callback()
def numbers(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only from this day, commit, or span (30d) on.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORM", help="text, md, html (one page) or json.")] = "text",
    playbook: Annotated[
        str | None, typer.Option("--playbook", metavar="NAME", help="Only this one.", autocompletion=names.playbooks)
    ] = None,
    without_lessons: Annotated[
        bool, typer.Option("--without-lessons", help="Also what only lessons stopped: without them it was through.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The numbers: clean rate, rework, cost, where it fails.

    From records alone: counts with 95 % intervals, among outputs that reached a human; the trend by week.

    Example: hqd report --since 2026-11-01 --format html > report.html
    """
    if context.invoked_subcommand is not None:
        return
    from hqd.cli.history.report import Wish, report

    finish(report(call_of(context), Wish(since, "json" if as_json else form, playbook, without_lessons)))


@report.command("recovery")
def recovery(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only from this day, commit, or span (30d) on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What each rung of the ladders is worth: tried, accepted, cost, per class of failure.

    Rungs that never help are named.

    Example: hqd report recovery --since 2026-11-01
    """
    from hqd.cli.history.report import report_recovery

    finish(report_recovery(call_of(context), since=since, as_json=as_json))


@report.command("autonomy")
def autonomy(
    context: typer.Context,
    propose: Annotated[
        bool, typer.Option("--propose", help="Set a branch, or open a pull request, where earned.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Which playbooks have earned fewer reviews.

    By `review = { sample = "auto", risk = 0.02 }`: what people changed of their work, with its upper bound; and what
    has restored full review. The daemon proposes by itself.

    Example: hqd report autonomy
    """
    from hqd.cli.history.autonomy import report_autonomy

    finish(report_autonomy(call_of(context), propose=propose, as_json=as_json))


def register(app: typer.Typer) -> None:
    for each in (status, show, log, why, context):
        app.command()(each)
    app.add_typer(report, name="report")
