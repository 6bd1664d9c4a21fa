"""Experiments and observations on sources of context, as arithmetic: coins, sizes, intervals, verdicts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqd.core.context.calibration import Sent, observe
from hqd.core.context.experiment import Arm, Unit, arm, brought, held_out, key, matches, requires, result, sizes
from hqd.core.context.source import Candidate
from hqd.core.history.two_shares import fisher, needed, newcombe
from hqd.model.playbook import ContextRule, Experiment, Playbook, Step
from hqd.model.settings import Settings

HALF = Experiment(source="brand.md", holdout=0.5, effect=0.15)


def units(experiment: Experiment, rates: dict[Arm, float], number: int, seed: int) -> list[Unit]:
    """Tasks of a made-up history, each in the arm that its coin gives it."""
    rng = random.Random(seed)
    found = []
    for n in range(number):
        task = f"20260101-t-{seed:04x}{n:06x}"
        mine = arm(experiment, "letters", task)
        found.append(Unit(task, mine, rng.random() < rates[mine]))
    return found


def test_the_figures_of_the_literature_come_out() -> None:
    """Newcombe's own example, a textbook's exact test, and the sample size of two shares around one half."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert fisher(8, 10, 1, 10) == pytest.approx(0.0054775, abs=1e-6)
    assert fisher(0, 5, 0, 5) == 1.0
    assert needed(0.2, 0.5, 0.05, 0.8) == (107, 107)
    assert newcombe(0, 0, 3, 4) == (-1.0, 1.0)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_the_exact_test_is_a_probability_and_does_not_care_which_group_is_first(a: int, b: int, c: int, d: int) -> None:
    one, other = fisher(a, a + b, c, c + d), fisher(c, c + d, a, a + b)
    assert 0 < one <= 1
    assert one == pytest.approx(other)


def test_a_coin_is_the_tasks_own_and_falls_as_often_as_it_should() -> None:
    tasks = [f"20260101-t-{n:06x}" for n in range(4000)]
    arms = [arm(HALF, "letters", task) for task in tasks]
    assert arms == [arm(HALF, "letters", task) for task in tasks]
    assert 0.47 < arms.count(Arm.WITHOUT) / 4000 < 0.53
    other = HALF.model_copy(update={"effect": 0.2})
    assert key(other, "letters") != key(HALF, "letters")
    assert 0.4 < sum(one is arm(other, "letters", task) for one, task in zip(arms, tasks, strict=True)) / 4000 < 0.6
    three = HALF.model_copy(update={"prompt": {"write": "plain.md"}})
    found = [arm(three, "letters", task) for task in tasks]
    assert all(0.22 < found.count(each) / 4000 < 0.28 for each in (Arm.WITHOUT, Arm.EMPTY))
    assert set(sizes(three)) == {Arm.WITH, Arm.WITHOUT, Arm.EMPTY}


def test_no_verdict_and_no_success_is_shown_before_the_fixed_number_of_tasks() -> None:
    wanted = sizes(HALF)
    made = units(HALF, dict.fromkeys(Arm, 0.9), 2 * max(wanted.values()) + 60, 1)
    early = result(HALF, made[:150])
    assert not early.done
    assert all(group.passed is None and group.rate is None for group in early.groups)
    whole = result(HALF, made)
    assert [group.tasks for group in whole.groups] == list(wanted.values())
    later = [*made, *(Unit(f"20270101-x-{n:06x}", Arm.WITHOUT, False) for n in range(500))]
    assert result(HALF, later) == whole, "tasks beyond the number count for nothing"
    open_ones = [Unit(each.task, each.arm, None) for each in made]
    assert [group.tasks for group in result(HALF, open_ones).groups] == [0, 0]
    slow = [Unit(made[0].task, made[0].arm, None), *made[1:]]
    waiting = result(HALF, slow)
    assert not waiting.done, "an early task that is still open is waited for: what fails fast does not count first"
    assert {group.needed - group.tasks for group in waiting.groups} == {0, 1}


def test_a_real_effect_is_found_about_as_often_as_planned_and_none_is_found_where_none_is() -> None:
    runs, number = 120, 2 * max(sizes(HALF).values()) + 80
    found = [result(HALF, units(HALF, {Arm.WITH: 0.6, Arm.WITHOUT: 0.45}, number, seed)) for seed in range(runs)]
    wins = sum(each.comparisons[0].verdict == "with is better" for each in found)
    assert 0.7 < wins / runs <= 1
    same = [result(HALF, units(HALF, dict.fromkeys(Arm, 0.5), number, seed)) for seed in range(runs)]
    assert sum(each.comparisons[0].verdict != "no difference shown" for each in same) / runs <= 0.09


def test_only_what_is_optional_is_left_out() -> None:
    folder = "workspace/context"
    sources = [
        Candidate(f"{folder}/brand.md", "1", "r"),
        Candidate(f"{folder}/brand.md", "1", "r", required=True),
        Candidate(f"{folder}/other.md", "2", "r"),
        Candidate(f"{folder}/brand.md", "1", "r", problem="it is empty"),
    ]
    assert [each.problem for each in held_out(sources, HALF, Arm.WITH)] == [None, None, None, "it is empty"]
    why = "left out by the experiment on brand.md (arm without)"
    assert [each.problem for each in held_out(sources, HALF, Arm.WITHOUT)] == [why, None, None, "it is empty"]
    assert matches("workspace/*/brand.md", sources[0].source)
    assert not matches("context/brand.md", sources[0].source)


@pytest.mark.parametrize(
    ("include", "required", "refused"),
    [
        ("workspace/context/brand.md", True, True),
        ("workspace/context/*.md", True, True),
        ("workspace/context/**/*.md", True, True),
        ("workspace/context/brand.md", False, False),
        ("workspace/context/prices.md", True, False),
    ],
)
def test_an_experiment_on_what_is_required_is_refused(include: str, required: bool, refused: bool) -> None:
    rule = ContextRule(include=(include,), required=required)
    step = Step(name="write", agent="a", context=(rule,))
    playbook = Playbook(name="letters", steps=(step,), experiment=HALF)
    assert (requires(Settings(format=1), playbook) is not None) is refused


@pytest.mark.parametrize(
    ("source", "rule", "named"),
    [
        ("brand.md", {"include": ["workspace/context/**/*.md"]}, True),
        ("workspace/context/brand.md", {"include": ["workspace/context/**/*.md"]}, True),
        ("site:docs/brand.md", {"include": ["docs/*.md"]}, True),
        ("docs/b*.md", {"include": ["docs/**"]}, True),
        ("site:api/AGENTS.md", {"similar": 1}, True),
        ("lessons/L-0001-brief.md", {"similar": 1}, True),
        ("similar:*", {"similar": 1}, True),
        ("similar:*", {"include": ["docs/*.md"]}, False),
        ("output:plan", {"include": ["docs/*.md"]}, False),
        ("output:plan", {"outputs": ["plan"]}, True),
        ("brand.md", {"include": ["docs/prices.md"]}, False),
        ("other/b*.md", {"include": ["docs/**"]}, False),
    ],
)
def test_what_no_rule_names_is_told_from_what_some_rule_may_bring_in(source: str, rule: Any, named: bool) -> None:
    playbook = Playbook(name="letters", steps=(Step(name="write", agent="a"),), context=(ContextRule(**rule),))
    assert brought(Settings(format=1), playbook, source) is named


def test_observations_count_first_tries_and_all_tokens() -> None:
    def sent(task: str, passed: bool, first: bool, **sources: int) -> Sent:
        return Sent(task, "letters", "write", passed, first, sources, price=1e-6)

    seen = observe([
        sent("a", True, True, brand=100), sent("b", False, True, brand=100), sent("b", True, False, brand=100),
        sent("c", False, True), sent("d", False, True, **{"similar:x/write": 10, "similar:y/write": 30}),
    ])  # fmt: skip
    brand, similar = seen["letters", "write"]
    assert (brand.source, brand.attempts, brand.tokens) == ("brand", 3, 300)
    assert brand.dollars == pytest.approx(0.0003)
    assert (brand.passed_with, brand.n_with, brand.passed_without, brand.n_without) == (1, 2, 0, 2)
    assert brand.difference == 0.5
    assert (similar.source, similar.tokens, similar.n_with) == ("similar work", 40, 1)
