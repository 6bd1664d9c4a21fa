"""What commands print: aligned, folded to one line, harmless to a terminal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from hqd.cli import terminal
from hqd.cli.teller import Teller

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_columns_are_aligned_and_lines_end_without_blanks() -> None:
    said = terminal.aligned(("A", "B"), [["x", "1"], ["longer", ""]], indent=2)
    assert said == "  A       B\n  x       1\n  longer\n"


def test_a_row_may_be_shorter_than_its_heads() -> None:
    assert terminal.aligned((), [["a", "b"], ["c"]]) == "a  b\nc\n"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31mred", "bell\x07", "\u202eturned", "\x9b31m", "a\u2028b"])
def test_nothing_that_is_printed_steers_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(text)
    terminal.title(text)
    terminal.rows(("H",), [[text]])
    said = capsys.readouterr().out
    assert len(said.split("\n")) == 5
    assert said.replace("\n", "").isprintable()


def test_json_has_the_version_first_and_times_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.data({"at": NOW, "title": "ü\x1b"})
    said = capsys.readouterr().out
    assert json.loads(said) == {"schema_version": 1, "at": "2026-11-22T12:00:00+00:00", "title": "ü\x1b"}
    assert "\x1b" not in said
    assert said.startswith('{\n  "schema_version": 1')


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "xterm")])
def test_a_terminal_without_styles_gets_plain_text(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    terminal.title("A title")
    terminal.rows(("HEAD",), [["cell"]])
    Teller().chapter("A chapter")
    said = capsys.readouterr().out
    assert all(word in said for word in ("A title", "HEAD", "cell", "A chapter"))
    assert ("\x1b" in said) is (value == "xterm")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (200_000, "2d"), (-5, "0s")]
)
def test_ages_are_short(seconds: int, shown: str) -> None:
    assert terminal.age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_an_unknown_age_is_empty() -> None:
    assert terminal.age(None, NOW) == ""


@pytest.mark.parametrize(("cost", "shown"), [(None, ""), (0.0, ""), (0.0123, "$0.0123"), (1.5, "$1.50")])
def test_dollars_are_shown_where_there_are_some(cost: float | None, shown: str) -> None:
    assert terminal.dollars(cost) == shown


def test_long_lines_are_cut() -> None:
    assert terminal.cut("abcdef", 4) == "abc…"
    assert terminal.cut("abcd", 4) == "abcd"
