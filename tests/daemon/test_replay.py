"""`hqd replay` over what a real daemon has written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqd.cli.call import Call
from hqd.cli.history.replay import replay
from hqd.errors import Misconfigured, Usage
from tests.daemon.headquarters import REVIEWED, Headquarters, make, settle

LADDER = """
name = "general"
[[steps]]
name = "plan"
agent = "worker"
prompt = "plan.md"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, { agent = "strong" }, "human"]
gates = [{ name = "len", kind = "word_count", min = 3 }]
routes = [{ when = "'again' in output", to = "plan", max = 1, then = "done" }]
"""
COST = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.01}}


def story(tmp_path: Path) -> Headquarters:
    """Four tasks: passes at once; by the strong one; routed back and done; parked, retried by a person, done."""
    hq = make(tmp_path, general=LADDER)
    hq.write("playbooks/plan.md", "Plan {{ task.title }}")
    pick = 'pick = "row.step == step and row.task in task.title and row.attempt == attempt"'
    hq.write(
        "hqd.toml",
        (hq.root / "hqd.toml").read_text().replace('answers = "answers.jsonl"', f'answers = "answers.jsonl"\n{pick}'),
    )
    rows: list[dict[str, Any]] = [
        {"step": step, "task": task, "attempt": attempt, "answer": answer, **COST}
        for step, task, said in (
            ("plan", "Easy", ["a plan"]),
            ("work", "Easy", ["four words of work"]),
            ("plan", "Hard", ["a plan"]),
            ("work", "Hard", ["one", "two two", "now by the strong one"]),
            ("plan", "Twice", ["a plan", "a better plan"]),
            ("work", "Twice", ["plan it again please", "now it is good"]),
            ("plan", "Stuck", ["a plan"]),
            ("work", "Stuck", ["no", "nope", "never", "well then it works"]),
        )
        for attempt, answer in enumerate(said, 1)
    ]
    hq.answers(*rows)
    hq.commit("rules")
    for name in ("Easy", "Hard", "Twice", "Stuck"):
        hq.drop(f"{name.lower()}.md", f"# {name}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("done")) == 3 and len(hq.folder("blocked")) == 1)
        assert hq.ask(loop, "retry", "stuck").ok
        settle(loop, lambda: len(hq.folder("done")) == 4)
    return hq


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    return story(tmp_path_factory.mktemp("replay"))


def run(hq: Headquarters, text: str, capsys: pytest.CaptureFixture[str], since: str | None = None) -> dict[str, Any]:
    file = hq.root / "playbooks" / "tried.toml"  # beside the prompts; not committed, removed again
    file.write_text(text)
    try:
        assert replay(Call(hq.env, hq.root, None), file, since=since, as_json=True) == 0
    finally:
        file.unlink()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_history_under_its_own_playbook_is_the_same(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(hq, LADDER, capsys)
    assert found["tasks"] == 4
    assert found["decisions"]["different"] == 0
    assert found["decisions"]["outside"] == 0
    assert found["decisions"]["same"] == 21
    assert found["routing"]["moved"] == []
    assert found["saved"] == {"attempts": [0, 0], "cost_usd": [0, 0]}
    assert found["recorded"] == {"attempts": 15, "cost_usd": 0.15, "unpriced": 0}


def test_a_looser_gate_saves_the_retries_and_says_at_which_decision(
    hq: Headquarters, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(hq, LADDER.replace("min = 3", "min = 2"), capsys)
    (differs,) = found["different"]
    assert "hard" in differs["task"]
    assert (differs["was"], differs["would_be"], differs["step"]) == ("agent work by strong", "done", "work")
    assert differs["exact"] is False, "its first retry would have been told `at least 2`"
    assert differs["asked_otherwise"] == {"n": 6, "why": "the agent of step work is told other findings"}
    assert found["asked_otherwise"] == 2  # the stuck one too, whose decisions stay the same
    assert found["saved_as_recorded"] == {"attempts": [1, 1], "cost_usd": [0.01, 0.01]}
    low, high = found["saved"]["attempts"]
    assert low < 1 <= high
    assert found["gates"]["rerun"] == 9  # every attempt at `work` up to there


def test_a_gate_that_is_only_watched_saves_exactly(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(hq, LADDER.replace("min = 3", 'min = 3, level = "shadow"'), capsys)
    assert {row["would_be"] for row in found["different"]} == {"done"}
    assert [row["exact"] for row in found["different"]] == [True, True]
    assert found["asked_otherwise"] == found["gates"]["rerun"] == 0
    assert found["saved"] == {"attempts": [5, 5], "cost_usd": [0.05, 0.05]}  # 2 of hard, 3 of stuck


def test_a_shorter_ladder_parks_earlier_and_a_longer_one_is_bounded(
    hq: Headquarters, capsys: pytest.CaptureFixture[str]
) -> None:
    short = run(hq, LADDER.replace('{ retry = 1 }, { agent = "strong" }, "human"', '"human"'), capsys)
    assert {row["would_be"] for row in short["different"]} == {"park: gate_failed"}
    assert len(short["different"]) == 2
    longer = run(hq, LADDER.replace("{ retry = 1 }", "{ retry = 2 }"), capsys)
    hard = next(row for row in longer["different"] if "hard" in row["task"])
    assert (hard["was"], hard["would_be"], hard["exact"]) == ("agent work by strong", "retry work", False)
    low, high = hard["saved"]["attempts"]
    assert low < 0 <= high
    assert high == hard["recorded_after"]["attempts"] - 1, "at least the attempt that the decision asks for"


def test_another_prompt_makes_the_answer_unknown(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(hq, LADDER.replace('prompt = "plan.md"', 'prompt_text = "Plan well"'), capsys)
    assert found["different"] == []
    assert found["asked_otherwise"] == 4
    assert found["saved_as_recorded"]["attempts"] == [0, 0]
    low, high = found["saved"]["attempts"]
    assert low < 0, "it may cost more"
    assert high == 15 - 4, "each task asks for one attempt at least"


def test_what_a_playbook_would_take_is_routed_again(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    taking = REVIEWED.replace('tags = ["article"]', "when = \"'Easy' in task.title\"")
    found = run(hq, taking, capsys)
    (moved,) = found["routing"]["moved"]
    assert (moved["was"], moved["would_be"]) == ("general", "article")
    assert found["routing"]["tasks"] == 4
    (differs,) = found["different"]
    assert differs["would_be"].startswith("begin write")


def test_only_what_came_after_a_commit_counts(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(hq, LADDER.replace("min = 3", "min = 2"), capsys, since="main")
    assert (found["tasks"], found["routing"]["tasks"]) == (0, 0)
    with pytest.raises(Usage, match="no commit"):
        run(hq, LADDER, capsys, since="nowhere")


def test_a_shallow_clone_says_what_is_missing(
    hq: Headquarters, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq.git("clone", "-q", "--depth", "5", f"file://{hq.root}", str(tmp_path / "shallow"))
    call = Call(hq.env, tmp_path / "shallow", None)
    assert replay(call, hq.root / "playbooks/general.toml", since=None, as_json=False) == 0
    assert "missing: a shallow clone" in capsys.readouterr().out


def test_people_read_it_too_and_a_broken_file_is_named(
    hq: Headquarters, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(LADDER.replace("min = 3", "min = 2"))
    assert replay(Call(hq.env, hq.root, None), file, since=None, as_json=False) == 0
    told = capsys.readouterr().out
    assert "had it answered as recorded, saved: 1 attempt, $0.01" in told
    assert "of 15 attempts and $0.15" in told
    assert "agent work by strong  done" in told
    file.write_text("name = 3")
    with pytest.raises(Misconfigured, match=r"x\.toml:1: steps"):
        replay(Call(hq.env, hq.root, None), file, since=None, as_json=False)
