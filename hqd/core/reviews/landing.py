"""Has a branch's work reached main? The decisions; git's side is in `adapters/branches`.

Three kinds of evidence, in this order (design section 8):

1. The branch's tip is reachable from main: a merge commit or a fast-forward.
2. A commit of main holds the work and its first parent does not: a squash or a rebase, also one that was edited
   or that stands on changes near by. File ids decide where they can; where both sides changed the same file,
   git is asked: merging the tip into a commit that holds the work changes nothing.
3. A commit of main carries the branch's `Hqd-Work` trailer: a squash whose conflicts a person resolved.

An empty difference is no work, so it never lands. What a file is at a commit is a `Leaf`; None: not there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

Leaf = tuple[str, str]
"""Mode and object id of a file."""

_TRAILER = re.compile(r"^[ \t]*Hqd-Work:[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_TASK = re.compile(r"^Hqd-Task:[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_EVENT = re.compile(r"^Hqd-Event:", re.MULTILINE)
_REVERT = re.compile(r"^(Revert \"|This reverts commit )", re.MULTILINE)
_PICKED = re.compile(r"^\(cherry picked from commit [0-9a-f]+\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Edit:
    """One file of a difference: what it was and what it became."""

    before: Leaf | None
    after: Leaf | None


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of main's first-parent line that touches anything outside workspace/."""

    commit: str
    parent: str | None
    message: str
    edits: Mapping[str, Edit]


@dataclass(frozen=True, slots=True)
class Branch:
    """A task's branch as it stands against main.

    `work` is the difference from its fork point to its tip; `start` what the work's files are at the commit
    before the first step walked; `messages` are those of its commits, newest first.
    """

    task: str
    head: str
    work: Mapping[str, Edit]
    start: Mapping[str, Leaf | None]
    messages: tuple[str, ...] = ()


class Holds(Enum):
    """Whether a commit holds a branch's work, as far as file ids tell."""

    YES = "yes"
    NO = "no"
    ASK = "ask"  # both sides changed a file: only a merge can tell


@dataclass(frozen=True, slots=True)
class Suspect:
    """A commit of main that may have landed a branch: it may hold the work, and its parent may not."""

    step: Step
    before: Holds
    after: Holds


def holds(work: Mapping[str, Edit], files: Mapping[str, Leaf | None]) -> Holds:
    """Whether a commit in which the work's paths are `files` holds the work.

    A path that is still as it was at the fork point lacks the work: a merge would bring it. Where every path
    is as the branch left it, all of the work is there.
    """
    if not work or any(files[path] == edit.before for path, edit in work.items()):
        return Holds.NO
    if all(files[path] == edit.after for path, edit in work.items()):
        return Holds.YES
    return Holds.ASK


def suspects(branch: Branch, steps: Iterable[Step]) -> Iterator[Suspect]:
    """The commits that may have landed `branch`, oldest first.

    Only commits that touch the work's paths count, and, once one of these files is gone from main (it may have
    been renamed there), all that follow.
    """
    files = dict(branch.start)
    before = holds(branch.work, files)
    for step in steps:
        strayed = any(files[path] is None and edit.before is not None for path, edit in branch.work.items())
        touched = branch.work.keys() & step.edits.keys()
        if not touched and not strayed:
            continue
        files |= {path: step.edits[path].after for path in touched}
        after = holds(branch.work, files)
        if after is not Holds.NO and before is not Holds.YES:
            yield Suspect(step, before, after)
        before = after


def works(message: str) -> frozenset[str]:
    """The tasks whose work a commit says it carries (`Hqd-Work: TASK`), also where a squash indented the lines.

    A commit with `Hqd-Event` changes state and a revert takes work away: neither carries any.
    """
    if _EVENT.search(message) or _REVERT.search(message):
        return frozenset()
    return frozenset(_TRAILER.findall(message))


def wrote(message: str, task: str) -> bool:
    """Whether a commit is this task's doing: its work, or hqd's landing of it."""
    return task in works(message) or task in _TASK.findall(message)


def signed(branch: Branch, steps: Iterable[Step]) -> Iterator[Step]:
    """Commits of main that carry the branch's trailer, newest first.

    Not one that is a copy of some commit of the branch below its tip: that is a part picked early.
    """
    tip, *parts = [_plain(message) for message in branch.messages] or [""]
    for step in reversed(list(steps)):
        message = _plain(step.message)
        if branch.task in works(step.message) and (message == tip or message not in parts):
            yield step


def _plain(message: str) -> str:
    return _PICKED.sub("", message).strip()


def moved(paths: Collection[str], steps: Iterable[Step]) -> tuple[str, ...]:
    """The commits outside workspace/ that touch a branch's paths: for its review, main has moved."""
    return tuple(step.commit for step in steps if not step.edits.keys().isdisjoint(paths))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one open review at `now`.

    `head` is the tip under review, `tip` the branch's present one (None: the branch is gone), `gone_since` when
    it was first seen to be gone, `staged` whether a person has anything outside workspace/ staged, or is in the
    middle of a merge: a squash on its way looks like that.
    """

    head: str
    tip: str | None
    landed: str | None
    now: datetime
    grace: timedelta
    gone_since: datetime | None = None
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Landed:
    """The work is on main since `commit`. Overrides everything, a rejection too."""

    commit: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to decide. `gone_since`: keep this with the review; `until`: when to look again (None: any time)."""

    gone_since: datetime | None = None
    until: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """The branch vanished, the work did not land, nothing is staged and the grace time is over: rejected."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """A person put other commits on the branch: they are under review now."""

    tip: str


Verdict = Landed | Waiting | Gone | Moved


def verdict(evidence: Evidence) -> Verdict:
    """What an open review has come to (design section 8, "a vanished branch")."""
    if evidence.landed is not None:
        return Landed(evidence.landed)
    if evidence.tip is not None:
        return Waiting() if evidence.tip == evidence.head else Moved(evidence.tip)
    since = evidence.gone_since or evidence.now
    end = since + evidence.grace
    if evidence.now < end:
        return Waiting(since, end, "the branch is gone; it may be on its way to main")
    if evidence.staged:
        return Waiting(since, None, "the branch is gone, and a person has changes staged")
    return Gone(since)
