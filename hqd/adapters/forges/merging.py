"""A merge by the forge: never twice, and with the true reason where it is refused."""

from __future__ import annotations

from collections.abc import Callable

from hqd.errors import ForgeRefused, ForgeUnavailable
from hqd.model.review import Mergeable, Review, ReviewStatus


def merged(look: Callable[[], Review], ask: Callable[[], object], head: str) -> str:
    """The commit that brought `head`. `look` reads the pull request, `ask` tells the forge to merge it."""
    landed = _landed(look(), head)
    if landed is not None:
        return landed
    try:
        ask()
    except ForgeRefused as refused:
        found = look()
        landed = _landed(found, head)
        if landed is None:
            raise _why_not(found, head, refused) from refused
        return landed  # the forge did it, failed to say so, and was asked once more
    found = look()
    landed = _landed(found, head)
    if landed is None:
        raise ForgeUnavailable("down", f"the forge has taken the merge of #{found.number}, and does not show it yet")
    return landed


def _landed(found: Review, head: str) -> str | None:
    """None: it is still open. Raises ForgeRefused where it is closed, or was merged at another tip."""
    if found.status is ReviewStatus.CLOSED:
        raise ForgeRefused("closed", f"#{found.number} is closed", remedy="reopen it")
    if found.status is ReviewStatus.OPEN:
        return None
    if found.head != head:
        raise ForgeRefused("head_moved", f"#{found.number} was merged at {found.head[:12]}, not at {head[:12]}")
    return found.landed


def _why_not(found: Review, head: str, refused: ForgeRefused) -> ForgeRefused:
    """405, 409 and 422 say several things; the pull request itself says which."""
    if found.head != head:
        return ForgeRefused("head_moved", f"#{found.number} is at {found.head[:12]}, not at {head[:12]}")
    if refused.cause not in ("blocked", "conflict", "invalid"):
        return refused
    if found.mergeable is Mergeable.CONFLICT:
        return ForgeRefused("conflict", refused.message, remedy="bring the branch up to date")
    return ForgeRefused("blocked", refused.message) if refused.cause == "conflict" else refused
