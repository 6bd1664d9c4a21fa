"""Agents side by side, within one step: elsewhere they meet different work. Pure.

Not an experiment: a stronger agent that a ladder calls last meets what the others failed at. Only first tries compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.core.report.share import Share, median, share
from hqd.core.report.story import Story, Try


@dataclass(frozen=True, slots=True)
class AgentRow:
    """`cost`: dollars a try; `per_pass`: dollars of all its tries for each that passed; `wall`: median seconds."""

    playbook: str
    step: str
    agent: str
    models: tuple[str, ...]
    tries: int
    passed: Share
    first_pass: Share
    clean: Share  # of decided tasks in which it made this step's last passed output before a person spoke
    cost: float | None
    per_pass: float | None
    wall: float | None
    fails_by: str | None  # the class of failure that it has most


def agents(stories: Sequence[Story], begin: datetime | None = None) -> tuple[AgentRow, ...]:
    """One row for each agent at each step, by step, the most used first."""
    tries: dict[tuple[str, str, str], list[Try]] = {}
    clean: dict[tuple[str, str, str], list[bool]] = {}
    for story in stories:
        for each in story.since(begin):
            if each.agent is not None and each.counted:
                tries.setdefault((each.playbook, each.step, each.agent), []).append(each)
        for key in _makers(story) if story.decided else ():
            clean.setdefault(key, []).append(story.clean)
    rows = [_row(key, found, clean.get(key, ())) for key, found in tries.items()]
    return tuple(sorted(rows, key=lambda row: (row.playbook, row.step, -row.tries, row.agent)))


def _makers(story: Story) -> set[tuple[str, str, str]]:
    """Who made what a person first saw: of each step, the agent of its last passed try before that."""
    until = story.said[0].at if story.said else story.last
    last = {
        each.step: (each.playbook, each.step, each.agent)
        for each in story.tries
        if each.passed and each.agent is not None and each.at <= until
    }
    return set(last.values())


def _row(key: tuple[str, str, str], tries: Sequence[Try], clean: Iterable[bool]) -> AgentRow:
    playbook, step, agent = key
    known = [each.cost for each in tries if each.cost is not None]
    passes = sum(each.passed for each in tries)
    failures = Counter(each.failure.value for each in tries if each.failure is not None)
    return AgentRow(
        playbook=playbook,
        step=step,
        agent=agent,
        models=tuple(sorted({each.model for each in tries if each.model})),
        tries=len(tries),
        passed=Share(passes, len(tries)),
        first_pass=share(each.passed for each in tries if each.first),
        clean=share(clean),
        cost=round(sum(known) / len(known), 6) if known else None,
        per_pass=round(sum(known) / passes, 6) if known and passes else None,
        wall=median(each.wall for each in tries if each.wall is not None),
        fails_by=failures.most_common(1)[0][0] if failures else None,
    )
