"""Rates of agents: a sliding window over claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hqd.core.limits.rate import WINDOW, opens, recent
from hqd.model.settings import AgentSettings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def agents(rate: int | None) -> dict[str, AgentSettings]:
    return {"worker": AgentSettings(provider="replay", requests_per_minute=rate)}


def ago(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(seconds=each) for each in seconds)


def test_a_full_window_opens_when_its_oldest_claim_leaves_it() -> None:
    assert opens("worker", agents(2), ago(50, 20), NOW) == NOW + timedelta(seconds=10)
    assert opens("worker", agents(2), ago(61, 20), NOW) == NOW
    assert opens("worker", agents(2), ago(50, 30, 20), NOW) == NOW + timedelta(seconds=30)


def test_no_rate_no_agent_and_no_claims_are_open() -> None:
    assert opens("worker", agents(None), ago(1, 1, 1), NOW) == NOW
    assert opens(None, agents(1), ago(1), NOW) == NOW
    assert opens("worker", agents(1), (), NOW) == NOW


def test_what_no_longer_counts_is_forgotten() -> None:
    assert recent({"worker": ago(61, 59), "other": ago(70)}, NOW) == {"worker": ago(59)}


@given(st.integers(1, 5), st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_no_minute_ever_holds_more_than_the_rate(rate: int, gaps: list[int]) -> None:
    """Claims are made as soon as they are allowed, asked for at any times: each window of 60 s keeps to the rate."""
    made: list[datetime] = []
    now = NOW
    for gap in gaps:
        now = max(now + timedelta(seconds=gap), opens("worker", agents(rate), made, now + timedelta(seconds=gap)))
        made.append(now)
    for begin in made:
        assert sum(1 for at in made if begin <= at < begin + WINDOW) <= rate
