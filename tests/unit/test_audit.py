"""Which gate-stopped outputs people are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hqd.core.reviews.audit import coin, drawn
from hqd.model.board import Rules, Task
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateStatus, Level
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Cursor, Event, EventKind, Phase, Pin, ReviewState
from hqd.model.settings import Settings
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STEP = Step(name="write", agent="a")
DOCUMENT = TaskDocument(header=TaskHeader(), title="T", text="t")


def rules(share: float | None) -> Rules:
    return Rules(Pin(playbooks="a", settings="b"), Settings(format=1, audit=share), {})


def task(name: str = "20261122-t-000001", **cursor: Any) -> Task:
    return Task(name, State.ACTIVE, DOCUMENT, "", Cursor(step="write", phase=Phase.CLAIMED, **cursor))


def red(kind: str = "regex", status: GateStatus = GateStatus.FAIL, level: Level = Level.ENFORCE) -> GateResult:
    return GateResult(name=kind, kind=kind, status=status, level=level)


def end(*gates: GateResult, failure: Failure = Failure.GATE, **fields: Any) -> Event:
    made: dict[str, Any] = {
        "event": EventKind.FINISHED,
        "to": State.QUEUE,
        "at": NOW,
        "step": "write",
        "attempt": 1,
        "outcome": Outcome.FAILED,
        "failure": failure,
        "output": "x/001-output.md",
        "gates": gates or (red(),),
    }
    return Event(**{**made, **fields})


def playbook(share: float | None = None, step: Step = STEP) -> Playbook:
    return Playbook(name="p", steps=(step,), audit=share)


def test_a_drawn_output_goes_to_people_with_its_share_and_nothing_that_could_land() -> None:
    found = drawn(task(head="abc"), end(), rules(1.0), playbook())
    assert (found.to, found.audit, found.audited) == (State.REVIEW, 1.0, True)
    assert found.review is not None
    assert (found.review.audit, found.review.head, found.review.base) == (True, "abc", "abc")


def test_the_share_holds_over_many_and_is_kept_with_those_not_drawn() -> None:
    found = [drawn(task(f"20261122-t-{n:06x}"), end(), rules(0.05), playbook()) for n in range(4000)]
    assert {each.audit for each in found} == {0.05}
    assert 160 <= sum(each.audited for each in found) <= 240  # 200 wanted, 2.9 standard deviations


def test_the_coin_follows_from_task_step_and_attempt_alone() -> None:
    assert coin("audit", "t", "write", 1) == coin("audit", "t", "write", 1)
    assert len({coin("audit", "t", step, n) for step in "ab" for n in (1, 2)}) == 4
    assert all(0 <= coin(n) < 1 for n in range(1000))


def test_the_playbook_overrides_the_hq_and_nothing_means_none() -> None:
    assert drawn(task(), end(), rules(1.0), playbook(0.0)) == end()
    assert drawn(task(), end(), rules(0.0), playbook(1.0)).audited
    assert drawn(task(), end(), rules(None), playbook()) == end()
    assert drawn(task(), end(), rules(1.0), None) == end()


@pytest.mark.parametrize(
    "event",
    [
        end(red("secrets")),
        end(red("regex"), red("protected_paths")),
        end(red("hidden_unicode"), red("regex")),
        end(red("all_of")),
        end(red("regex", GateStatus.ERROR)),
        end(red("regex", level=Level.WARN)),
        end(failure=Failure.POLICY),
        end(failure=Failure.EMPTY),
        end(output=None),
        end(outcome=Outcome.PASSED, failure=None),
    ],
)
def test_what_safety_gates_stop_and_what_is_no_output_is_never_shown(event: Event) -> None:
    assert drawn(task(), event, rules(1.0), playbook()) == event


def test_gate_steps_and_tasks_with_an_open_pull_request_are_left_alone() -> None:
    assert drawn(task(), end(), rules(1.0), playbook(step=Step(name="write"))) == end()
    waits = ReviewState(step="approve", branch="hqd/t", head="a", base="b", number=7)
    assert drawn(task(review=waits), end(), rules(1.0), playbook()) == end()


def test_people_are_shown_nothing_of_the_verdict() -> None:
    found = drawn(task(), end(red("regex"), message="no TODO"), rules(1.0), playbook()).blinded()
    assert (found.outcome, found.failure, found.message, found.gates, found.findings) == (None, None, None, (), ())
    assert found.output == "x/001-output.md"
