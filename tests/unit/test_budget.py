"""Caps of attempt, step, task, playbook and day; and spend that moves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from hqd.codec.playbook import read_playbook
from hqd.core.limits.budget import attempt_dollars, attempt_tokens, stalled
from hqd.core.recovery import over_budget
from hqd.model.board import Rules, Task
from hqd.model.playbook import Playbook
from hqd.model.record import Cursor, Pin
from hqd.model.settings import GlobalLimits, Settings
from hqd.model.task import Budget, State, TaskDocument, TaskHeader


def book(limits: str = "", step: str = "") -> Playbook:
    text = f'name = "p"\nlimits = {{ {limits} }}\n[[steps]]\nname = "work"\nagent = "a"\nlimits = {{ {step} }}\n'
    text += '[[steps]]\nname = "ok"\nreview = {}\n'
    read = read_playbook(text.encode(), "playbooks/p.toml")
    assert read.playbook is not None, read.problems
    return read.playbook


def rules(**limits: Any) -> Rules:
    return Rules(Pin(playbooks="p", settings="s"), Settings(format=1, limits=GlobalLimits(**limits)), {})


def task(budget: Budget | None = None, **cursor: Any) -> Task:
    document = TaskDocument(header=TaskHeader(budget=budget), title="T", text="")
    return Task("20260101-t-000000", State.QUEUE, document, "b", Cursor(playbook="p", step="work", **cursor))


@pytest.mark.parametrize(
    ("limits", "playbook", "step", "own", "cursor", "today", "left"),
    [
        ({}, "", "", None, {}, 0.0, 2.0),
        ({"cost_usd_per_task": 1.5}, "", "", None, {"spent": 0.5}, 0.0, 1.0),
        ({}, "cost_usd = 0.8", "", None, {"spent": 0.5}, 0.0, 0.3),
        ({}, "", "", Budget(cost_usd=0.4), {}, 0.0, 0.4),
        ({}, "", "cost_usd = 0.6", None, {"spent": 1.0, "step_cost": {"work": 0.5}}, 0.0, 0.1),
        ({}, "", "attempt_usd = 0.2", None, {}, 0.0, 0.2),
        ({"cost_usd_per_attempt": 0.3}, "attempt_usd = 0.7", "", None, {}, 0.0, 0.3),
        ({}, "", "", None, {}, 19.9, 0.1),
        ({}, "", "", None, {"spent": 5.0}, 0.0, 0.0),
    ],
)
def test_an_attempt_is_given_the_smallest_rest_of_all_caps(
    limits: dict[str, Any],
    playbook: str,
    step: str,
    own: Budget | None,
    cursor: dict[str, Any],
    today: float,
    left: float,
) -> None:
    found = book(playbook, step)
    given = attempt_dollars(task(own, **cursor), rules(**limits), found, found.step("work"), today)
    assert given == pytest.approx(left)


def test_tokens_are_capped_in_the_same_places_and_not_at_all_without_a_cap() -> None:
    plain, capped = book(), book("tokens = 1000", "tokens = 500")
    assert attempt_tokens(task(), rules(), plain, plain.step("work"), 0) is None
    spent = task(spent_tokens=300, step_tokens={"work": 300})
    assert attempt_tokens(spent, rules(), capped, capped.step("work"), 0) == 200
    assert attempt_tokens(spent, rules(tokens_per_attempt=50), capped, capped.step("work"), 0) == 50
    assert attempt_tokens(spent, rules(tokens_per_day=1000), capped, capped.step("work"), 900) == 100


def test_a_step_has_caps_of_its_own_in_dollars_and_tokens() -> None:
    found = book(step="cost_usd = 0.5, tokens = 100")
    dear, wordy = task(step_cost={"work": 0.5}), task(step_tokens={"work": 100})
    for each in (dear, wordy):
        said = over_budget(each, rules(), found, found.step("work"))
        assert said is not None
        assert "step work" in said


def test_a_spent_budget_does_not_keep_finished_work_from_its_review() -> None:
    found = book()
    assert over_budget(task(spent=2.0), rules(), found, found.step("work")) is not None
    assert over_budget(task(spent=2.0), rules(), found, found.step("ok")) is None


def test_spend_that_moves_nothing_stops_at_half_of_the_rounds_cap() -> None:
    found = book(limits="tokens = 1000")
    assert stalled(task(stalled=1.5), rules(), found) is None, "failures alone are bounded by ladders and caps"
    assert stalled(task(stalled=0.9, repeats=1), rules(), found) is None
    said = stalled(task(stalled=1.0, repeats=2), rules(), found)
    assert said is not None
    assert "$1.00 of the round's $2.00" in said
    assert stalled(task(stalled_tokens=500, repeats=1), rules(), found) is not None
