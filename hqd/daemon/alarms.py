"""When time alone moves something: backoff, dates, probes of holds; and whether anything could move at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time

from hqd.core.limits.circuit import UNSEEN
from hqd.daemon.live import Live
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, EventKind, Hold
from hqd.model.settings import AgentSettings
from hqd.model.task import State

LONGEST_PROBE = timedelta(hours=1)


def alarms(live: Live) -> list[datetime]:
    """The moments at which a turn is wanted though nothing happens."""
    found = []
    for task in live.tasks.values():
        if task.state is State.QUEUE:
            if task.cursor.not_before is not None:
                found.append(task.cursor.not_before)
            begins = task.document.header.not_before
            if begins is not None:
                found.append(_moment(begins))
        elif task.state is State.ACTIVE and task.cursor.claim is not None:
            found.append(task.cursor.claim.until)
    found += [at for name, hold in live.holds.items() if (at := live.probe_at.get(name, hold.probe)) is not None]
    return found


def resting(live: Live, now: datetime) -> bool:
    """Whether only a human, a date or a provider could move anything: no task is backing off or being worked on."""
    if any(task.state is State.ACTIVE for task in live.tasks.values()):
        return False
    held = {hold.on for hold in (*live.holds.values(), *live.local_holds.values())}
    if live.paused or any(not on.startswith(("agent:", "repo:", "push:", "forge:")) for on in held):
        return True
    return not any(
        task.state is State.QUEUE and task.cursor.not_before is not None and f"agent:{_agent(task)}" not in held
        for task in live.tasks.values()
    )


def _agent(task: Task) -> str | None:
    """Who made the attempt after which a task backs off; a task whose agent is not known counts as free to go on."""
    return task.last.agent if task.last is not None else task.cursor.agent


def probed(
    live: Live, event: Event, began: datetime | None, now: datetime, agents: Mapping[str, AgentSettings]
) -> None:
    """After an attempt by a held agent: an answer lifts the hold in the next turn, a refused probe waits longer.

    Attempts that were under way when the hold began are no probes, however they end: they change nothing. An answer
    to one of them would lift the hold of an expired key, and the next refusal make a second one.
    """
    if event.event is not EventKind.FINISHED or event.agent is None or event.outcome is Outcome.INTERRUPTED:
        return
    provider = agents[event.agent].provider if event.agent in agents else ""
    for name in (f"agent-{event.agent}", f"provider-{provider}"):
        hold = live.holds.get(name)
        if hold is None or hold.since == now or (began is not None and began < hold.since):
            continue
        due = live.probe_at.get(name, hold.probe)
        if event.outcome is Outcome.REFUSED or event.failure is Failure.TRANSIENT:
            if due is not None and now >= due:
                live.probe_at[name] = now + longer(hold, due, event.retry_after)
        elif event.failure not in UNSEEN:
            live.probe_at.pop(name, None)
            live.lifting.add(name)


def longer(hold: Hold, due: datetime, retry_after: float | None) -> timedelta:
    """Twice the wait so far, from the first wait to an hour; never less than a provider asks for."""
    first = hold.probe - hold.since if hold.probe is not None else timedelta(minutes=5)
    wait = min(LONGEST_PROBE, max(first, 2 * (due - hold.since)))
    return max(wait, timedelta(seconds=min(retry_after or 0.0, LONGEST_PROBE.total_seconds())))


def probe_now(live: Live, now: datetime) -> None:
    """After a restart or with new rules the cause of an agent's hold may be gone: one task may try at once."""
    live.probe_at.update(
        {name: now for name, hold in live.holds.items() if hold.on.startswith(("agent:", "provider:"))}
    )


def _moment(value: datetime | date) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, clock_time.min)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
