"""The trend by week (ISO, UTC). Pure. Weeks in which nothing happened are there too: a gap is news."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from hqd.core.report.outcomes import per_result
from hqd.core.report.share import Share, share
from hqd.core.report.story import Story, Try
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Week:
    """What happened in one week. `result`: the week's dollars for each task that was done in it."""

    name: str  # 2026-W47
    monday: date
    done: int
    dropped: int
    clean: Share  # of tasks of which a person last spoke in this week
    first_pass: Share
    tries: int
    cost: float
    result: float | None


@dataclass(slots=True)
class _Count:
    done: int = 0
    dropped: int = 0
    clean: list[bool] = field(default_factory=list)
    first: list[bool] = field(default_factory=list)
    tries: list[Try] = field(default_factory=list)


def weeks(stories: Sequence[Story], begin: datetime | None = None) -> tuple[Week, ...]:
    """From the first week in which anything ended to the last one."""
    counts: defaultdict[date, _Count] = defaultdict(_Count)
    for story in stories:
        for each in story.since(begin):
            count = counts[_monday(each.at)]
            count.tries.append(each)
            if each.first and each.agent is not None:
                count.first.append(each.passed)
        if story.said and (begin is None or story.said[-1].at >= begin):
            counts[_monday(story.said[-1].at)].clean.append(story.clean)
        if story.ended_at is not None and (begin is None or story.ended_at >= begin):
            counts[_monday(story.ended_at)].done += story.state is State.DONE
            counts[_monday(story.ended_at)].dropped += story.state is State.DROPPED
    if not counts:
        return ()
    first, last = min(counts), max(counts)
    mondays = [first + timedelta(weeks=place) for place in range((last - first).days // 7 + 1)]
    return tuple(_week(monday, counts.get(monday) or _Count()) for monday in mondays)


def _week(monday: date, count: _Count) -> Week:
    year, number, _day = monday.isocalendar()
    return Week(
        name=f"{year}-W{number:02d}",
        monday=monday,
        done=count.done,
        dropped=count.dropped,
        clean=share(count.clean),
        first_pass=share(count.first),
        tries=len(count.tries),
        cost=round(sum(each.cost or 0.0 for each in count.tries), 6),
        result=per_result(count.tries, count.done),
    )


def _monday(moment: datetime) -> date:
    return _monday_of(moment.astimezone(UTC).date())


@lru_cache(maxsize=4096)
def _monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())
