"""Gates that look beyond one output: earlier accepted work, the task's own checks."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.headquarters import make, only, settle


def test_a_duplicate_of_earlier_accepted_work_is_caught(tmp_path: Path) -> None:
    general = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = ["human"]
gates = [{ kind = "not_duplicate", max = 0.9 }]
"""
    hq = make(tmp_path, general=general)
    with hq.daemon() as loop:
        hq.drop("first.md")
        settle(loop, lambda: bool(hq.folder("done")))
        hq.drop("second.md")
        settle(loop)
        task = only(loop)
        assert task.cursor.reason is not None
        assert (task.state.value, task.cursor.reason.value) == ("blocked", "gate_failed")
        assert hq.folder("done")[0][:-3] in (task.cursor.missing or "")


def test_a_tasks_own_gates_count(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("mine.md", "---\ngates:\n  - {kind: must_include, values: [zebra]}\n---\n# Mine\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.state.value == "blocked"
        assert "zebra" in (task.cursor.missing or "")


def test_a_gate_that_cannot_be_is_named_before_anything_is_paid_for(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("mine.md", "---\ngates:\n  - {kind: word_count, mim: 3}\n  - no-such-gate\n---\n# Mine\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
    assert task.cursor.reason is not None
    assert (task.state.value, task.cursor.reason.value) == ("blocked", "bad_task")
    assert "mim" in (task.cursor.missing or "")
    assert "no-such-gate" in (task.cursor.missing or "")
    assert hq.events(task.id) == ["accepted", "parked"]
