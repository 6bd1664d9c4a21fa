"""The playbooks that ship, on recorded agents through the real daemon."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hqd.codec.starter import AGENTS, starter_settings
from hqd.model.names import slug_of
from tests.daemon.headquarters import Headquarters, make, only, settle

ROOT = Path(__file__).resolve().parents[2]
LINK = "[our policy](playbooks/support-reply/policy.md#returns)"
REPLY = (
    "Dear customer, please send the lamp back within thirty days with your order number, and we send a new one: "
    f"see {LINK}."
)
PART = "The north grew by four per cent in the last year, more than in any year before, and mostly in the cities. "
WHOLE = "# The year\n\n## Summary\n\n" + "All regions grew this year, and most of all the north. " * 8


def shipped(tmp_path: Path, *rows: dict[str, object]) -> Headquarters:
    """An HQ with all playbooks of the starter, each agent of them a recording."""
    replays = "".join(f'[agents.{name}]\nprovider = "replay"\nanswers = "answers.jsonl"\n' for name in AGENTS)
    gates = "[gates." + starter_settings("none").split("[gates.", 1)[1]
    hq = make(tmp_path, settings=f'format = 1\n[inbox]\nsettle = "150ms"\n[hq]\nrescan = "1s"\n{replays}{gates}')
    (hq.root / "playbooks/article.toml").unlink()
    shutil.copytree(ROOT / "playbooks", hq.root / "playbooks", dirs_exist_ok=True)
    hq.answers(*rows)
    hq.commit("the starter's playbooks")
    return hq


def triage(settled: bool, question: str = "") -> dict[str, object]:
    answer = json.dumps({"settled": settled, "section": "Returns", "question": question})
    return {"step": "triage", "answer": answer}


def test_a_support_reply_that_the_policy_settles_closes_itself(tmp_path: Path) -> None:
    hq = shipped(tmp_path, triage(True), {"step": "reply", "answer": REPLY})
    hq.drop("lamp.md", "---\ntags: [support]\n---\n# Broken lamp\n\nIt came broken.\n")
    with hq.daemon() as loop:
        settle(loop)
        assert loop.all_problems() == []
    (task,) = hq.folder("done")
    assert [record.step for record in hq.records(task[:-3]) if record.outcome] == ["triage", "reply"]
    prompt = next(record.prompt for record in hq.records(task[:-3]) if record.step == "reply" and record.prompt)
    assert "A wrong or damaged item is replaced." in hq.git("show", f"main:{prompt}")


def test_a_support_reply_never_offers_money_and_cites_the_policy(tmp_path: Path) -> None:
    money, bare = REPLY.replace("a new one", "a full refund"), REPLY.replace(LINK, "our policy")
    rows = ({"step": "reply", "attempt": 1, "answer": money}, {"step": "reply", "attempt": 2, "answer": bare})
    hq = shipped(tmp_path, triage(True), *rows, {"step": "reply", "answer": REPLY})
    hq.drop("lamp.md", "---\ntags: [support]\n---\n# Broken lamp\n")
    with hq.daemon() as loop:
        settle(loop)
    records = hq.records(hq.folder("done")[0][:-3])
    red = [
        [gate.name for gate in record.gates if gate.stops]
        for record in records
        if record.step == "reply" and record.outcome
    ]
    assert red == [["no-refunds"], ["citations"], []]


def test_what_the_policy_leaves_open_asks_a_human_and_the_answer_is_followed(tmp_path: Path) -> None:
    hq = shipped(tmp_path, triage(False, "Replace a lamp after 40 days?"), {"step": "reply", "answer": REPLY})
    hq.drop("lamp.md", "---\ntags: [support]\n---\n# Broken after 40 days\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert (task.state.value, task.cursor.missing) == ("blocked", "support: Replace a lamp after 40 days?")
        assert hq.ask(loop, "answer", task.id, text="Yes, this once.").ok
        settle(loop)
    prompt = next(record.prompt for record in hq.records(task.id) if record.step == "reply" and record.prompt)
    assert "A colleague has decided: Yes, this once." in hq.git("show", f"main:{prompt}")
    assert hq.folder("done")


def test_forty_support_tasks_close_by_themselves_but_for_the_open_ones(tmp_path: Path) -> None:
    open_ones = [{**triage(False, "Well?"), "slug": f"case-{number}"} for number in range(0, 40, 8)]
    hq = shipped(tmp_path, *open_ones, triage(True), {"step": "reply", "answer": REPLY})
    for number in range(40):
        hq.drop(f"case-{number}.md", f"---\ntags: [support]\n---\n# Case {number}\n")
    with hq.daemon() as loop:
        settle(loop, seconds=60)
        assert {task.cursor.reason.value for task in loop.live.tasks.values() if task.cursor.reason} == {"asked"}
        assert len(loop.live.tasks) == 5
    assert len(hq.folder("done")) == 35
    assert hq.clean() == ""


def test_general_takes_what_nothing_else_takes(tmp_path: Path) -> None:
    hq = shipped(tmp_path, {"step": "work", "attempt": 1, "answer": "No."}, {"answer": "A whole answer, long enough."})
    hq.drop("odd.md")
    with hq.daemon() as loop:
        settle(loop)
    records = [record for record in hq.records(hq.folder("done")[0][:-3]) if record.outcome is not None]
    assert [(record.step, record.outcome.value) for record in records] == [("work", "failed"), ("work", "passed")]


def test_a_newsletter_goes_from_brief_over_rework_and_review_to_main(tmp_path: Path) -> None:
    sources = " ".join(f"[{number}](https://example.org/{number})" for number in range(3))
    facts = {"step": "research", "answer": "Facts that serve the goal of this one. " * 25 + sources}
    rework = {"score": 0.4, "verdict": "rework", "issues": ["Say what it costs."]}
    fine = {"score": 0.9, "verdict": "ok", "issues": []}
    rows = (
        {"step": "critique", "attempt": 1, "answer": json.dumps(rework)},
        {"step": "critique", "answer": json.dumps(fine)},
        {"step": "research", "attempt": 2, "answer": facts["answer"] + " It costs ten."},
        facts,
        {"step": "write", "answer": "# News\n\n" + "A short line of the letter to you. " * 30},
    )
    hq = shipped(tmp_path, *rows)
    hq.drop("march.md", "---\ntags: [newsletter]\n---\n# March\n\n## Audience\n\nAll.\n\n## Goal\n\nNews.\n")
    hq.drop("bare.md", "---\ntags: [newsletter]\n---\n# No brief\n")
    with hq.daemon() as loop:
        settle(loop)
        by_name = {slug_of(task.id): task for task in loop.live.tasks.values()}
        assert by_name["bare"].cursor.reason.value == "gate_failed"
        assert by_name["march"].state.value == "review"
        assert hq.ask(loop, "approve", "march").ok
        settle(loop)
    march = by_name["march"].id
    steps = [
        record.step for record in hq.records(march) if record.outcome is not None and record.event.value == "finished"
    ]
    assert steps == ["brief", "research", "critique", "research", "critique", "write"]
    again = [record.prompt for record in hq.records(march) if record.step == "research" and record.prompt][1]
    assert "Say what it costs." in hq.git("show", f"main:{again}")
    assert (hq.root / f"content/{march}.md").read_text().startswith("# News")


def test_a_fan_out_report_spawns_its_parts_merges_and_lands_them(tmp_path: Path) -> None:
    parts = [{"title": title, "question": "How did it grow in the last year?"} for title in ("The north", "The south")]
    thin = {"step": "plan", "attempt": 1, "answer": json.dumps({"parts": parts[:1]})}
    plan = {"step": "plan", "answer": json.dumps({"parts": parts})}
    part = {"step": "answer", "answer": PART * 2 + "[Source](https://example.org/growth)"}
    hq = shipped(tmp_path, thin, plan, part, {"step": "merge", "answer": WHOLE})
    hq.drop("year.md", "---\ntags: [report]\n---\n# The year\n\nHow was it?\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.state.value == "review"
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop)
    assert sorted(slug_of(name[:-3]) for name in hq.folder("done")) == ["the-north", "the-south", "year"]
    records = hq.records(task.id)
    malformed = next(record for record in records if record.failure is not None)
    assert (malformed.step, malformed.failure.value) == ("plan", "malformed")
    again = [record.prompt for record in records if record.step == "plan" and record.prompt][1]
    assert malformed.message in hq.git("show", f"main:{again}")
    assert '"minItems": 2' in hq.git("show", f"main:{again}")
    merge = next(record.prompt for record in records if record.step == "merge" and record.prompt)
    assert hq.git("show", f"main:{merge}").count("The north grew by four per cent") == 4
    assert (hq.root / f"reports/{task.id}.md").read_text() == WHOLE
