"""The commands as typer has them: named as the design says, each with help and an example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hqd import cli
from hqd.cli.app import app, command
from hqd.cli.call import Call
from hqd.cli.reference import reference

COMMANDS: dict[str, Any] = getattr(command(app), "commands", {})
READING = {"status", "show", "log", "why"}
WORDS = {"add", "approve", "request-changes", "reject", "answer", "retry", "drop", "pause", "resume", "adopt"}
WORKSHOP = {"init", "demo", "run", "apply", "check", "try", "gate", "doctor"}


def test_the_commands_of_the_design_are_there() -> None:
    assert set(COMMANDS) >= READING | WORDS | WORKSHOP


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does_and_how_it_is_called(name: str) -> None:
    help_text = COMMANDS[name].help
    first = help_text.split("\n\n")[0]
    assert len(first) <= 58, "longer summaries are cut in the list of commands"
    assert first.endswith(".")
    assert f"Example: hqd {name}" in help_text
    for param in COMMANDS[name].params:
        assert param.param_type_name == "argument" or param.help, param.name


def test_the_reference_has_every_command_and_option() -> None:
    text = reference()
    for name, each in COMMANDS.items():
        section = text.partition(f"## hqd {name}\n")[2].partition("\n## ")[0]
        for param in each.params:
            if param.param_type_name == "option":
                assert f"`{param.opts[0]}`" in section, (name, param.opts)


def test_a_bug_is_told_as_a_bug_and_an_interrupt_is_no_bug(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(self: Call) -> None:
        raise ZeroDivisionError("by design of this test")

    monkeypatch.setattr(Call, "root", broken)
    assert cli.main(["status"]) == 1
    told = capsys.readouterr().err
    assert re.search(r"ZeroDivisionError: by design.*this is a bug in hqd \d", told, re.DOTALL)

    def interrupted(self: Call) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Call, "root", interrupted)
    assert cli.main(["status"]) == 130


def test_help_needs_no_more_than_typer() -> None:
    """`hqd --help` and completion load neither models nor git."""
    program = (
        "import sys\nfrom hqd.cli import main\nmain(['--help'])\n"
        "heavy = {'pydantic', 'git', 'jinja2', 'rich', 'anthropic', 'watchdog', 'apscheduler'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_group_without_its_command_shows_its_help_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lessons"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Usage: hqd lessons")
    assert "tells how it is used" not in told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status", "--json"], 78),
        (["why", "tea", "--json"], 78),
        (["show", "--json"], 2),
        (["status", "--jsno", "--json"], 2),
        (["--hq", "/nowhere", "log", "--json"], 2),
    ],
)
def test_an_error_is_one_object_too_where_json_is_asked_for(
    words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program reads standard output alone; people still read the line on standard error."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == code
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["schema_version"], found["error"]["exit_code"]) == (1, code)
    assert told.err.startswith(f"hqd: {found['error']['message']}\n  {found['error']['remedy']}")


def test_json_before_the_command_is_told_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "status"]) == 2
    assert "after the command: `hqd status --json`" in json.loads(capsys.readouterr().out)["error"]["remedy"]


def test_every_command_that_says_what_it_did_has_json() -> None:
    without = {name for name, each in COMMANDS.items() if not any("--json" in param.opts for param in each.params)}
    assert without == {"demo", "run", "lessons"}  # lessons: a group
    assert all(any("--json" in param.opts for param in each.params) for each in COMMANDS["lessons"].commands.values())


def test_without_json_an_error_prints_nothing_on_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["status"]) == 78
    assert cli.main(["add", "--", "--json"]) == 78
    assert capsys.readouterr().out == ""


def test_a_wrong_choice_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "/nowhere/hq", "--agent", "nobody"]) == 2
    assert "Value error" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("> /dev/full", 1, "hqd: the output cannot be written: No space left on device\n"),
    ],
)
def test_a_closed_or_full_output_is_no_bug(to: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m hqd --help {to}"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, said)
