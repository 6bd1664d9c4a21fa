"""What is asked of another copy of a repository, and what it said: refs by their full names, commits by id."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PushOutcome(StrEnum):
    """What became of one ref of a push (git's porcelain flags, and the remote's ref read again)."""

    DONE = "done"  # it is there now, or was there already
    MOVED = "moved"  # the remote's ref is not what was expected: look, and decide again
    POLICY = "policy"  # the ref is unmoved and the remote says no: protected branch, hook, missing right


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """A ref that is to become `commit` (None: to go away) on the remote, if it still is at `expected`.

    `expected` None with a commit: the ref may be absent, or anything that `commit` descends from; nothing is ever
    forced over what was not expected.
    """

    ref: str
    commit: str | None
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """`found` is the remote's ref after a push that was not done (None: absent, or not known); `message` its words."""

    ref: str
    outcome: PushOutcome
    found: str | None = None
    message: str = ""
