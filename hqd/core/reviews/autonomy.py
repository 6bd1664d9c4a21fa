"""Earned autonomy: a playbook's record lets people review a share of its work only, until an escape ends that. Pure.

Law: only a committed number (`review.sample`) lets a review be skipped, and only a person commits it. The coin follows
from task and step alone, so a task that people have seen once is always theirs. Any escape brings full review back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hqd.core.report.share import Share, percent
from hqd.core.reviews.audit import coin
from hqd.model.board import Task
from hqd.model.corpus import Case, Label
from hqd.model.playbook import Playbook, Review, Step
from hqd.model.record import ReviewState
from hqd.model.settings import Settings

SHARES = (0.5, 0.2, 0.1, 0.05)
"""What is proposed, one after the other; each on reviews that were made since the one before was accepted."""


def reviews(playbook: Playbook) -> list[tuple[Step, Review]]:
    """The review steps that ask for a share, or would."""
    return [
        (step, step.review)
        for step in playbook.steps
        if step.review is not None and (step.review.sample is not None or step.review.risk is not None)
    ]


def share_of(review: Review) -> float:
    """The share of its work that people are asked for: all of it until a number is committed."""
    return review.sample if isinstance(review.sample, float | int) else 1.0


def skipped(task: Task, playbook: Playbook, step: Step, restored: Mapping[str, str]) -> float | None:
    """The share under which people are not asked for this review; None: they are, as soon as they have seen it once.

    Its work lands all the same: a forge is told to merge it, elsewhere it lands as with `land = "auto"`.
    """
    if step.review is None or playbook.name in restored:
        return None
    share, before = share_of(step.review), task.cursor.review
    if share >= 1 or (before is not None and before.sample is None):
        return None
    return share if coin("review", task.id, step.name) >= share else None


def by_forge(task: Task, review: Review, settings: Settings) -> bool:
    """Whether work that people are not asked for lands as a pull request that hqd opens and merges.

    Only so its checks run and its rules for main hold. What changes nothing, or is not to land, needs none.
    """
    work = task.cursor.head is not None and task.cursor.head != task.cursor.base
    return work and review.land != "never" and settings.forge.kind != "local"


def unasked(review: ReviewState, share: float) -> ReviewState:
    """A pull request that nobody is asked for, and that hqd is to merge."""
    return review.model_copy(update={"sample": share})


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a playbook's review step has come. `changed`: of tasks that people decided, those that they changed.

    `next`: the share that its record has earned; None: not yet, and `why` says what is lacking.
    """

    playbook: str
    step: str
    share: float
    risk: float | None
    changed: Share
    next: float | None
    why: str


def standing(playbook: Playbook, step: Step, review: Review, cases: Iterable[Case], after: int) -> Standing:
    """From the labels that became known after place `after` of main's line: since the share was last changed."""
    tasks: dict[str, bool] = {}
    for case in cases:
        mine = case.playbook == playbook.name and case.source != "audit"
        if mine and case.seen and case.label.decided and case.known > after:
            tasks[case.task] = tasks.get(case.task, False) or case.label is not Label.ACCEPTED
    changed, share = Share(sum(tasks.values()), len(tasks)), share_of(review)
    following = next((each for each in SHARES if each < share), None)
    if review.risk is None:
        following, why = None, "no `risk` is set"
    elif following is None:
        why = f"the smallest share is in force: {percent(share)}"
    elif changed.high >= review.risk:
        following, why = None, _lacks(changed, review.risk)
    else:
        why = f"{changed} changed by people: at most {percent(changed.high)}, below {percent(review.risk)}"
    return Standing(playbook.name, step.name, share, review.risk, changed, following, why)


def _lacks(changed: Share, risk: float) -> str:
    """What is lacking, with the number of clean reviews that would do where nothing has been changed yet."""
    told = f"{changed} changed by people: up to {percent(changed.high)}, not below {percent(risk)}"
    if changed.hits:
        return told
    n = int(changed.n)
    while Share(0, n).high >= risk:
        n += 1
    return f"{told}; {n - int(changed.n)} more without a change would do"


@dataclass(frozen=True, slots=True)
class Escape:
    """Work of a sampled playbook that was wrong all the same."""

    playbook: str
    task: str
    why: str
    order: int


def escapes(playbook: str, cases: Sequence[Case], after: int) -> tuple[Escape, ...]:
    """What people rejected, changed or took back since place `after`, whether they were asked for it or not."""
    found = {
        case.task: Escape(playbook, case.task, f"{case.label.value} ({case.source}): {case.reason}", case.known)
        for case in cases
        if case.playbook == playbook
        and case.label in (Label.REJECTED, Label.EDITED)
        and case.source != "audit"
        and case.known > after
    }
    return tuple(sorted(found.values(), key=lambda escape: escape.order))


def to_land(task: Task, step: Step) -> str | None:
    """The work that is to land because its review was skipped; None: there is none, or people have it."""
    cursor = task.cursor
    if cursor.sample is None or step.review is None or step.review.land == "never":
        return None
    return cursor.head if cursor.head is not None and cursor.head != cursor.base else None
