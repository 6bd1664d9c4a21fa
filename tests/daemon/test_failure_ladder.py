"""The ladder through the real daemon: prompts that differ, diagnosis, best attempt, loops of `success`."""

from __future__ import annotations

from pathlib import Path

from hqd.model.record import Record
from tests.daemon.headquarters import Headquarters, make, only, settle

LOOP = """
name = "general"
[[steps]]
name = "write"
agent = "worker"
[[steps]]
name = "critique"
agent = "strong"
output = { verdict = ["ok", "rework"] }
routes = [{ when = "output.verdict == 'rework'", to = "write", feedback = "output.verdict", max = 15 }]
"""


def ladder(on_fail: str, gates: str = '[{ kind = "word_count", min = 30 }]') -> str:
    return f'name = "general"\n[[steps]]\nname = "work"\nagent = "worker"\non_fail = {on_fail}\ngates = {gates}\n'


def parked(hq: Headquarters) -> tuple[Record, list[Record], str]:
    """Drops a task and waits until it is parked: its last record, its attempts, its note."""
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.live.tasks) and only(loop).state.value == "blocked")
        task = only(loop)
        note = (hq.root / f"workspace/blocked/{task.id}.note.md").read_text()
    records = hq.records(task.id)
    return records[-1], [record for record in records if record.outcome is not None], note


def prompt(hq: Headquarters, record: Record) -> str:
    return hq.git("show", f"main:{record.prompt}")


def test_the_third_try_is_told_what_failed_twice_and_what_changed(tmp_path: Path) -> None:
    hq = make(tmp_path, general=ladder("[{ retry = 2 }]"))
    hq.answers(*({"attempt": n, "answer": "word " * (n * 4)} for n in (1, 2, 3)))
    hq.commit()
    last, tries, note = parked(hq)
    assert last.reason is not None
    assert last.reason.value == "ladder_exhausted"
    first, second, third = (prompt(hq, record) for record in tries)
    assert "# Diagnosis" not in first + second
    diagnosis = third.partition("# Diagnosis")[2]
    assert "word_count failed both times: 4, then 8, where 30 is asked for: closer" in diagnosis
    assert len({first, second, third}) == 3
    assert "best output" in note


def test_a_prompt_that_failed_is_not_sent_again_but_another_agent_may_get_it(tmp_path: Path) -> None:
    gates = '[{ kind = "must_include", values = ["blue"] }]'
    hq = make(tmp_path, general=ladder('[{ fresh = 4 }, { agent = "strong" }]', gates))
    hq.answers({"agent": "strong", "answer": "red"}, *({"attempt": n, "answer": f"green {n}"} for n in range(1, 8)))
    hq.commit()
    _last, tries, _note = parked(hq)
    failures = [(record.agent, record.failure and record.failure.value) for record in tries]
    assert failures == [
        ("worker", "gate"),
        ("worker", "gate"),
        ("worker", "gate"),
        ("worker", "no_progress"),
        ("strong", "gate"),
    ]
    refused, other = tries[3], tries[4]
    assert refused.usage is None
    assert prompt(hq, refused) == prompt(hq, tries[2])
    assert other.prompt_hash not in {record.prompt_hash for record in tries[:4]}


def test_the_note_names_the_best_attempt_and_where_it_is(tmp_path: Path) -> None:
    gates = '[{ kind = "must_include", values = ["blue"] }, { kind = "word_count", min = 3 }]'
    hq = make(tmp_path, general=ladder("[{ retry = 2 }]", gates))
    hq.answers({"attempt": 2, "answer": "three words here"}, {"attempt": 1, "answer": "no"}, {"answer": "neither"})
    hq.commit()
    _last, tries, note = parked(hq)
    assert f"best output: `{tries[1].output}` (attempt 2, 1 gate held)" in note


def test_a_loop_of_successes_with_the_same_results_is_stopped_at_the_third(tmp_path: Path) -> None:
    hq = make(tmp_path, general=LOOP)
    hq.answers({"step": "critique", "answer": '{"verdict": "rework"}'}, {"answer": "the same as ever"})
    hq.commit()
    last, tries, _note = parked(hq)
    assert last.reason is not None
    assert last.reason.value == "no_progress"
    assert [record.step for record in tries] == ["write", "critique"] * 2 + ["write"]
    assert {record.outcome.value for record in tries if record.outcome} == {"passed"}


def test_a_reviewer_who_says_the_same_of_new_work_is_no_loop(tmp_path: Path) -> None:
    hq = make(tmp_path, general=LOOP)
    hq.answers(
        *({"step": "write", "attempt": n, "answer": f"draft number {n}"} for n in range(1, 7)),
        {"step": "critique", "attempt": 5, "answer": '{"verdict": "ok"}'},
        {"step": "critique", "answer": '{"verdict": "rework"}'},
    )
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("done")))


def test_spend_without_anything_accepted_stops_a_loop_whose_results_differ(tmp_path: Path) -> None:
    hq = make(tmp_path, general=LOOP)
    cost = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.2}}
    hq.answers(
        *({"step": "write", "attempt": n, "answer": f"draft number {n}", **cost} for n in range(1, 12)),
        {"step": "critique", "answer": '{"verdict": "rework"}'},
    )
    hq.commit()
    last, tries, _note = parked(hq)
    assert last.reason is not None
    assert last.reason.value == "no_progress"
    assert "$1.00 of the round's $2.00" in str(last.missing)
    assert sum(1 for record in tries if record.step == "write") == 6
