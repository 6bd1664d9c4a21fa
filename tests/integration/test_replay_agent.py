"""Recorded answers: which row is picked, and what a row may carry."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.agents.conjuncts import equalities
from hqd.adapters.agents.replay import ReplayAgent
from hqd.core.language.compiled import Expression
from hqd.core.language.expressions import compile_expression
from hqd.model.attempt import Answer
from hqd.model.failure import Failure
from hqd.model.settings import AgentSettings
from tests import agent_questions as ask


def run(folder: Path, rows: list[dict[str, Any]] | None = None, pick: str | None = None, **changes: Any) -> Answer:
    if rows is not None:
        (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    agent = ReplayAgent(folder, compile_expression)
    settings = AgentSettings(provider="replay", answers=changes.pop("answers", "answers.jsonl"), pick=pick)
    return agent.answer(ask.question(settings, **changes), threading.Event(), lambda _: None)


ROWS = [
    {"step": "other", "answer": "other step"},
    {"step": "write", "attempt": 2, "answer": "second"},
    {"step": "write", "agent": "strong", "answer": "strong"},
    {"task": ask.TASK, "step": "plan", "answer": "by id"},
    {"slug": "weekly-letter", "step": "write", "answer": "by slug"},
    {"answer": "default"},
]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"attempt": 1}, "by slug"),
        ({"attempt": 2}, "second"),
        ({"agent": "strong"}, "strong"),
        ({"step": "plan"}, "by id"),
        ({"step": "plan", "task": "20261122-x-abcdef"}, "default"),
    ],
)
def test_without_pick_the_first_row_whose_keys_all_fit(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    assert run(tmp_path, ROWS, **changes).text == text


def test_pick_sees_task_step_attempt_agent_row_and_the_facts(tmp_path: Path) -> None:
    rows = [{"key": n, "model": model, "response": f"{model} {n}"} for n in range(5) for model in ("a", "b", "c")]
    pick = "row.key == inputs.key and row.model == ['a', 'b', 'c'][attempt - 1] and step == 'write' and task.slug"
    facts = {"inputs": {"key": 3}, "task": {"slug": "weekly-letter"}}

    assert run(tmp_path, rows, pick, facts=facts, attempt=2).text == "b 3"


def test_items_go_before_attributes(tmp_path: Path) -> None:
    """A row may have a key named like a method of a mapping."""
    assert run(tmp_path, [{"items": 1, "answer": "one"}, {"items": 2, "answer": "two"}], "row.items == 2").text == "two"


def test_rows_that_lack_a_key_are_passed_over(tmp_path: Path) -> None:
    assert run(tmp_path, [{"answer": "no key"}, {"key": 1, "answer": "yes"}], "row.key < 2").text == "yes"


def test_a_missing_row_says_what_was_looked_for(tmp_path: Path) -> None:
    got = run(tmp_path, [{"step": "other", "answer": "x"}])

    assert got.failure is Failure.AGENT_ERROR
    for part in ("answers.jsonl", "1 rows", ask.TASK, "step write", "attempt 1", "agent worker"):
        assert part in got.message


@pytest.mark.parametrize(
    ("content", "pick", "said"),
    [
        ("{broken\n", None, "answers.jsonl:1"),
        ('{"answer": "x"}\n[1]\n', None, "answers.jsonl:2"),
        ('{"answer": "x"}\n', "row.nope == 1", "nope"),
        ('{"answer": "x"}\n', "row.", "row."),
        ('{"answer": "x", "failure": "no_such_class"}\n', None, "no_such_class"),
        ('{"answer": "x", "files": {"../x": "y"}}\n', None, "without .."),
    ],
)
def test_a_faulty_recording_is_an_answer_that_says_so(
    tmp_path: Path, content: str, pick: str | None, said: str
) -> None:
    (tmp_path / "answers.jsonl").write_text(content)
    copy = tmp_path / "copy"
    copy.mkdir()

    got = run(tmp_path, None, pick, cwd=copy)

    assert got.failure is Failure.AGENT_ERROR
    assert said in got.message


def test_a_missing_file_is_an_answer_too(tmp_path: Path) -> None:
    assert "nowhere.jsonl" in run(tmp_path, answers="nowhere.jsonl").message


def test_a_row_may_carry_everything_that_an_answer_has(tmp_path: Path) -> None:
    row = {
        "output": {"score": 1},
        "usage": {"input_tokens": 1_000_000, "output_tokens": 0, "cached_tokens": 7},
        "model": ask.MODEL,
        "stop": "end_turn",
        "decisions": [{"title": "x"}],
    }
    got = run(tmp_path, [row])

    assert json.loads(got.text) == {"score": 1}
    assert (got.usage.in_, got.usage.cached, got.model, got.stop) == (1_000_000, 7, ask.MODEL, "end_turn")
    assert got.usage.cost == pytest.approx(3.0, rel=0.01)
    assert got.decisions == ({"title": "x"},)


def test_a_recorded_failure(tmp_path: Path) -> None:
    got = run(tmp_path, [{"answer": "", "failure": "transient", "message": "529", "retry_after": 2}])

    assert (got.failure, got.message, got.retry_after) == (Failure.TRANSIENT, "529", 2)


def test_files_are_laid_into_the_copy(tmp_path: Path) -> None:
    (tmp_path / "old.md").write_text("x")

    run(tmp_path, [{"answer": "ok", "files": {"a/b.md": "text\n", "old.md": None}}], cwd=tmp_path)

    assert (tmp_path / "a" / "b.md").read_text() == "text\n"
    assert not (tmp_path / "old.md").exists()


def test_a_gzipped_recording(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write('{"answer": "packed"}\n')

    assert run(tmp_path, answers="a.jsonl.gz").text == "packed"


def test_a_changed_recording_is_read_anew(tmp_path: Path) -> None:
    agent = ReplayAgent(tmp_path, compile_expression)
    question = ask.question(AgentSettings(provider="replay", answers="a.jsonl"))
    for text in ("first", "second one"):
        (tmp_path / "a.jsonl").write_text(json.dumps({"answer": text}))
        assert agent.answer(question, threading.Event(), lambda _: None).text == text


def test_a_large_recording_is_read_once_and_looked_up(tmp_path: Path) -> None:
    """Rows are tried only where the equalities of `pick` fit, not all forty thousand each time."""
    rows = 40_000
    (tmp_path / "a.jsonl").write_text(
        "\n".join(f'{{"key": {n}, "model": "m{n % 4}", "answer": "a{n}"}}' for n in range(rows))
    )
    tried = 0

    class Counted:
        def __init__(self, source: str) -> None:
            self._expression: Expression = compile_expression(source)

        def evaluate(self, facts: Any) -> Any:
            nonlocal tried
            tried += "row" in facts
            return self._expression.evaluate(facts)

    agent = ReplayAgent(tmp_path, Counted)
    pick = "row['key'] == inputs.key and row.model == 'm' ~ (inputs.key % 4)"
    settings = AgentSettings(provider="replay", answers="a.jsonl", pick=pick)
    for key in range(0, rows, 997):
        got = agent.answer(ask.question(settings, facts={"inputs": {"key": key}}), threading.Event(), lambda _: None)
        assert got.text == f"a{key}"

    assert tried == len(range(0, rows, 997))


@pytest.mark.parametrize(
    ("expression", "pairs"),
    [
        ("row.key == inputs.key", (("key", "inputs . key"),)),
        ("inputs.key == row['the key']", (("the key", "inputs . key"),)),
        ("row.a == 1 and (row.b == 2 or row.c == 3) and row.d == x | lower", (("a", "1"), ("d", "x | lower"))),
        ("row.a == 1 or row.b == 2", ()),
        ("not row.a == 1", ()),
        ("row.a == row.b", ()),
        ("1 if row.a == 1 else 0", ()),
        ("row.a == 1 == x", ()),
        ("row.a.b == 1", ()),
        ("row.a == 1 if x", ()),
        ("row.a == 'and' and row.b in [1]", (("a", "'and'"),)),
        ("row.a == 'unclosed", ()),
    ],
)
def test_which_equalities_a_pick_needs(expression: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert equalities(expression) == pairs
