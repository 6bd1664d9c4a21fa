"""The circuit breaker as pure functions: when a row of failures is the provider's state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hqd.core.limits import circuit
from hqd.model.board import Streak
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, EventKind, Hold
from hqd.model.settings import AgentSettings
from hqd.model.task import State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = AgentSettings(provider="anthropic", model="m")


def end(failure: Failure | None = Failure.TRANSIENT, agent: str = "a", retry_after: float | None = None) -> Event:
    outcome = Outcome.PASSED if failure is None else Outcome.FAILED
    if failure is Failure.CREDENTIALS:
        outcome = Outcome.REFUSED
    return Event(
        event=EventKind.FINISHED,
        to=State.QUEUE,
        at=NOW,
        step="s",
        attempt=1,
        agent=agent,
        outcome=outcome,
        failure=failure,
        message="529 overloaded",
        retry_after=retry_after,
    )


def row(*ends: tuple[str, Failure | None]) -> Streak | None:
    streaks: dict[str, Streak] = {}
    for task, failure in ends:
        streaks = circuit.after(streaks, task, end(failure))
    return streaks.get("a")


BAD = Failure.TRANSIENT


def test_five_in_a_row_over_two_tasks_open_the_circuit() -> None:
    four: list[tuple[str, Failure | None]] = [("t1", BAD), ("t2", BAD), ("t1", BAD), ("t2", BAD)]
    assert not circuit.is_open(row(*four))
    assert circuit.is_open(row(*four, ("t1", BAD)))


def test_a_success_or_a_failed_gate_between_them_closes_it_again() -> None:
    for answer in (None, Failure.GATE, Failure.TRUNCATED):
        assert row(("t1", BAD), ("t2", BAD), ("t3", answer)) is None


def test_what_never_reached_the_provider_says_nothing() -> None:
    for silent in (Failure.CONTEXT, Failure.EXPRESSION, Failure.CREDENTIALS):
        found = row(("t1", BAD), ("t2", silent))
        assert found is not None
        assert found.failures == 1


def test_one_task_alone_needs_a_longer_row() -> None:
    assert not circuit.is_open(row(*[("t1", BAD)] * 7))
    assert circuit.is_open(row(*[("t1", BAD)] * 8))


def test_the_probe_waits_a_minute_or_as_long_as_the_provider_asks() -> None:
    streak, agents = Streak(5, frozenset({"t1", "t2"})), {"a": ONE}
    short, _ = circuit.hold("a", end(), streak, agents, {})
    long, _ = circuit.hold("a", end(retry_after=600.0), streak, agents, {})
    assert short.probe is not None
    assert long.probe is not None
    assert timedelta(seconds=64) <= short.probe - NOW <= timedelta(seconds=80)
    assert timedelta(seconds=600) <= long.probe - NOW <= timedelta(seconds=660)
    assert "529 overloaded" in short.missing


def test_a_second_agent_of_the_same_service_makes_it_a_hold_of_the_provider() -> None:
    streak, agents = Streak(5, frozenset({"t1", "t2"})), {"a": ONE, "b": ONE}
    first, replaced = circuit.hold("a", end(), streak, agents, {})
    assert (first.on, replaced) == ("agent:a", ())
    second, replaced = circuit.hold("b", end(agent="b"), streak, agents, {first.name: first})
    assert (second.on, replaced) == ("provider:anthropic", ("agent-a",))


def test_agents_of_one_provider_with_servers_of_their_own_are_held_apart() -> None:
    streak = Streak(5, frozenset({"t1", "t2"}))
    agents = {"a": ONE, "b": ONE.model_copy(update={"base_url": "http://127.0.0.1:1"})}
    held = Hold(name="agent-a", on="agent:a", reason="transient", since=NOW, missing="x")
    made, replaced = circuit.hold("b", end(agent="b"), streak, agents, {"agent-a": held})
    assert (made.on, replaced) == ("agent:b", ())
