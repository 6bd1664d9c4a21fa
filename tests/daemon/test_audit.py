"""Audited outputs on their whole road: shown blind, labelled, and never landed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hqd.cli.board.reading import view
from hqd.cli.board.show import show
from hqd.cli.board.status import status
from hqd.cli.board.why import why
from hqd.cli.call import Call
from hqd.cli.display import line
from hqd.cli.history.past import archive_of
from hqd.cli.history.replay import replay
from hqd.cli.history.report import Wish, report
from hqd.daemon.loop import Loop
from hqd.model.record import Phase
from hqd.model.task import State
from tests.daemon.headquarters import Headquarters, make, only, settle

ARTICLE = """
name = "article"
land = "auto"
audit = 1.0
accepts = { tags = ["article"] }
on_fail = [{ retry = 2 }, "human"]
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ name = "no-todo", kind = "must_not_include", values = ["TODO"] }]
"""
TASK = "---\ntags: [article]\n---\n# Piece\n"
VERDICT = ("no-todo", "must_not_include", "TODO")


def headquarters(root: Path, *answers: str, playbook: str = ARTICLE) -> Headquarters:
    hq = make(root, article=playbook)
    pick = 'answers = "answers.jsonl"\npick = "row.attempt == attempt"'
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text().replace('answers = "answers.jsonl"', pick))
    rows: list[dict[str, Any]] = [{"attempt": n, "answer": text} for n, text in enumerate(answers, 1)]
    hq.answers(*rows)
    hq.commit("rules")
    hq.drop("piece.md", TASK)
    return hq


def shown(loop: Loop, attempt: int) -> bool:
    tasks = loop.live.tasks.values()
    return any(task.state is State.REVIEW and task.cursor.attempts["write"] == attempt for task in tasks)


def in_review(hq: Headquarters, loop: Loop) -> None:
    settle(loop, lambda: len(hq.folder("review")) == 1)


def test_a_stopped_output_is_shown_without_its_verdict_and_nothing_of_it_lands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = headquarters(tmp_path, "a draft with TODO", "all is done")
    with hq.daemon() as loop:
        in_review(hq, loop)
        call = Call(hq.env, hq.root, None)
        status(call, as_json=False, everything=False, at=None)
        why(call, "piece", as_json=False)
        show(call, "piece", as_json=True, attempt=None, file=None, step=None)
        told = capsys.readouterr().out + hq.git("log", "-1", "--format=%B") + line(hq.shown.events[-1], "abc")
        assert "an audit: would you accept this output" in told
        assert "failed" not in told
        assert "None" not in told
        assert [line for line in told.splitlines() if any(word in line for word in VERDICT)] == []
        show(call, "piece", as_json=False, attempt=None, file="output", step=None)
        assert "a draft with TODO" in capsys.readouterr().out
        record = hq.records(only(loop).id)[-1]
        assert (record.audit, record.to, record.gates[0].status.value) == (1.0, State.REVIEW, "fail")
        assert hq.git("branch", "--list", "hqd/*") == "", "there is no branch that a plain merge could land"
        reply = hq.ask(loop, "approve", "piece")
        assert reply.ok
        assert "noted as accepted, nothing lands. Gates had stopped it" in reply.message
        settle(loop, lambda: len(hq.folder("done")) == 1)
        assert hq.git("show", "main:content/piece.md") == "all is done"
    assert "a draft" not in hq.git("log", "-p", "--format=", "--", "content")


def test_a_label_counts_in_the_report_and_the_ladder_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    share = ARTICLE.replace("audit = 1.0", "audit = 0.999999")
    hq = headquarters(tmp_path, "a draft with TODO", "more TODO", "TODO again", "never sent", playbook=share)
    with hq.daemon() as loop:
        for n in range(3):
            settle(loop, partial(shown, loop, n + 1))
            assert hq.ask(loop, "reject", "piece", message=f"unfinished {n}").ok
        settle(loop, lambda: len(hq.folder("blocked")) == 1)
        task = only(loop)
        assert (task.cursor.phase, task.cursor.reason) == (Phase.PARKED, "ladder_exhausted")
        prompt = hq.git("show", f"main:{hq.records(task.id)[-3].prompt}")
        assert "unfinished 1" in prompt, "the person's words are a finding of the next try"
    assert report(Call(hq.env, hq.root, None), Wish(form="json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcomes"]["clean"]["n"] == 0, "an audit is no review of the task's work"
    assert [record.label for record in hq.records(task.id) if record.label] == ["rejected"] * 3
    with view(Call(hq.env, hq.root, None)) as seen:
        cases = archive_of(seen).corpus().cases
    assert [(case.label.value, case.source, case.seen, case.probability) for case in cases] == [
        ("rejected", "audit", True, 0.999999)
    ] * 3
    assert cases[1].reason == "unfinished 1"
    replay(Call(hq.env, hq.root, None), hq.root / "playbooks/article.toml", since=None, as_json=True)
    decisions = json.loads(capsys.readouterr().out)["decisions"]
    assert (decisions["different"], decisions["outside"]) == (0, 0), "history with audits replays as it was"


def test_an_audit_survives_a_restart_and_a_drop_is_no_label(tmp_path: Path) -> None:
    hq = headquarters(tmp_path, "a draft with TODO", "all is done")
    with hq.daemon() as loop:
        in_review(hq, loop)
    with hq.daemon() as loop:
        settle(loop)
        assert only(loop).state is State.REVIEW
        assert hq.ask(loop, "drop", "piece").ok
        settle(loop, lambda: len(hq.folder("dropped")) == 1)


def test_without_a_share_nothing_is_audited(tmp_path: Path) -> None:
    hq = headquarters(tmp_path, "a draft with TODO", "all is done", playbook=ARTICLE.replace("audit = 1.0", ""))
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("done")) == 1)
    task = hq.folder("done")[0].removesuffix(".md")
    assert "review" not in {record.to.value for record in hq.records(task)}
