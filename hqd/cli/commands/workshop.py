"""Commands to try things out: gate, try, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli import names
from hqd.cli.commands import Json, call_of, finish
from hqd.errors import Usage


def gate(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PLAYBOOK/STEP FILE… | calibrate NAME LABELS.jsonl",
            help="Whose gates, and the files; with --kind the files alone.",
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="One gate of this kind.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of it, as in TOML; repeatable.")
    ] = None,
    task: Annotated[Path | None, typer.Option("--task", metavar="FILE", help="The task that the files answer.")] = None,
    write: Annotated[bool, typer.Option("--write/--no-write", help="calibrate: write the record.")] = True,
    as_json: Json = False,
) -> None:
    """Run gates on files; no task needed.

    Exit 1 where one is red.

    Example: hqd gate --kind must_not_include --set values=TODO,TBD draft.md
    """
    given = words or []
    if kind is None and given[:1] == ["calibrate"]:
        from hqd.cli.calibrate import run

        if len(given) != 3:
            raise Usage(
                "calibrate takes a gate's name and a file of labels", remedy="hqd gate calibrate NAME LABELS.jsonl"
            )
        finish(run(call_of(context), given[1], Path(given[2]), write=write, as_json=as_json))
        return
    from hqd.cli.gate import gate

    finish(gate(call_of(context), given, kind=kind, settings=set_ or (), task=task, as_json=as_json))


def try_(
    context: typer.Context,
    playbook: Annotated[str, typer.Argument(metavar="PLAYBOOK", autocompletion=names.playbooks)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A task.")],
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="JSONL", help="Recorded answers stand in for all agents.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Call the real agents.")] = False,
    max_usd: Annotated[float, typer.Option("--max-usd", min=0.0, help="With --live: dollars at most.")] = 0.5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the clone, to look around in it.")] = False,
    as_json: Json = False,
) -> None:
    """Try a playbook on a file, in a throw-away clone.

    By the real daemon; your edits of playbooks count. Exit 1 where the task ends blocked.

    Example: hqd try brief idea.md --replay a.jsonl
    """
    from hqd.cli.trial.command import Trial, try_

    if replay is not None and live:
        raise Usage("--replay and --live exclude each other")
    finish(try_(call_of(context), Trial(playbook, file, replay, live, max_usd), keep=keep, as_json=as_json))


def doctor(
    context: typer.Context,
    agents: Annotated[bool, typer.Option("--agents", help="Ask each agent one tiny real question (it costs).")] = False,
    as_json: Json = False,
) -> None:
    """Is this machine fit for this HQ.

    Git, disk, locks, settings, agents, keys. Exit 1 where something fails.

    Example: hqd doctor --agents
    """
    from hqd.cli.doctor.machine import doctor

    finish(doctor(call_of(context), ask_agents=agents, as_json=as_json))


def register(app: typer.Typer) -> None:
    app.command()(gate)
    app.command("try")(try_)
    app.command()(doctor)
