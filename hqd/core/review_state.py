"""What a task remembers of its pull request from one opening to the next: its number, and what was answered. Pure."""

from __future__ import annotations

from hqd.model.record import Event, ReviewState


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
        }
    )


def heard(before: ReviewState | None, event: Event) -> ReviewState | None:
    """After a person's word, or news of the branch: `event.review` where it says more, and its items as answered."""
    state = event.review or before
    if state is None:
        return None
    known = before.answered if before is not None else ()
    return state.model_copy(update={"answered": _union(known, state.answered, event.items)})


def kept(state: ReviewState | None) -> ReviewState | None:
    """What outlives a review that is not open now: a pull request on a forge stays the task's."""
    if state is None or state.number is None:
        return None
    return state.model_copy(
        update={"approved": False, "approvers": (), "gone_since": None, "closed_since": None, "opened": None}
    )


def _union(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for part in parts for item in part))
