"""`ask` steps through the daemon: a question to a human is a stage of the flow, its answer a fact of the next one."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.headquarters import Headquarters, make, only, settle

PLAYBOOK = """
name = "general"
[[steps]]
name = "draft"
agent = "worker"
[[steps]]
name = "tone"
ask = { question = "Tone of {{ task.title }}, on: {{ outputs.draft }}?", choices = ["warm", "dry"], to = ["tim"] }
routes = [{ when = "answers.tone == 'dry'", to = "done" }]
[[steps]]
name = "write"
agent = "worker"
prompt_text = "Write it {{ answers.tone }}."
"""


def asked(tmp_path: Path, playbook: str = PLAYBOOK) -> Headquarters:
    hq = make(tmp_path, general=playbook)
    hq.drop("hello.md")
    return hq


def test_an_ask_step_waits_in_blocked_with_its_question_and_choices(tmp_path: Path) -> None:
    hq = asked(tmp_path)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
    assert (task.state.value, task.cursor.phase.value, task.cursor.reason.value) == ("blocked", "asked", "asked")
    assert task.cursor.missing == "tim: Tone of A task, on: three good words?"
    note = (hq.root / f"workspace/blocked/{task.id}.note.md").read_text()
    assert "Tone of A task" in note
    assert "- warm" in note
    assert "## Answer" in note
    assert hq.events(task.id)[-2:] == ["claimed", "asked"]
    assert hq.clean() == ""


def test_the_answer_resumes_the_same_round_and_is_a_fact_of_later_steps(tmp_path: Path) -> None:
    hq = asked(tmp_path)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop).id
        refused = hq.ask(loop, "answer", task, text="loud")
        assert not refused.ok
        assert "none of: warm, dry" in refused.message
        assert hq.ask(loop, "answer", task, text="warm").ok
        settle(loop)
    records = hq.records(task)
    assert [record.event.value for record in records][-4:] == ["answered", "claimed", "finished", "done"]
    assert {record.round for record in records} == {1}
    assert "Write it warm." in hq.git("show", f"main:{[r.prompt for r in records if r.prompt][-1]}")


def test_an_answer_in_the_note_decides_the_route(tmp_path: Path) -> None:
    hq = asked(tmp_path)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        note = hq.root / f"workspace/blocked/{task.id}.note.md"
        note.write_text(note.read_text() + "\ndry\n")
        settle(loop, lambda: not loop.live.tasks)
    assert hq.events(task.id)[-2:] == ["answered", "done"]
    assert [r.step for r in hq.records(task.id) if r.outcome is not None] == ["draft"]
    assert hq.clean() == ""


def test_a_question_that_cannot_be_rendered_parks_with_the_expression(tmp_path: Path) -> None:
    hq = asked(tmp_path, PLAYBOOK.replace("{{ task.title }}", "{{ inputs.audience }}"))
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
    assert (task.state.value, task.cursor.reason.value) == ("blocked", "expression")
    assert "audience" in task.cursor.missing


def test_a_question_needs_no_free_slot(tmp_path: Path) -> None:
    first = PLAYBOOK.replace('[[steps]]\nname = "draft"\nagent = "worker"\n', "").replace("{{ outputs.draft }}", "this")
    settings = "[limits]\nconcurrency = 1\n"
    hq = make(tmp_path, general=first, busy=PLAYBOOK.replace('name = "general"', 'name = "busy"'))
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text() + settings)
    hq.answers({"answer": "three good words", "delay": "20s"})
    hq.commit()
    hq.drop("busy/slow.md")
    hq.drop("quick.md")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.runner.running) and bool(hq.folder("blocked")))
        assert {"active", "blocked"} == {task.state.value for task in loop.live.tasks.values()}
