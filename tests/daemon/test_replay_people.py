"""`hqd replay` where people had a word: what follows from it under other rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqd.cli.call import Call
from hqd.cli.history.replay import replay
from hqd.errors import Misconfigured
from tests.daemon.headquarters import Headquarters, make, settle

SHOP = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "tone"
ask = { question = "Which tone?", choices = ["warm", "dry"] }
[[steps]]
name = "outline"
agent = "worker"
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ name = "open-ends", kind = "must_not_include", values = ["TODO"] }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""


def story(root: Path) -> Headquarters:
    """`plain` is stopped once by a gate and landed, `changed` is sent back once, `turned` is rejected and retried;
    `after` needs `changed`."""
    hq = make(root, article=SHOP)
    pick = 'pick = "row.step == step and row.task in task.title and row.attempt == attempt"'
    settings = (hq.root / "hqd.toml").read_text()
    hq.write("hqd.toml", settings.replace('answers = "answers.jsonl"', f'answers = "answers.jsonl"\n{pick}'))
    told = {"plain": ["TODO", "done"], "changed": ["first", "second"], "turned": ["one", "two"], "after": ["last"]}
    hq.answers(
        *({"step": "outline", "task": task, "attempt": 1, "answer": f"outline of {task}"} for task in told),
        *(
            {"step": "write", "task": task, "attempt": n, "answer": f"{task} {said}"}
            for task, texts in told.items()
            for n, said in enumerate(texts, 1)
        ),
    )
    hq.commit("rules")
    for name in told:
        needs = "\nneeds: [changed]" if name == "after" else ""
        hq.drop(f"{name}.md", f"---\ntags: [article]{needs}\n---\n# {name}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("blocked")) == 3)
        for name in ("plain", "changed", "turned"):
            assert hq.ask(loop, "answer", name, text="warm").ok
        settle(loop, lambda: len(hq.folder("review")) == 3)
        assert hq.ask(loop, "approve", "plain").ok
        assert hq.ask(loop, "request-changes", "changed", message="more of it").ok
        assert hq.ask(loop, "reject", "turned", message="no").ok
        assert hq.ask(loop, "retry", "turned").ok
        settle(loop, lambda: len(hq.folder("review")) == 2 and len(hq.folder("done")) == 1)
        assert hq.ask(loop, "approve", "changed").ok
        assert hq.ask(loop, "approve", "turned").ok
        settle(loop, lambda: len(hq.folder("done")) == 3 and len(hq.folder("blocked")) == 1)
    return hq


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    return story(tmp_path_factory.mktemp("people"))


@pytest.fixture
def run(hq: Headquarters, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(text: str, *, as_json: bool = True) -> Any:
        file = tmp_path / "tried.toml"
        file.write_text(text)
        assert replay(Call(hq.env, hq.root, None), file, since=None, as_json=as_json) == 0
        told = capsys.readouterr().out
        return json.loads(told) if as_json else told

    return call


def differing(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Slug -> what was and what would be."""
    return {row["task"].split("-")[1]: (row["was"], row["would_be"]) for row in found["different"]}


def test_the_same_rules_decide_the_same_with_all_that_people_said(run: Any) -> None:
    found = run(SHOP)
    assert (found["decisions"]["different"], found["decisions"]["outside"], found["asked_otherwise"]) == (0, 0, 0)
    assert found["recorded"] == {"attempts": 9, "cost_usd": 0, "unpriced": 9}
    assert found["resting"] == []


def test_changes_go_to_the_step_that_the_other_rules_name_and_needs_rest_on_it(run: Any) -> None:
    other = SHOP.replace('land = "on_merge"', 'land = "on_merge", on_changes = "outline"')
    found = run(other)
    back = ("back to write", "back to outline")
    assert differing(found) == {"changed": back, "turned": back}
    assert [row["exact"] for row in found["different"]] == [False, False]
    (rests,) = found["resting"]
    assert "after" in rests["task"]
    assert "changed" in rests["on"]
    assert (rests["by"], found["decisions"]["outside"]) == ("needs it", 0)
    told = run(other, as_json=False)
    assert "Tasks that rest on one of these" in told
    assert "waited for as recorded: needs, not_before, holds" in told


def test_an_approval_lands_nothing_where_the_other_review_never_does(run: Any) -> None:
    found = run(SHOP.replace("on_merge", "never"))
    assert set(differing(found).values()) == {("land", "approved, and nothing lands")}
    assert [row["exact"] for row in found["different"]] == [True, True, True], "no step comes after the review"
    assert found["saved"]["attempts"] == [0, 0]


def test_a_share_of_reviews_asks_nobody_where_its_coin_says_so(run: Any) -> None:
    found = run(SHOP.replace('land = "on_merge"', 'land = "on_merge", sample = 0.000001'))
    assert set(differing(found).values()) == {("review approve", "approve passed unseen")}
    assert found["saved"]["attempts"] == [2, 2], "nobody sends back what nobody sees"


def test_an_audit_share_shows_people_what_the_gate_has_stopped(run: Any) -> None:
    found = run(SHOP.replace("accepts =", "audit = 1.0\naccepts ="))
    assert differing(found) == {"plain": ("write failed", "an audit")}


def test_another_question_makes_the_answer_unknown_and_a_missing_step_is_said(run: Any) -> None:
    asked = run(SHOP.replace("Which tone?", "Which voice?"))
    assert (asked["asked_otherwise"], asked["decisions"]["different"]) == (4, 0)
    lost = run(SHOP.replace('name = "outline"', 'name = "sketch"'))
    assert {row["would_be"] for row in lost["different"]} == {"begin sketch"}


@pytest.mark.parametrize(("level", "unknown"), [("enforce", 3), ("shadow", 0)])
def test_a_gate_that_no_text_can_tell_makes_what_follows_a_bound(run: Any, level: str, unknown: int) -> None:
    gate = f'{{ kind = "command", argv = ["true"], level = "{level}" }}, {{ name = "open-ends"'
    found = run(SHOP.replace('{ name = "open-ends"', gate))
    assert found["gates"]["unjudged"] == ["command"]
    assert (found["asked_otherwise"], found["different"]) == (unknown, [])
    low, high = found["saved"]["attempts"]
    assert (low < 0 <= high) if unknown else (low, high) == (0, 0)


@pytest.mark.parametrize(
    ("written", "tried", "said"),
    [
        ('agent = "worker"', 'agent = "wroker"', "did you mean worker?"),
        ('land = "on_merge"', 'on_changes = "wriet"', "wriet is no agent step before this one"),
        ("must_not_include", "must_not_inclde", "must_not_inclde"),
    ],
)
def test_a_playbook_that_could_not_be_in_force_is_not_replayed(run: Any, written: str, tried: str, said: str) -> None:
    """A typing mistake would be a change of all decisions."""
    with pytest.raises(Misconfigured, match=r"tried\.toml:\d+: steps") as fault:
        run(SHOP.replace(written, tried))
    assert said in fault.value.message


def test_where_no_task_is_its_own_it_says_so(run: Any) -> None:
    told = run('name = "idle"\n[[steps]]\nname = "work"\nagent = "worker"\n', as_json=False)
    assert "idle took none of them, and would take none" in told
