"""What a forge tells of a pull request, in words that all forges share (merge request, change: the same thing here).

These values are facts as read. Nothing in them is trusted: bodies are other people's text, authors are names, and
whether somebody may give orders is asked of the forge (`Permission`), never read from what he wrote.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from hqd.model.value import Value


class ReviewStatus(StrEnum):
    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"  # without having been merged


class MergeStyle(StrEnum):
    MERGE = "merge"  # a merge commit
    SQUASH = "squash"
    REBASE = "rebase"


class Mergeable(StrEnum):
    """Whether the forge would merge now."""

    YES = "yes"
    CONFLICT = "conflict"
    BLOCKED = "blocked"  # by branch protection, a missing approval, a check, or because it is a draft
    UNKNOWN = "unknown"  # not computed yet, or not told by a list


class ItemKind(StrEnum):
    COMMENT = "comment"  # on the whole
    LINE = "line"  # on a line of a file
    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    REVIEWED = "reviewed"  # a review with words and no verdict
    DISMISSED = "dismissed"  # a verdict that was taken back, or has gone stale


class CheckStatus(StrEnum):
    PENDING = "pending"
    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


class Permission(StrEnum):
    """What somebody may do in a repository, as the forge says."""

    NONE = "none"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    @property
    def can_write(self) -> bool:
        return self in (Permission.WRITE, Permission.ADMIN)


class Account(Value):
    """A user of the forge. `bot`: the forge says that it is a program."""

    login: str
    bot: bool = False


class ReviewRequest(Value):
    """A pull request that is wanted. `branch` is in the repository itself and has been pushed; `base` is a branch."""

    branch: str
    base: str
    title: str
    body: str = ""
    draft: bool = True


class Review(Value):
    """A pull request as the forge shows it."""

    number: int
    url: str  # for people
    title: str
    body: str
    author: Account
    status: ReviewStatus
    draft: bool
    branch: str
    head: str  # commit
    base: str  # branch
    fork: bool  # the branch is in another repository
    mergeable: Mergeable = Mergeable.UNKNOWN
    landed: str | None = None  # the commit that the forge says has brought it
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()  # who is asked and has not answered yet
    assignees: tuple[str, ...] = ()
    created: datetime
    updated: datetime


class ReviewItem(Value):
    """One thing that somebody said. `id` is unique in the repository and does not change when the text does."""

    id: str
    kind: ItemKind
    author: Account
    body: str
    at: datetime  # first said
    updated: datetime
    path: str | None = None
    line: int | None = None  # of the new file; of the old one where the line was removed
    commit: str | None = None  # what was looked at
    reply_to: str | None = None  # id of the item that it answers
    thread: str | None = None  # where `reply` puts an answer beneath it; None: the forge takes none there
    resolved: bool = False  # a person has marked the thread as settled; GitHub's REST does not tell
    url: str = ""


class Check(Value):
    """What a program says of a commit: a commit status, or a check run. `name` tells them apart."""

    name: str
    status: CheckStatus
    summary: str = ""
    url: str = ""


class RateState(Value):
    """How much the forge still lets one ask. None: it has not told. `blocked_until`: no request is sent before."""

    limit: int | None = None
    remaining: int | None = None
    resets: datetime | None = None
    blocked_until: datetime | None = None
    requests: int = 0  # answered since this client was made
    unchanged: int = 0  # of these, with 304
