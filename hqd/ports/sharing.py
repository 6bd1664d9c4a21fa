"""Where work meets people and other copies: branches, reviews, forges, remotes, notifications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from hqd.model.gate import Changed, Files
from hqd.model.opening import Opening
from hqd.model.record import Person, ReviewState
from hqd.model.remote import Pushed, RefUpdate
from hqd.model.review import Check, MergeStyle, Permission, RateState, Review, ReviewItem, ReviewRequest


class Branches(Protocol):
    """Task branches, reviews and landing: git's side of a pull request."""

    def main(self) -> str | None:
        """The commit that work lands on; of a target repository as last fetched. None: there is none yet."""

    def point(self, task: str, head: str, expected: str | None = None) -> None:
        """Sets hqd/TASK and refs/hqd/review/TASK to `head`, whose objects are here already. Durable.

        `expected`: the tip that the caller built on; None: what hqd set last. Raises BranchMoved where a person
        has put the branch elsewhere, RepositoryBusy("branch") where it is checked out, Expected where git
        refuses the name (a branch `hqd`).
        """

    def tip(self, task: str) -> str | None:
        """The commit of branch hqd/TASK; None where there is no such branch."""

    def kept(self, task: str) -> str | None:
        """The commit that hqd itself set the branch to last (refs/hqd/review/TASK); None where it never did."""

    def commit_files(
        self, task: str, base: str, files: Mapping[str, bytes], message: str, overwrite: bool = False
    ) -> str:
        """A commit (`Hqd-Work: TASK`) on top of `base` that writes `files`, made without a working copy; its id.

        The branch is not moved. Raises Expected for a path that is protected, leads outside, is spelled like
        another, goes through a link, or that others wrote (on main, and not by this task) without `overwrite`.
        """

    def changed(self, base: str, head: str) -> tuple[Changed, ...]:
        """The files in which `head` differs from `base`, by path, renames found."""

    def diff(self, base: str, head: str, limit: int) -> tuple[str, bool]:
        """The difference as text, at most `limit` bytes, cut at a line; and whether it was cut."""

    def files(self, commit: str) -> Files:
        """The regular files of a commit."""

    def landed(
        self, reviews: Mapping[str, tuple[str, str]], since: str | None = None, until: str | None = None
    ) -> Mapping[str, str]:
        """Which reviews have landed on main: task -> (base, head) in, task -> landing commit out.

        `base`: main's commit when the review's work began. `since`: main was searched up to there for these very
        heads; None: go on where the last call ended for the same head, at first from its base. `until`: the tip
        of main to look at; None: the present one. Heads that are not here, and those without work, never land.
        """

    def drift(self, head: str, since: str, until: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """How main has moved for a review: (commits after `since` beside workspace/ that touch the branch's paths,
        oldest first; paths in conflict with main)."""

    def staged(self) -> tuple[str, ...]:
        """Paths beside workspace/ that a person has staged in the HQ's own checkout."""

    def merge(self, task: str, head: str, onto: str) -> tuple[tuple[str, str, str | None], ...]:
        """What merging `head` would change on `onto`: (mode, object id or empty for deleted, path). Raises Conflict.

        Raises Expected where the branch touches workspace/. The objects are here and fsynced afterwards.
        """

    def join(self, task: str, head: str, onto: str, message: str, author: Person | None = None) -> str:
        """A merge commit of `head` into `onto`, durable, named by no branch yet. Raises as `merge` does."""

    def remove(self, task: str, proven_in: str) -> bool:
        """Deletes hqd/TASK if its tip is reachable from, or its work is contained in, `proven_in`.

        Also where `proven_in` carries the task's `Hqd-Work` trailer and the tip is what hqd set. False: it stays
        (not proven, or checked out). refs/hqd/review/TASK stays always. True also where it is gone already.
        """


class Forge(Protocol):
    """Where people review the work of one repository: `local`, or a server. Called from worker threads."""

    @property
    def server(self) -> RemoteForge | None:
        """The repository on its server; None: `local`, where people decide by words and by git."""

    def open(self, wanted: Opening) -> ReviewState:
        """Opens the pull request of a task's accepted work, or brings the one that is there up to date.

        May be called again after a crash at any moment: it looks first what is there. Raises Temporary (try again),
        BranchMoved (a person's commits and the work went different ways), ForgeRefused, RemoteRefused or Expected.
        """


class RemoteForge(Protocol):
    """A forge with a server: one repository on it. Called from worker threads, by several at once.

    Every method may raise ForgeUnavailable (later, perhaps) and ForgeRefused (not like this). Every method may be
    called again after a crash: what creates something looks first whether it is there.
    """

    def login(self) -> str:
        """Whose the token is: what this account said is hqd's own."""

    def open_review(self, wanted: ReviewRequest) -> Review:
        """Opens a pull request, or gives the one that is open for this branch already, as it is."""

    def find_review(self, branch: str) -> Review | None:
        """The open pull request from this branch of the repository itself, else the newest one; never a fork's."""

    def review(self, number: int) -> Review: ...

    def changed_reviews(self, since: datetime | None) -> tuple[Review, ...]:
        """Repository-wide, in any state, that changed at `since` or later, newest first; None: all that are open.

        Lists tell less: `mergeable` may be unknown. Forges' times are whole seconds: ask again from the newest
        `updated` seen, and know what was seen by it.
        """

    def update_review(
        self, number: int, *, title: str | None = None, body: str | None = None, draft: bool | None = None
    ) -> Review:
        """Changes what is given; `draft=False` marks it as ready for review."""

    def assign(
        self,
        number: int,
        *,
        labels: Sequence[str] = (),
        without: Sequence[str] = (),
        reviewers: Sequence[str] = (),
        assignees: Sequence[str] = (),
    ) -> None:
        """Adds labels, takes away those of `without`, asks reviewers, adds assignees; other people's stay.

        A reviewer `ORG/TEAM` is a team, where the forge has such.
        """

    def comment(self, number: int, marker: str, body: str) -> str:
        """The id of the one comment of hqd's own that bears `marker`: edited if it is there and differs, else added."""

    def reply(self, number: int, thread: str, marker: str, body: str) -> str:
        """The id of hqd's own answer with `marker` beneath what people said: `ReviewItem.thread`. Never said twice."""

    def items(self, number: int, since: datetime | None = None) -> tuple[ReviewItem, ...]:
        """What people (and programs) said, oldest first; with `since`: said or changed at that time or later."""

    def checks(self, commit: str) -> tuple[Check, ...]:
        """The newest word of each check on a commit, by name."""

    def report(self, commit: str, checks: Sequence[Check]) -> None:
        """Sets checks on a commit, one for each name; the newest counts."""

    def permission(self, login: str) -> Permission:
        """What a user may do here; NONE also for one whom the forge does not know."""

    def merge(self, number: int, head: str, style: MergeStyle, message: str = "") -> str:
        """Merges if the tip still is `head`; the commit that brought it. Already merged: that commit.

        Raises ForgeRefused with cause head_moved, conflict, blocked, closed or unsupported.
        """

    def close(self, number: int) -> Review: ...

    def reopen(self, number: int) -> Review: ...

    def delete_branch(self, branch: str, head: str) -> bool:
        """Deletes a branch whose tip is `head`; True also where it is gone. False: it is elsewhere, and stays."""

    def rate(self) -> RateState:
        """What is known of the forge's limits, without asking."""


class Remote(Protocol):
    """Another copy of a repository: origin of the HQ, or where a target repository lives. Called from any thread.

    Every method may raise RemoteUnavailable (later, perhaps) and RemoteRefused (not like this).
    """

    @property
    def url(self) -> str:
        """For people: without user, password or token."""

    def fetch(self) -> Mapping[str, str]:
        """Brings the objects of all branches here; full ref name on the remote -> commit. Moves no local branch."""

    def push(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        """Sets refs on the remote, each by compare-and-swap; one answer for each, in order."""


class Target(Remote, Protocol):
    """Where a target repository lives. Fetches and pushes also move the refs of its mirror, which `Branches` reads."""

    @property
    def main(self) -> str:
        """The full name of the branch that work lands on."""

    def there(self, task: str) -> str | None:
        """The tip of hqd/TASK as the remote was last known to have it."""

    def unfilled(self) -> tuple[str, ...]:
        """What main holds pointers to only, and copies stay without: submodules, files of git LFS; in words."""


class Notifier(Protocol):
    """Tells people by command or webhook. Never raises, never blocks the loop."""

    def tell(self, kind: str, facts: Mapping[str, object]) -> None:
        """`kind`: blocked, review, ask, hold, lifted, done, dropped. `facts`: task, reason, missing, …"""
