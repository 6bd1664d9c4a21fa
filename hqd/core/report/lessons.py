"""What lessons are worth, and what would have got through without them. Pure.

A stop is no save: whether it was right is told by audited outputs alone, people's labels on a random share of what was
stopped, each weighed by one over its chance. Without an audit nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.core.report.share import Share, weighted
from hqd.core.report.story import Story, Try
from hqd.model.failure import Failure
from hqd.model.gate import GateStatus


@dataclass(frozen=True, slots=True)
class LessonRow:
    """One lesson's gate. `right`: of its audited stops, those that a person rejected; `rework`: dollars it caused."""

    lesson: str
    judged: int  # attempts that it looked at
    red: Share
    stops: int  # with level enforce
    alone: int  # stops that no other gate made
    right: Share
    rework: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """One past output that only lessons stopped. `label` None: nobody was asked, so nobody knows."""

    task: str
    playbook: str
    step: str
    attempt: int
    at: datetime
    lessons: tuple[str, ...]
    label: str | None
    weight: float  # 1/chance of having been audited; 0: not audited
    rework: float  # dollars of the tries that followed until the step passed


@dataclass(frozen=True, slots=True)
class Without:
    """What a newcomer with the same agents and gates, and no lessons, would have let through."""

    stopped: tuple[Stopped, ...]
    wrong: Share  # of audited ones, weighted: rejected by a person
    audited: int
    rework: float

    @property
    def measurable(self) -> bool:
        return self.audited > 0


def lesson_rows(stories: Sequence[Story], begin: datetime | None = None) -> tuple[LessonRow, ...]:
    """One row for each lesson whose gate has judged anything, by id."""
    found: dict[str, list[tuple[Story, Try, bool]]] = {}
    for story in stories:
        for each in story.since(begin):
            for gate in each.gates:
                if gate.lesson is not None and gate.status is not GateStatus.SKIP:
                    found.setdefault(gate.lesson, []).append((story, each, gate.status is GateStatus.FAIL))
    return tuple(_row(lesson, rows) for lesson, rows in sorted(found.items()))


def _row(lesson: str, rows: Sequence[tuple[Story, Try, bool]]) -> LessonRow:
    stops = [(story, each) for story, each, _red in rows if lesson in _stopping(each)]
    labels = [(label, each) for story, each in stops if (label := _label(story, each)) is not None]
    return LessonRow(
        lesson=lesson,
        judged=len(rows),
        red=Share(sum(red for _story, _try, red in rows), len(rows)),
        stops=len(stops),
        alone=sum(_only_lessons(each) and len(_stopping(each)) == 1 for _story, each in stops),
        right=weighted((label == "rejected", _weight(each)) for label, each in labels),
        rework=round(sum(rework(story, each) for story, each in stops), 6),
    )


def without_lessons(stories: Sequence[Story], begin: datetime | None = None) -> Without:
    """Every output that lessons alone stopped, in order of time."""
    stopped = []
    for story in stories:
        for each in story.since(begin):
            if each.failure is Failure.GATE and _only_lessons(each):
                label = _label(story, each)
                stopped.append(
                    Stopped(
                        task=each.task,
                        playbook=each.playbook,
                        step=each.step,
                        attempt=each.attempt,
                        at=each.at,
                        lessons=_stopping(each),
                        label=label,
                        weight=_weight(each) if label is not None else 0.0,
                        rework=rework(story, each),
                    )
                )
    stopped.sort(key=lambda row: (row.at, row.task, row.attempt))
    return Without(
        stopped=tuple(stopped),
        wrong=weighted((row.label == "rejected", row.weight) for row in stopped),
        audited=sum(row.label is not None for row in stopped),
        rework=round(sum(row.rework for row in stopped), 6),
    )


def rework(story: Story, stopped: Try) -> float:
    """Dollars of the tries at the same step after this one, up to and with the one that passed."""
    spent = 0.0
    for each in story.tries:
        if each.step == stopped.step and each.attempt > stopped.attempt:
            spent += each.cost or 0.0
            if each.passed:
                break
    return round(spent, 6)


def _stopping(each: Try) -> tuple[str, ...]:
    return tuple(gate.lesson for gate in each.stopped_by if gate.lesson is not None)


def _only_lessons(each: Try) -> bool:
    return bool(each.stopped_by) and all(gate.lesson is not None for gate in each.stopped_by)


def _label(story: Story, each: Try) -> str | None:
    return story.labels.get((each.step, each.attempt)) if each.audited else None


def _weight(each: Try) -> float:
    return 1.0 / each.audit if each.audit else 0.0
