"""Commands by which a person has a say: add, approve, request-changes, reject, answer, retry, drop, pause, …"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli import names
from hqd.cli.commands import Json, Task, call_of, finish
from hqd.errors import Usage

NoWait = Annotated[bool, typer.Option("--no-wait", help="Leave the word for the daemon and return at once.")]
Words = Annotated[str | None, typer.Option("-m", "--message", metavar="TEXT", help="Why.")]
Playbook = Annotated[
    str | None, typer.Option("--playbook", metavar="NAME", help="Send it there.", autocompletion=names.playbooks)
]


def add(
    context: typer.Context,
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE…", help="Markdown files to copy.")] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Make a task of this title.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="Its text; - reads it from stdin.")] = None,
    playbook: Playbook = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="With --title; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Drop tasks into the inbox and print their paths.

    Nothing is ever overwritten.

    Example: hqd add --title "Five names for a bakery" --text "In a harbour town."
    """
    from hqd.cli.add import Wish, add

    if text is not None and title is None:
        raise Usage("--text goes with --title")
    finish(add(call_of(context), files or (), Wish(title, text, playbook, tuple(tag or ())), as_json=as_json))


def approve(context: typer.Context, task: Task, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Approve a review: the work lands.

    With land = "never" only the flow goes on.

    Example: hqd approve names
    """
    _say(context, "approve", task, {}, no_wait, as_json)


def request_changes(
    context: typer.Context,
    task: Task,
    message: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="What has to change.")],
    to: Annotated[str | None, typer.Option("--to", metavar="STEP", help="An earlier agent step.")] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Send reviewed work back, with what has to change.

    It goes to the review's `on_changes` step, else to the last agent step before it.

    Example: hqd request-changes names -m "Shorter, and no puns."
    """
    _say(context, "request-changes", task, {"message": message, "to": to}, no_wait, as_json)


def reject(
    context: typer.Context, task: Task, message: Words = None, no_wait: NoWait = False, as_json: Json = False
) -> None:
    """Turn a review down.

    The task is parked; retry it or drop it.

    Example: hqd reject names -m "We will not do this."
    """
    _say(context, "reject", task, {"message": message}, no_wait, as_json)


def answer(
    context: typer.Context,
    task: Task,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="The answer, in as many words as it takes.")],
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Answer a task's question; the task goes on.

    Example: hqd answer names "Rotterdam"
    """
    _say(context, "answer", task, {"text": " ".join(text)}, no_wait, as_json)


def retry(
    context: typer.Context,
    task: Annotated[str | None, typer.Argument(metavar="TASK", autocompletion=names.tasks)] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="CODE", help="All parked for this reason.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    step: Annotated[str | None, typer.Option("--from", metavar="STEP", help="Begin again at this step.")] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Un-park a task, or many: a new round begins.

    With the settings and playbooks in force now.

    Example: hqd retry names --from draft; hqd retry --reason budget
    """
    if [task is not None, reason is not None, every].count(True) != 1:
        raise Usage("name a task, or pass one of --reason and --all")
    if task is not None:
        _say(context, "retry", task, {"from": step}, no_wait, as_json)
    else:
        _say(context, "retry-many", None, {"reason": reason, "from": step}, no_wait, as_json)


def drop(
    context: typer.Context, task: Task, message: Words = None, no_wait: NoWait = False, as_json: Json = False
) -> None:
    """Cancel an open task.

    Its file goes to dropped/, its work stays on its branch.

    Example: hqd drop names -m "not needed any more"
    """
    _say(context, "drop", task, {"message": message}, no_wait, as_json)


def pause(context: typer.Context, message: Words = None, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Begin nothing new; what runs goes on.

    The same as a file workspace/PAUSED.

    Example: hqd pause -m "until the price is settled"
    """
    _say(context, "pause", None, {"message": message}, no_wait, as_json)


def resume(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One hold; else the pause and all.")] = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """End the pause and lift holds, or one hold by name.

    Example: hqd resume agent-writer
    """
    _say(context, "resume", None, {"name": name}, no_wait, as_json)


def adopt(context: typer.Context, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Accept that main was rewritten and records are gone.

    hqd goes on from what is there now.

    Example: hqd adopt
    """
    _say(context, "adopt", None, {}, no_wait, as_json)


def sync(context: typer.Context, as_json: Json = False) -> None:
    """Fetch from origin, ask the forge and push, now.

    Works with and without a daemon. Says how main stands to origin; 75 where origin cannot be had.

    Example: hqd sync
    """
    from hqd.cli.sync import sync as run

    finish(run(call_of(context), as_json=as_json))


def _say(
    context: typer.Context, name: str, task: str | None, fields: dict[str, str | None], no_wait: bool, as_json: bool
) -> None:
    from hqd.cli.words import word

    finish(word(call_of(context), name, task, fields, wait=not no_wait, as_json=as_json))


def register(app: typer.Typer) -> None:
    for each in (add, approve, request_changes, reject, answer, retry, drop, pause, resume, adopt, sync):
        app.command(each.__name__.replace("_", "-"))(each)
