"""What each playbook asks of people, and what it has earned back. Pure.

Earned back: reviews that nobody was asked for because of the playbook's record, times the median time that a review of
it waits for a person. That is waiting time, not working time: records know when a person spoke, not how long he read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.core.report.outcomes import decided_since, per_result
from hqd.core.report.share import Share, median, share
from hqd.core.report.story import Story
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class PlaybookRow:
    """`wait`, `earned`: seconds. `result`: dollars for each task done; None: there is none, or no try told its cost."""

    playbook: str
    tasks: int
    done: int
    clean: Share
    first_pass: Share
    helped: int  # times that a person un-parked or answered
    reviews: int  # words of people on reviews
    wait: float | None  # median, from the opening of a review to a person's word
    skipped: int
    earned: float | None  # None: reviews were skipped, and none was ever waited for
    cost: float
    result: float | None


def playbooks(stories: Sequence[Story], begin: datetime | None = None) -> tuple[PlaybookRow, ...]:
    """One row for each playbook that anything happened in, by name."""
    by_name: dict[str, list[Story]] = {}
    for story in stories:
        if begin is None or story.last >= begin:
            by_name.setdefault(story.playbook, []).append(story)
    return tuple(_row(name, found, begin) for name, found in sorted(by_name.items()))


def _row(name: str, stories: Sequence[Story], begin: datetime | None) -> PlaybookRow:
    tries = [each for story in stories for each in story.since(begin)]
    said = [each for story in stories for each in story.said if begin is None or each.at >= begin]
    skipped = sum(begin is None or at >= begin for story in stories for at in story.skipped)
    done = sum(story.state is State.DONE for story in stories)
    cost = sum(each.cost or 0.0 for each in tries)
    wait = median(each.waited for each in said if each.waited is not None)
    return PlaybookRow(
        playbook=name,
        tasks=len(stories),
        done=done,
        clean=share(story.clean for story in decided_since(stories, begin)),
        first_pass=share(each.passed for each in tries if each.first and each.agent is not None),
        helped=sum(story.helped for story in stories),
        reviews=len(said),
        wait=wait,
        skipped=skipped,
        earned=0.0 if not skipped else None if wait is None else skipped * wait,
        cost=round(cost, 6),
        result=per_result(tries, done),
    )
