"""Commands to try things out: gate, try, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqd.cli.commands import Json, call_of, finish
from hqd.errors import Usage


def gate(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PLAYBOOK/STEP FILE… | FILE… | calibrate NAME LABELS.jsonl",
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

    Exit 1 where one is red. Example: hqd gate --kind must_not_include --set values=TODO,TBD draft.md
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


def register(app: typer.Typer) -> None:
    for each in (gate,):
        app.command()(each)
