"""When time alone moves something: backoff, dates, probes of holds; and whether anything could move at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time

from hqd.daemon.live import Live
from hqd.model.failure import Outcome
from hqd.model.record import Event, EventKind
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
    if live.paused or live.holds or live.local_holds:
        return all(task.state is not State.ACTIVE for task in live.tasks.values())
    return not any(
        task.state is State.ACTIVE or (task.cursor.not_before is not None and task.state is State.QUEUE)
        for task in live.tasks.values()
    )


def probed(live: Live, event: Event, now: datetime) -> None:
    """After a probe of a held agent: success lifts the hold in the next turn, another refusal waits longer."""
    if event.event is not EventKind.FINISHED or event.agent is None:
        return
    name = f"agent-{event.agent}"
    hold = live.holds.get(name)
    if hold is None or hold.since == now:
        return
    if event.outcome is Outcome.REFUSED:
        last = live.probe_at.get(name, hold.probe) or now
        live.probe_at[name] = now + min(LONGEST_PROBE, max(timedelta(minutes=5), 2 * (last - hold.since)))
    elif event.outcome is Outcome.PASSED or event.failure is not None:
        live.probe_at.pop(name, None)
        live.lifting.add(name)


def probe_now(live: Live, now: datetime) -> None:
    """After a restart or with new rules the cause of an agent's hold may be gone: one task may try at once."""
    live.probe_at.update(
        {name: now for name, hold in live.holds.items() if hold.on.startswith(("agent:", "provider:"))}
    )


def _moment(value: datetime | date) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, clock_time.min)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
