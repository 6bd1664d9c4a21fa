"""What recovery is worth, counted from records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hqd.core.report.facts import Fact, fact_of
from hqd.core.report.recovery import Row, recovery
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Cursor, EventKind, Record, Usage
from hqd.model.task import State


def record(kind: EventKind, step: str = "work", **fields: Any) -> Fact:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = Record(
        event=kind, to=State.QUEUE, at=now, step=step, n=1, hqd="1", host="h", round=1, cursor=Cursor(), **fields
    )
    return fact_of("t", made)


def claim(mode: str, step: str = "work", agent: str = "a") -> Fact:
    return record(EventKind.CLAIMED, step, mode=mode, agent=agent)


def end(failure: Failure | None = None, cost: float = 0.0, step: str = "work") -> Fact:
    outcome = Outcome.PASSED if failure is None else Outcome.FAILED
    return record(EventKind.FINISHED, step, outcome=outcome, failure=failure, usage=Usage(cost=cost, out=1))


def counted(*records: Fact) -> dict[tuple[str, str], tuple[int, int, float]]:
    return {(row.failure, row.rung): (row.tried, row.accepted, row.cost) for row in recovery([records])}


def test_each_rung_is_credited_with_the_end_that_it_led_to() -> None:
    gate = Failure.GATE
    story = (claim("first"), end(gate, 1.0), claim("retry"), end(gate, 0.5), claim("retry"), end(gate, 0.5))
    found = counted(*story, claim("agent", agent="b"), end(None, 2.0))
    assert found == {("gate", "retry"): (2, 0, 1.0), ("gate", "agent b"): (1, 1, 2.0)}


def test_a_first_try_and_a_refused_one_are_no_trial_of_a_rung() -> None:
    refused = record(EventKind.FINISHED, outcome=Outcome.REFUSED, failure=Failure.CREDENTIALS)
    assert counted(claim("first"), end(None)) == {}
    found = counted(claim("first"), end(Failure.GATE), claim("retry"), refused, claim("again"), end(None))
    assert found == {("gate", "again"): (1, 1, 0.0)}


def test_a_route_rung_bears_the_cost_of_its_way_and_the_fate_of_the_step_it_left() -> None:
    back = record(EventKind.ROUTED, "plan", route="work#ladder1")
    found = counted(
        claim("first"),
        end(Failure.GATE, 1.0),
        back,
        claim("retry", "plan"),
        end(None, 0.25, "plan"),
        claim("first"),
        end(None, 0.5),
    )
    assert found == {("gate", "route to plan"): (1, 1, 0.75)}


def test_a_humans_word_is_a_rung_too() -> None:
    resumed = record(EventKind.RESUMED)
    found = counted(claim("first"), end(Failure.EMPTY), resumed, claim("retry"), end(None))
    assert found == {("empty", "human"): (1, 1, 0.0)}


def test_shares_carry_intervals_and_a_rung_that_never_helps_is_named_after_enough_trials() -> None:
    def row(tried: int) -> Row:
        story = [claim("first"), end(Failure.GATE)]
        for _ in range(tried):
            story += [claim("fresh"), end(Failure.GATE)]
        (found,) = recovery([story])
        return found

    assert not row(4).never
    assert row(5).never
    assert (row(5).low, row(5).high) == (0.0, pytest.approx(0.4345, abs=0.0001))
