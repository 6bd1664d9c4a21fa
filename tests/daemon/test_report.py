"""`hqd report` over what a real daemon and real people have written down."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hqd.cli.call import Call
from hqd.cli.history.report import Wish, report
from hqd.errors import Usage
from tests.daemon.headquarters import REVIEWED, Headquarters, make, settle

HOSTILE = "<script>alert(1)</script>"
GENERAL = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
gates = [{ name = "len", kind = "word_count", min = 3 }]
"""
LESSON = """---
id: L-0001
status: enforce
gate:
  name: todo
  kind: must_not_include
  values: [TODO]
---
Work was handed in unfinished.
"""
PICK = 'answers = "answers.jsonl"\npick = "row.title in task.title and row.attempt == attempt"'
COST = {"usage": {"input_tokens": 10, "output_tokens": 10, "cost_usd": 0.05}}


def story(root: Path) -> Headquarters:
    """An article approved as it is, one after changes, one task that gates stop twice, once by a lesson alone."""
    hq = make(root, general=GENERAL, article=REVIEWED)
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text().replace('answers = "answers.jsonl"', PICK))
    rows: list[dict[str, Any]] = [
        {"title": title, "attempt": attempt, "answer": answer, **COST}
        for title, answers in (
            ("Clean", ["a fine article"]),
            ("Mended", ["a first draft", "a second draft"]),
            ("alert", ["short", "this is TODO for now", "this is all done"]),
        )
        for attempt, answer in enumerate(answers, 1)
    ]
    hq.answers(*rows)
    hq.write("lessons/L-0001-todo.md", LESSON)
    hq.commit("rules")
    hq.drop("clean.md", "---\ntags: [article]\n---\n# Clean\n")
    hq.drop("mended.md", "---\ntags: [article]\n---\n# Mended\n")
    hq.drop("plain.md", f"# {HOSTILE}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("review")) == 2 and len(hq.folder("done")) == 1)
        assert hq.ask(loop, "approve", "clean").ok
        assert hq.ask(loop, "request-changes", "mended", message="more, please").ok
        settle(loop, lambda: len(hq.folder("review")) == 1 and len(hq.folder("done")) == 2)
        assert hq.ask(loop, "approve", "mended").ok
        settle(loop, lambda: len(hq.folder("done")) == 3)
    return hq


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    return story(tmp_path_factory.mktemp("report"))


def told(hq: Headquarters, capsys: pytest.CaptureFixture[str], form: str = "json", **wish: Any) -> str:
    assert report(Call(hq.env, hq.root, None), Wish(form=form, **wish)) == 0
    return capsys.readouterr().out


def test_the_figures_are_those_of_the_story(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(hq, capsys, without_lessons=True))
    outcomes = found["outcomes"]
    assert outcomes["states"] == {"done": 3}
    assert (outcomes["clean"]["hits"], outcomes["clean"]["n"]) == (1, 2)
    assert (outcomes["first_pass"]["hits"], outcomes["first_pass"]["n"]) == (2, 3)
    assert outcomes["cost"] == pytest.approx(6 * 0.05)
    assert outcomes["result"] == pytest.approx(0.1)
    assert {row["cause"]: row["tries"] for row in outcomes["rework"]} == {"a failed try": 2, "a person's word": 1}
    assert [(row["cause"], row["died"]["hits"], row["died"]["n"]) for row in found["deaths"]] == [
        ("gate len", 1, 3),
        ("gate lesson:L-0001", 1, 3),
    ]
    (stopped,) = found["without"]["stopped"]
    assert (stopped["lessons"], stopped["attempt"], stopped["label"]) == (["L-0001"], 2, None)
    assert stopped["rework"] == pytest.approx(0.05)
    assert {row["playbook"]: row["reviews"] for row in found["playbooks"]} == {"article": 3, "general": 0}
    assert found["remarks"] == []
    (worth,) = found["worth"]
    assert (worth["lesson"], worth["hits"], worth["candidates"], worth["saves"]) == ("L-0001", 1, 1, 0)


def test_people_read_the_same_in_text_and_markdown(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    text = told(hq, capsys, "text", without_lessons=True)
    assert "1 of 2 (50 %, 9.5 to 90.5 %) among outputs that reached a human" in text
    assert "whether they were wrong is not measurable" in text
    assert "gate lesson:L-0001" in text
    marked = told(hq, capsys, "md", playbook="article")
    assert "| tasks | 2 (2 done) |" in marked
    assert "general" not in marked
    with pytest.raises(Usage, match="no task of playbook"):
        told(hq, capsys, playbook="nobody")
    with pytest.raises(Usage, match="--format"):
        told(hq, capsys, form="pdf")


def test_html_stands_alone_and_lets_no_title_in(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(hq, capsys, "html", without_lessons=True)
    assert page.startswith("<!doctype html>")
    assert HOSTILE not in page
    assert page.count("<svg ") == 3


def test_nothing_since_tomorrow(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(hq, capsys, since="2999-01-01"))
    assert found["outcomes"]["tasks"] == found["outcomes"]["tries"] == 0
    assert "none is done yet" in told(hq, capsys, "text", since="2999-01-01")


def test_since_a_day_a_span_of_time_or_a_commit(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(told(hq, capsys))["outcomes"]
    for since in ("30d", "2w", "2020-01-01", "2020-01-01T12:00+02:00"):
        assert json.loads(told(hq, capsys, since=since))["outcomes"]["tasks"] == whole["tasks"] == 3
    early = json.loads(told(hq, capsys, since=hq.git("rev-list", "--max-parents=0", "main")))
    seconds = hq.git("log", "--max-parents=0", "--format=%ct", "main")
    assert datetime.fromisoformat(early["begin"]).timestamp() == int(seconds)
    assert "since 2020-01-01 00:00 UTC (2020-01-01), as of" in told(hq, capsys, "text", since="2020-01-01")
    for wrong in ("yesterday", "2026-13-01", "-5", "99999999999w", "d" * 40):
        with pytest.raises(Usage):
            told(hq, capsys, since=wrong)


def test_a_playbook_without_a_task_is_an_empty_report(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    hq.write("playbooks/idle.toml", GENERAL.replace('"general"', '"idle"'))
    hq.commit("another playbook")
    assert json.loads(told(hq, capsys, playbook="idle"))["outcomes"]["tasks"] == 0
    assert "cost per accepted result" in told(hq, capsys, "text", playbook="idle")


def test_a_shallow_clone_says_what_is_missing(
    hq: Headquarters, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq.git("clone", "-q", "--depth", "3", f"file://{hq.root}", str(tmp_path / "shallow"))
    shallow = Headquarters(tmp_path / "shallow", hq.env)
    assert "a shallow clone" in told(shallow, capsys, "text")
    assert "a shallow clone" in told(shallow, capsys, "html")


def test_work_that_is_reverted_and_history_that_is_rewritten_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = story(tmp_path)
    assert json.loads(told(hq, capsys))["outcomes"]["clean"]["hits"] == 1
    merge = hq.git("log", "--merges", "--format=%H", "--grep=Clean", "-1")
    hq.git("revert", "--no-edit", "-m", "1", merge)
    assert json.loads(told(hq, capsys))["outcomes"]["clean"] == {
        "hits": 0,
        "n": 2,
        "rate": 0.0,
        "interval": [0.0, pytest.approx(0.657620)],
    }
    hq.git("commit", "--amend", "-qm", "another word")
    assert "read anew" in told(hq, capsys, "text")
