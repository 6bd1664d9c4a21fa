"""`run` steps through the daemon, with real programs: called once or again, with the same key, in a copy of main."""

from __future__ import annotations

import sys
from pathlib import Path

from hqd.core.steps.program import key_of
from tests.daemon.headquarters import Headquarters, make, only, settle

PROGRAM = """
import os, sys, pathlib, time
log = pathlib.Path(sys.argv[1])
with log.open("a") as file:
    print(os.environ["HQD_KEY"], os.environ["HQD_ATTEMPT"], os.environ["WHO"], *sys.argv[3:], file=file)
calls = len(log.read_text().splitlines())
exits = [int(word) for word in sys.argv[2].split(",")]
if exits[min(calls, len(exits)) - 1] < 0:
    time.sleep(60)
print("sent", calls)
print("line is busy", file=sys.stderr)
sys.exit(exits[min(calls, len(exits)) - 1])
"""
PYTHON = sys.executable


def playbook(log: Path, exits: str, more: str = "", steps: str = "") -> str:
    argv = f'["{PYTHON}", "bin/send.py", "{log}", "{exits}", "{{{{ task.title }}}}"]'
    return f"""
name = "general"
[[steps]]
name = "send"
run = {{ argv = {argv}, env = {{ WHO = "{{{{ inputs.who }}}}" }}{more} }}
{steps}
"""


def sending(tmp_path: Path, exits: str, more: str = "", steps: str = "") -> tuple[Headquarters, Path]:
    log = tmp_path / "sent.log"
    hq = make(tmp_path, general=playbook(log, exits, more, steps))
    hq.write("bin/send.py", PROGRAM)
    hq.commit("a program")
    hq.drop("hello.md", "---\ninputs: {who: Tim}\n---\n# Two words; $(true)\n")
    return hq, log


def calls(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_a_program_is_called_with_its_words_and_its_output_is_the_steps(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "0", steps='routes = [{ when = "output == \'sent 1\'", to = "done" }]')
    with hq.daemon() as loop:
        settle(loop)
    task = hq.folder("done")[0][:-3]
    assert calls(log) == [f"{key_of(task, 'send')} 1 Tim Two words; $(true)"]
    finished = next(record for record in hq.records(task) if record.outcome is not None)
    assert (finished.outcome.value, finished.stop) == ("passed", "0")
    assert hq.git("show", f"main:{finished.output}") == "sent 1"
    assert not (hq.root / "sent.log").exists()
    assert hq.clean() == ""


def test_a_failed_program_is_called_again_with_the_same_key_and_its_error_is_recorded(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "3,0", steps="on_fail = [{ retry = 1 }]")
    with hq.daemon() as loop:
        settle(loop)
    task = hq.folder("done")[0][:-3]
    assert [line.split()[:2] for line in calls(log)] == [[key_of(task, "send"), "1"], [key_of(task, "send"), "2"]]
    failed = next(record for record in hq.records(task) if record.failure is not None)
    assert failed.failure.value == "agent_error"
    assert "exits with 3: line is busy" in failed.message


def test_exit_75_is_transient_and_does_not_count(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "75,0", more=", once = true", steps="on_fail = ['human']")
    with hq.daemon() as loop:
        settle(loop, lambda: not loop.live.tasks and len(calls(log)) == 2)
    assert hq.folder("done")


def test_a_once_program_that_fails_is_parked_and_not_called_again(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "3,0", more=", once = true", steps="on_fail = [{ retry = 2 }]")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert (task.state.value, task.cursor.reason.value, len(calls(log))) == ("blocked", "once", 1)
        assert key_of(task.id, "send") in task.cursor.missing
        assert hq.ask(loop, "retry", task.id).ok
        settle(loop)
    assert [line.split()[0] for line in calls(log)] == [key_of(task.id, "send")] * 2
    assert hq.folder("done")


def test_a_once_program_that_is_interrupted_is_parked_rather_than_acting_twice(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "-1", more=", once = true")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(calls(log)))
        task = only(loop).id
    with hq.daemon() as loop:
        settle(loop)
        assert (only(loop).state.value, only(loop).cursor.reason.value) == ("blocked", "once")
    assert len(calls(log)) == 1
    assert "interrupted" in hq.records(task)[-1].missing


def test_a_program_that_may_act_often_goes_on_after_an_interruption(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "-1,0")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(calls(log)))
    with hq.daemon() as loop:
        settle(loop)
    assert len(calls(log)) == 2
    assert hq.folder("done")


def test_a_way_back_past_a_once_program_does_not_start_it_again(tmp_path: Path) -> None:
    loop_back = """
[[steps]]
name = "after"
agent = "worker"
routes = [{ when = "'again' in output", to = "before", max = 1 }]
"""
    hq, log = sending(tmp_path, "0", more=", once = true", steps=loop_back)
    text = (hq.root / "playbooks/general.toml").read_text()
    hq.write(
        "playbooks/general.toml",
        text.replace("[[steps]]", '[[steps]]\nname = "before"\nagent = "worker"\n[[steps]]', 1),
    )
    hq.answers({"step": "after", "attempt": 1, "answer": "again, please do"}, {"answer": "three good words"})
    hq.commit()
    with hq.daemon() as loop:
        settle(loop)
    task = hq.folder("done")[0][:-3]
    claimed = [record.step for record in hq.records(task) if record.event.value == "claimed"]
    assert claimed == ["before", "send", "after", "before", "after"]
    assert len(calls(log)) == 1


def test_a_gate_before_the_program_keeps_it_from_acting(tmp_path: Path) -> None:
    gate = 'gates_before = [{ kind = "must_include", target = "task", values = ["approved by Ada"] }]'
    hq, log = sending(tmp_path, "0", steps=gate + "\non_fail = ['human']")
    with hq.daemon() as loop:
        settle(loop)
        assert only(loop).cursor.reason.value == "gate_failed"
    assert calls(log) == []


def test_a_program_sees_secrets_that_are_named_and_records_mask_them(tmp_path: Path) -> None:
    hq, log = sending(tmp_path, "0")
    text = (hq.root / "playbooks/general.toml").read_text().replace("{{ inputs.who }}", "secret:crm")
    hq.write("playbooks/general.toml", text.replace("{{ task.title }}", "x"))
    hq.write("bin/send.py", PROGRAM.replace('print("sent", calls)', 'print("sent", os.environ["WHO"])'))
    hq.commit()
    hq.env["HQD_SECRET_CRM"] = "s3cret-value-of-the-crm"
    with hq.daemon() as loop:
        settle(loop)
    task = hq.folder("done")[0][:-3]
    assert "s3cret-value-of-the-crm" in calls(log)[0]
    assert "s3cret-value-of-the-crm" not in hq.git("log", "-p", "--all")
    assert task
