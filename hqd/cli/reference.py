"""The reference of the command line (docs/cli.md), from the typer app itself: docs/generate.py writes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from hqd.cli.app import app, command

HEAD = """\
# The command line

Made from the program by `python docs/generate.py`; `hqd COMMAND --help` says the same.

`--hq PATH` or the variable `HQD_HQ` names the HQ; else it is the nearest `hqd.toml` upwards, from any folder inside.
`--json` prints one object with `schema_version`; of a call that fails it is
`{"schema_version": 1, "error": {"message", "remedy", "exit_code"}}`, and the line for people stands on standard error.
`hqd --install-completion` sets up your shell, task names included.

Exit codes: 0 ok, 1 failure or a red gate, 2 the call is wrong, 75 temporary (try again later), 78 a file must be
changed by a person, 130 Ctrl-C.

What commands that change something print with `--json`; `commit`, `state`, `landed`, `playbook` may be null:

| command | its object |
| --- | --- |
| `approve`, `request-changes`, `reject`, `answer`, `retry`, `drop`, `pause`, `resume`, `adopt` | \
`task` (id), `word`, `outcome` (`done`, or `left` by `--no-wait`), `message`, the task's `state` on main by then, \
`landed` (a commit) |
| `sync` | the same, and `origin` as `hqd status --json` has it under `daemon` |
| `add` | `tasks` (`path`, `playbook` where it is named), `noticed` (problems as in `hqd check --json`) |
| `apply` | `files` (`path`, `kind`), `commit`, `problems`, `message` |
| `init` | `path`, `commit`, `branch`, `files`, `playbooks`, `agent`, `notes`, `next` |
| `lessons accept`, `lessons decline` | `lesson`, `word`, `outcome`, `message`, `commit`, `notes` |
"""


def reference() -> str:
    """All commands with their options, in the order of `hqd --help`."""
    commands = _commands(command(app), "")
    return HEAD + "\n" + "\n".join("\n".join(_command(name, each)) + "\n" for name, each in commands)


def _commands(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    """Every command with its whole name; a group stands for the commands in it, and for itself where it is one."""
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            if each.invoke_without_command:
                yield f"{before}{name}", each
            yield from _commands(each, f"{before}{name} ")
        else:
            yield f"{before}{name}", each


def _command(name: str, each: Any) -> Iterator[str]:
    words = " ".join(_word(param) for param in each.params if param.param_type_name == "argument")
    yield f"## hqd {name}"
    yield ""
    yield f"`hqd {name}{' ' + words if words else ''}`"
    yield ""
    for line in inspect.cleandoc(each.help or "").split("\n"):
        example = line.startswith("Example: ")
        yield f"Example: `{line.removeprefix('Example: ')}`" if example else line
    rows = [param for param in each.params if param.param_type_name == "option" and not param.hidden]
    rows = [param for param in rows if param.name not in ("help", "install_completion", "show_completion")]
    if rows:
        yield ""
        yield "| option | does |"
        yield "| --- | --- |"
        for param in rows:
            names = ", ".join(f"`{each}`" for each in (*param.opts, *param.secondary_opts))
            metavar = "" if param.is_flag else f" `{param.metavar or param.name.upper()}`"
            yield f"| {names}{metavar} | {_cell(param.help or '')} |"


def _word(param: Any) -> str:
    """An argument as it stands in the line of use."""
    shown = str(param.metavar or param.name.upper())
    return shown if param.required else f"[{shown}]"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
