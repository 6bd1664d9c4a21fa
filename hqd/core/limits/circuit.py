"""The circuit breaker: transient failures of one agent in a row, over all tasks, become a hold. Pure.

A single failure is one task's wait. A row of them with no success in between is the provider's state: the agent is
held, so that no other task spends its tries on it, and probed by one task at a time. The row is counted since the
daemon started; after a restart it is counted anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from hqd.core.limits import backoff
from hqd.core.recovery import TRANSIENT_TRIES
from hqd.model.board import Streak
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, EventKind, Hold
from hqd.model.settings import AgentSettings

OPEN_AFTER = 5
"""So many in a row, of two tasks or more, open the circuit. At 20 % of failures that happens once in 3,000 calls."""

FIRST_PROBE = 6
"""The step of the backoff that the first probe waits: 64 to 80 s, or what the provider asks for."""

UNSEEN = frozenset({Failure.EXPRESSION, Failure.CONTEXT, Failure.NO_PROGRESS, Failure.CRASHED, Failure.INTERRUPTED})
"""Ends of attempts that say nothing of the provider: it was not asked, or not to the end."""


def after(streaks: Mapping[str, Streak], task: str, event: Event) -> dict[str, Streak]:
    """The rows of failures after an attempt's end."""
    found = dict(streaks)
    if event.event is not EventKind.FINISHED or event.agent is None or event.outcome is Outcome.REFUSED:
        return found
    if event.failure is Failure.TRANSIENT:
        before = found.get(event.agent, Streak())
        found[event.agent] = Streak(before.failures + 1, before.tasks | {task})
    elif event.failure not in UNSEEN:
        found.pop(event.agent, None)
    return found


def is_open(streak: Streak | None) -> bool:
    """Whether a row is long enough; one task alone, which may be the cause itself, needs a longer one."""
    if streak is None:
        return False
    return streak.failures >= TRANSIENT_TRIES or (streak.failures >= OPEN_AFTER and len(streak.tasks) > 1)


def refused(event: Event) -> Event:
    """The same end of an attempt, not held against its task: the circuit is open."""
    return event.model_copy(update={"outcome": Outcome.REFUSED, "failure": Failure.PROVIDER, "findings": ()})


def on_agent(holds: Mapping[str, Hold], agent: str, agents: Mapping[str, AgentSettings]) -> frozenset[str]:
    """The names of the holds on an agent or its provider."""
    names = {f"agent:{agent}"} | ({f"provider:{agents[agent].provider}"} if agent in agents else set())
    return frozenset(name for name, hold in holds.items() if hold.on in names)


def hold(
    agent: str, event: Event, streak: Streak, agents: Mapping[str, AgentSettings], holds: Mapping[str, Hold]
) -> tuple[Hold, tuple[str, ...]]:
    """The hold of an open circuit, and the names of holds that it takes the place of.

    A second agent of the same service makes it a hold of the provider, where all agents of the provider use that
    service.
    """
    wait = backoff.delay(FIRST_PROBE, event.retry_after, seed=f"{agent}/{event.at.isoformat()}")
    said = " ".join((event.message or "no answer").split())[:200]
    what = f"{streak.failures} calls in a row failed, the last one: {said}"
    others = _same_service(agent, agents, holds)
    provider = agents[agent].provider if others else ""
    on, name = (f"provider:{provider}", f"provider-{provider}") if others else (f"agent:{agent}", f"agent-{agent}")
    missing = f"{'provider ' + provider if others else 'agent ' + agent}: {what}"
    reason = Failure.TRANSIENT.value
    return Hold(name=name, on=on, reason=reason, since=event.at, missing=missing, probe=event.at + wait), others


def _same_service(agent: str, agents: Mapping[str, AgentSettings], holds: Mapping[str, Hold]) -> tuple[str, ...]:
    own = agents.get(agent)
    if own is None:
        return ()
    fellows = {name: each for name, each in agents.items() if each.provider == own.provider}
    if any((each.base_url, each.preset) != (own.base_url, own.preset) for each in fellows.values()):
        return ()
    open_ones = {f"agent:{name}" for name in fellows if name != agent}
    return tuple(
        name for name, each in holds.items() if each.on in open_ones and each.reason == Failure.TRANSIENT.value
    )
