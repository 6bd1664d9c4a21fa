"""What a task remembers of its pull request from one opening to the next: its number, and what was answered. Pure."""

from __future__ import annotations

from typing import Any

from hqd.model.failure import ParkReason
from hqd.model.record import Cursor, Event, ReviewState, Via, Work

NO_WORK: dict[str, Any] = {"review": None, "repo": None, "base": None, "head": None, "merge": None}
"""Fields of a cursor whose task has no work that is not on main."""


def opened(before: ReviewState | None, now: ReviewState | None) -> ReviewState | None:
    """A review that is open (again). What an agent was asked before is answered by the commit that is up for review."""
    if before is None or now is None:
        return now
    return now.model_copy(
        update={
            "number": now.number if now.number is not None else before.number,
            "url": now.url or before.url,
            "answered": _union(before.answered, now.answered),
            "replies": dict.fromkeys(before.asked, now.head) if before.asked else before.replies,
            "reminded": before.reminded,
            "voided": before.voided,
        }
    )


def heard(before: ReviewState | None, event: Event) -> ReviewState | None:
    """After a person's word, or news of the branch: `event.review` where it says more, and its items as answered."""
    state = event.review or before
    if state is None:
        return None
    known = before.answered if before is not None else ()
    update: dict[str, Any] = {"answered": _union(known, state.answered, event.items)}
    if before is not None and _somebodys(before, state, event):
        update["sample"] = None
    return state.model_copy(update=update)


def _somebodys(before: ReviewState, state: ReviewState, event: Event) -> bool:
    """Whether a person has spoken, or put commits there: from then on the review is his, whatever the coin said."""
    spoken = bool(event.findings or event.items or event.outcome) or event.via is Via.CLI
    return spoken or state.head != before.head


def stands(cursor: Cursor, review: ReviewState | None) -> dict[str, Any]:
    """What a cursor takes over from a review that is open: bringing it up to date may have moved head and base."""
    if review is None or cursor.head is None or review.head == review.base:
        return {"review": review}
    return {"review": review, "head": review.head, "base": review.base}


def brought(cursor: Cursor, work: Work | None) -> dict[str, Any]:
    """After a failed attempt: only bringing a branch up to date leaves work of worth, merged or to be merged."""
    return {"patch": work.patch if work is not None else cursor.patch, **merged(work)}


def merged(work: Work | None) -> dict[str, Any]:
    """What bringing a branch up to date has left: it and main as one, or their merge for an agent to resolve."""
    if work is None:
        return {}
    merge = {"merge": work.merge} if work.merge is not None else {}
    head = {"head": work.head, "base": work.base} if work.head is not None else {}
    return {**merge, **head}


def followed(cursor: Cursor, event: Event) -> dict[str, Any]:
    """After news of the branch: people's commits are the work now, and what was to be merged with the old is not."""
    before = cursor.review.head if cursor.review is not None else None
    if event.review is None or event.review.head == before:
        return {}
    return {"head": event.review.head, "merge": None}


def is_ahead(cursor: Cursor) -> bool:
    """Whether work was made that is not up for review yet, and that nothing has come in conflict with."""
    review = cursor.review
    unseen = review is not None and cursor.head not in (None, review.head)
    return unseen and cursor.merge is None and cursor.reason is not ParkReason.CONFLICT


def kept(state: ReviewState | None) -> ReviewState | None:
    """What outlives a review that is not open now: a pull request on a forge stays the task's."""
    if state is None or state.number is None:
        return None
    nothing = {"approved": False, "approvers": (), "gone_since": None, "closed_since": None, "opened": None}
    return state.model_copy(update={**nothing, "taken_up": state.taken_up or state.closed_since is not None})


def anew(state: ReviewState | None) -> ReviewState | None:
    """What a new round keeps: a person has begun it, so that its review is asked for."""
    left = kept(state)
    return left.model_copy(update={"sample": None, "taken_up": True}) if left is not None else None


def _union(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for part in parts for item in part))
