"""Which ends of attempts are taken for a probe of a hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hqd.daemon.alarms import probed
from hqd.daemon.live import Live
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, EventKind, Hold
from hqd.model.settings import AgentSettings
from hqd.model.task import State

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AGENTS = {"writer": AgentSettings(provider="anthropic", model="m")}


def held() -> Live:
    live = Live("host", "seed", {}, Path("/nowhere"))
    live.holds["agent-writer"] = Hold(
        name="agent-writer", on="agent:writer", reason="credentials", since=NOON, missing="a key"
    )
    return live


def finished(outcome: Outcome, failure: Failure | None = None) -> Event:
    at = NOON + timedelta(seconds=2)
    return Event(event=EventKind.FINISHED, to=State.QUEUE, at=at, agent="writer", outcome=outcome, failure=failure)


@pytest.mark.parametrize(("began", "lifted"), [(-1, False), (1, True)])
def test_only_an_answer_to_an_attempt_that_began_under_the_hold_lifts_it(began: int, lifted: bool) -> None:
    """What was under way when the key expired still comes home with an answer, and says nothing of the key."""
    live = held()
    event = finished(Outcome.PASSED)
    probed(live, event, NOON + timedelta(seconds=began), event.at, AGENTS)
    assert live.lifting == ({"agent-writer"} if lifted else set())


def test_a_refused_attempt_lifts_nothing() -> None:
    live = held()
    event = finished(Outcome.REFUSED, Failure.CREDENTIALS)
    probed(live, event, NOON + timedelta(seconds=1), event.at, AGENTS)
    assert not live.lifting
