"""What a task may have come to after the first thing that differs: attempts and dollars, lowest and highest. Pure.

The lowest is the least that the decision itself asks for. The highest is what the caps of the round leave,
at the dearest attempt that was ever recorded; what a person would have done after a park is in neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hqd.core.moves import ClaimStep, End, GoTo, Land, Move, Park
from hqd.core.recovery import cost_cap
from hqd.core.replay.walk import Differs
from hqd.model.board import Rules, Task
from hqd.model.playbook import Playbook
from hqd.model.record import Event, EventKind

Prices = Mapping[str | None, tuple[float, float]]
"""The cheapest and the dearest recorded attempt, in dollars, by agent; None: of any agent."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What follows a difference. `recorded`: (attempts, dollars) as it was; `low`, `high`: as it may have been."""

    recorded: tuple[int, float]
    low: tuple[int, float]
    high: tuple[int, float]

    @property
    def exact(self) -> bool:
        return self.low == self.high

    @property
    def saved(self) -> tuple[tuple[int, float], tuple[int, float]]:
        """Attempts and dollars saved, at least and at most; below zero: spent."""
        attempts, dollars = self.recorded
        return (
            (attempts - self.high[0], round(dollars - self.high[1], 6)),
            (attempts - self.low[0], round(dollars - self.low[1], 6)),
        )


def prices(events: Iterable[Event]) -> dict[str | None, tuple[float, float]]:
    """What attempts cost, by agent. `events`: claims and ends of attempts of each task, in order."""
    found: dict[str | None, tuple[float, float]] = {}
    for event in events:
        if event.event is EventKind.FINISHED and event.usage is not None and event.usage.cost is not None:
            for agent in {event.agent, None}:
                low, high = found.get(agent, (event.usage.cost, event.usage.cost))
                found[agent] = min(low, event.usage.cost), max(high, event.usage.cost)
    return found


def spent(events: Sequence[Event]) -> tuple[int, float]:
    """Attempts that ended, and their dollars."""
    ends = [event for event in events if event.event is EventKind.FINISHED]
    return len(ends), round(sum(event.usage.cost or 0.0 for event in ends if event.usage is not None), 6)


def unpriced(events: Sequence[Event]) -> int:
    """Attempts of agents that told no cost."""
    return sum(
        event.event is EventKind.FINISHED
        and event.agent is not None
        and (event.usage is None or event.usage.cost is None)
        for event in events
    )


def rest(differs: Differs, events: Sequence[Event], known: Prices) -> Rest:
    """Of a task from a difference on: what was recorded, and between what it may have been."""
    low = _least(differs.move, known)
    high = _most(differs.move, differs.task, differs.rules, known)
    return Rest(spent(events[differs.position :]), low, (max(low[0], high[0]), max(low[1], high[1])))


def _least(move: Move | None, known: Prices) -> tuple[int, float]:
    if not isinstance(move, ClaimStep | GoTo):
        return 0, 0.0
    agent = move.agent if isinstance(move, ClaimStep) else None
    return 1, known.get(agent, known.get(None, (0.0, 0.0)))[0]


def _most(move: Move | None, task: Task, rules: Rules, known: Prices) -> tuple[int, float]:
    if isinstance(move, Park | End | Land):
        return 0, 0.0
    playbook = rules.playbooks.get(task.cursor.playbook or "")
    if playbook is None:
        playbook = next(iter(rules.playbooks.values()), None)
    if playbook is None:
        return 0, 0.0
    left = max(1, _attempts(task, rules, playbook) - task.cursor.counted)
    dearest = known.get(None, (0.0, 0.0))[1]
    dollars = max(0.0, cost_cap(task, rules, playbook) - task.cursor.spent) + dearest  # the last one may go over
    return left, round(min(left * dearest, dollars), 6)


def _attempts(task: Task, rules: Rules, playbook: Playbook) -> int:
    own = task.document.header.budget
    caps = (playbook.limits.attempts, own.attempts if own else None, rules.settings.limits.attempts)
    return min(cap for cap in caps if cap is not None)
