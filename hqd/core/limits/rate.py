"""`requests_per_minute` of an agent: how many attempts may begin in any 60 seconds. Pure, by a sliding window.

Counted are claims, each of which is one request to the agent; what an agent asks of its provider within one attempt is
its own. `board.started` has the claims of the last minute, at least those that this daemon has made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from hqd.model.board import Task
from hqd.model.settings import AgentSettings

WINDOW = timedelta(minutes=1)


def recent(started: Mapping[str, Sequence[datetime]], now: datetime) -> dict[str, tuple[datetime, ...]]:
    """What still counts."""
    found = {agent: tuple(at for at in moments if at > now - WINDOW) for agent, moments in started.items()}
    return {agent: moments for agent, moments in found.items() if moments}


def opens(
    agent: str | None, settings: Mapping[str, AgentSettings], begun: Sequence[datetime], now: datetime
) -> datetime:
    """When the next attempt of an agent may begin, after those in `begun`: now, or later."""
    rate = settings[agent].requests_per_minute if agent is not None and agent in settings else None
    counted = sorted(at for at in begun if at > now - WINDOW)
    if rate is None or len(counted) < rate:
        return now
    return counted[-rate] + WINDOW


def remembered(tasks: Iterable[Task]) -> dict[str, tuple[datetime, ...]]:
    """After a restart: what the newest records of open tasks tell of it, which may be less than there was."""
    found: dict[str, tuple[datetime, ...]] = {}
    for task in tasks:
        last = task.last
        if last is not None and last.agent is not None:
            found[last.agent] = (*found.get(last.agent, ()), last.at)
    return found
