"""Where gates may stand: in a step, a playbook, a task's own front matter, before a step, before a review."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.daemon.headquarters import REVIEWED, make, only, settle

HUMAN = 'on_fail = ["human"]\n'
ARTICLE = "---\ntags: [article]\n---\n# Piece\n"


def test_a_playbooks_gates_hold_at_each_of_its_agent_steps(tmp_path: Path) -> None:
    general = """
name = "general"
on_fail = ["human"]
gates = [{ kind = "must_not_include", values = ["forbidden"] }]
[[steps]]
name = "one"
agent = "worker"
[[steps]]
name = "two"
agent = "worker"
"""
    hq = make(tmp_path, general=general)
    hq.answers({"step": "two", "answer": "a forbidden word"}, {"answer": "three good words"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        assert (only(loop).cursor.step, only(loop).cursor.reason.value) == ("two", "gate_failed")


def test_a_gate_before_an_agent_step_spends_nothing(tmp_path: Path) -> None:
    general = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = ["human"]
gates_before = [{ kind = "has_sections", target = "task", sections = ["Goal"] }]
"""
    hq = make(tmp_path, general=general)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
    failed = next(record for record in hq.records(task.id) if record.outcome is not None)
    assert (failed.failure.value, failed.prompt, failed.usage) == ("gate", None, None)


def reviewed(gates: str, more: str = "") -> str:
    return REVIEWED.replace(
        'review = { land = "on_merge" }', f'review = {{ land = "on_merge" }}\ngates = {gates}\n{more}'
    )


def test_a_gate_of_a_review_stops_it_before_people_see_it_and_leads_back(tmp_path: Path) -> None:
    gates = '[{ kind = "must_include", target = "file:content/*.md", values = ["zebra"], name = "zebra" }]'
    hq = make(tmp_path, article=reviewed(gates, 'on_fail = [{ route = "write" }, "human"]'))
    hq.answers({"attempt": 1, "answer": "three good words"}, {"answer": "a zebra at last"})
    hq.commit()
    hq.drop("piece.md", ARTICLE)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.state.value == "review"
        assert task.cursor.gates == {"zebra": "pass"}
    events = [(record.event.value, record.step) for record in hq.records(task.id)]
    assert ("routed", "write") in events
    assert [step for event, step in events if event == "review_opened"] == ["approve"]
    again = [record.prompt for record in hq.records(task.id) if record.prompt][-1]
    assert "zebra" in hq.git("show", f"main:{again}")
    opened = hq.records(task.id)[-1]
    assert [(gate.name, gate.status.value) for gate in opened.gates] == [("zebra", "pass")]


def test_a_gate_of_a_review_sees_the_whole_work_as_a_difference(tmp_path: Path) -> None:
    hq = make(tmp_path, article=reviewed('[{ kind = "diff_limits", max_files = 0 }]', HUMAN))
    hq.drop("piece.md", ARTICLE)
    with hq.daemon() as loop:
        settle(loop)
        assert only(loop).cursor.reason.value == "gate_failed"
    assert not hq.git("branch", "--list", "nothing")


def test_a_command_gate_of_a_review_runs_in_the_branchs_files(tmp_path: Path) -> None:
    look = (
        f'["{sys.executable}", "-c", "import pathlib,sys; sys.exit(not pathlib.Path(\'content/piece.md\').exists())"]'
    )
    hq = make(tmp_path, article=reviewed(f'[{{ kind = "command", argv = {look} }}]', HUMAN))
    hq.drop("piece.md", ARTICLE)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert (task.state.value, task.cursor.missing) == ("review", None)


def test_a_warning_can_send_a_task_to_a_human_by_a_route(tmp_path: Path) -> None:
    general = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
gates = [{ kind = "word_count", name = "length", min = 10, level = "warn" }]
routes = [{ when = "gates.length.status == 'fail'", to = "human", feedback = "'too short: ' ~ output" }]
"""
    hq = make(tmp_path, general=general)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert (task.state.value, task.cursor.reason.value) == ("blocked", "routed")
        assert "too short: three good words" in task.cursor.missing


def test_a_typed_answer_that_does_not_fit_is_told_so(tmp_path: Path) -> None:
    general = """
name = "general"
[[steps]]
name = "judge"
agent = "worker"
output = { score = "float", verdict = ["ok", "rework"] }
routes = [{ when = "output.verdict == 'ok' and output.score > 0.5", to = "done" }]
[[steps]]
name = "never"
agent = "worker"
"""
    hq = make(tmp_path, general=general)
    hq.answers(
        {"attempt": 1, "answer": '{"score": "high"}'}, {"answer": '```json\n{"score": 0.9, "verdict": "ok"}\n```'}
    )
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
    records = hq.records(hq.folder("done")[0][:-3])
    first, second = [record for record in records if record.outcome is not None]
    assert (first.failure.value, second.outcome.value) == ("malformed", "passed")
    prompt = hq.git("show", f"main:{second.prompt}")
    assert first.message in prompt
    assert '"enum"' in prompt
    assert second.output.endswith("output.json")
