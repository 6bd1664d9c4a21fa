"""How tasks ended, how clean their work was, how long it took and what it cost. Pure.

Everything counts at the time at which it happened: with `begin`, tries, words and ends since then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.core.report.share import Share, median, quantile, share
from hqd.core.report.story import Cause, Story, Try
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Rework:
    """Tries that were not the first of their step, by why. `part`: of all dollars."""

    cause: str
    tries: int
    cost: float
    part: float


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Seconds and dollars. `result`: dollars of all tries, failed and dropped tasks' too, for each task done."""

    tasks: int
    states: dict[str, int]
    clean: Share  # of tasks of which a person said something: accepted as they were
    first_pass: Share  # of first tries at a step: passed
    helped: Share  # of tasks that ended: a person had to un-park or answer
    took: tuple[float | None, float | None]  # median and 90th percentile, of tasks done
    waits: dict[str, float | None]  # median seconds of tasks done, by whom they waited for
    tries: int
    cost: float
    unpriced: int  # tries that told neither cost nor tokens
    result: float | None  # None: none is done, or no try told what it cost
    rework: tuple[Rework, ...]


def outcomes(stories: Sequence[Story], begin: datetime | None = None) -> Outcomes:
    """The figures over all stories that anything happened to since `begin`."""
    alive = [story for story in stories if begin is None or story.last >= begin]
    ended = [story for story in alive if not story.state.open and story.ended_at is not None]
    done = [story for story in ended if story.state is State.DONE]
    tries = [each for story in alive for each in story.since(begin)]
    cost = sum(each.cost or 0.0 for each in tries)
    times = [took for story in done if (took := story.took) is not None]
    return Outcomes(
        tasks=len(alive),
        states=dict(Counter(story.state.value for story in alive)),
        clean=share(story.clean for story in decided_since(alive, begin)),
        first_pass=share(each.passed for each in tries if each.first and each.agent is not None),
        helped=share(story.helped > 0 for story in ended),
        took=(median(times), quantile(times, 0.9)),
        waits=_waits(done),
        tries=len(tries),
        cost=round(cost, 6),
        unpriced=sum(unpriced(each) for each in tries),
        result=per_result(tries, len(done)),
        rework=_rework(tries, cost),
    )


def unpriced(each: Try) -> bool:
    """Whether an agent's try told neither cost nor tokens."""
    return each.cost is None and each.counted and each.agent is not None


def per_result(tries: Iterable[Try], done: int) -> float | None:
    """Dollars of tries for each task done; None where none is done, or no try told what it cost."""
    known = list(tries)
    cost = sum(each.cost or 0.0 for each in known)
    if not done or (not cost and any(map(unpriced, known))):
        return None
    return round(cost / done, 6)


def decided_since(stories: Iterable[Story], begin: datetime | None) -> list[Story]:
    """Stories of whose work a person last said something since `begin`."""
    return [
        story for story in stories if story.decided and (begin is None or not story.said or story.said[-1].at >= begin)
    ]


def _waits(done: Sequence[Story]) -> dict[str, float | None]:
    waits = {
        "worked on": (State.ACTIVE,),
        "queued": (State.QUEUE,),
        "waiting for people": (State.REVIEW, State.BLOCKED),
    }
    return {
        what: median(sum(story.in_state.get(state, 0.0) for state in states) for story in done)
        for what, states in waits.items()
    }


def _rework(tries: Sequence[Try], whole: float) -> tuple[Rework, ...]:
    rows = []
    for cause in Cause:
        found = [each for each in tries if each.cause is cause]
        spent = sum(each.cost or 0.0 for each in found)
        if found:
            rows.append(Rework(cause.value, len(found), round(spent, 6), spent / whole if whole else 0.0))
    return tuple(rows)
