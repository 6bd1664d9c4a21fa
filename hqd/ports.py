"""What the daemon needs of the outside world. Adapters and the fakes in `hqd/testing` fulfil these.

Every port has one contract suite in tests/contract, run over the real thing and the fake.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from hqd.model.attempt import Answer, Question
from hqd.model.change import Act, Entry, Transition, WorkingTree
from hqd.model.corpus import Corpus, Past, PastEvent
from hqd.model.gate import Changed, Files, GateResult, GateSpec, Subject
from hqd.model.opening import Opening
from hqd.model.program import Ran
from hqd.model.record import Person, Record, ReviewState, Work
from hqd.model.remote import Pushed, RefUpdate
from hqd.model.review import Check, MergeStyle, Permission, RateState, Review, ReviewItem, ReviewRequest


class Tree(Protocol):
    """The files of one commit, read from git's objects, never from disk."""

    @property
    def commit(self) -> str: ...

    def read(self, path: str) -> bytes | None:
        """The bytes of a file; None where there is none."""

    def entry(self, path: str) -> Entry | None:
        """Mode and object id of a file or folder; None where there is none."""

    def entries(self, folder: str) -> tuple[Entry, ...]:
        """What a folder holds, not recursively, in git's order; empty where there is none."""


class Ledger(Protocol):
    """The single committer of main."""

    def snapshot(self) -> Tree:
        """The tree of main's tip."""

    def append(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        """Commits the transitions, one commit each in this order, on top of `base`; returns their ids.

        Durable when it returns: the objects are fsynced and main has moved by compare-and-swap. The index
        and the written-out files follow before it returns. All or nothing.
        Raises StaleHead, PathsInUse, RepositoryBusy, CannotCommit; then nothing was changed.
        """


class Checkout(Protocol):
    """The working tree that the daemon shares with people."""

    def look(self) -> WorkingTree:
        """Where the working tree differs from the tree last written out, in the folders hqd cares for."""

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` + 1 bytes of a regular file, links not followed. Raises OSError."""

    def restore(self, acts: Sequence[Act]) -> None:
        """Undoes known differences: makes these paths what main's tree says, if they still are as given."""


class History(Protocol):
    """Reading of git beyond main's tip."""

    def tree(self, revision: str) -> Tree: ...

    def blob(self, object_id: str) -> bytes:
        """Raises KeyError where there is no such blob."""

    def size(self, object_id: str) -> int:
        """Bytes of a blob, without reading it. Raises KeyError where there is no such blob."""

    def lost_records(self, old_tip: str, new_tip: str) -> tuple[str, ...]:
        """Paths of records that `old_tip` has and `new_tip` lacks. Raises KeyError where a commit is gone."""

    def descends(self, old_tip: str, new_tip: str) -> bool:
        """Whether `new_tip` is `old_tip` or has it among its ancestors."""

    def spent_since(self, moment: datetime) -> tuple[float, int]:
        """Dollars and tokens in the trailers of main's commits since `moment`."""

    def messages(self, since: str | None, paths: Sequence[str] = (), limit: int = 0) -> Iterator[tuple[str, str]]:
        """(commit, message) of main's first-parent line, newest first, down to and without `since`."""


class Archive(Protocol):
    """All of an HQ's history, for what measures it. Reads git, keeps an index under .hqd/ that may be thrown away.

    A revision is any name of a commit; None: main. Every method raises KeyError for one that names no commit.
    """

    def past(self, revision: str | None = None) -> Past:
        """Every event and every change of files up to `revision`, in first-parent order."""

    def corpus(self, revision: str | None = None, label_days: float = 14.0) -> Corpus:
        """Every output of a finished attempt up to `revision`, with its label as it was known there.

        Edits and reverts count for `label_days` after the landing.
        """

    def texts(self, blobs: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """(id, content) of each, in any order, each id once; None where it is not here (redacted, shallow)."""

    def record(self, event: PastEvent) -> Record:
        """The whole record, cursor and all. Raises UnreadableRecord, KeyError."""


class Copy(Protocol):
    """A working copy lent to one attempt. Disposable; nothing in it is trusted."""

    @property
    def path(self) -> Path: ...

    @property
    def slot(self) -> int: ...

    def apply(self, patch: bytes) -> None:
        """Lays a failed attempt's patch on top, for a retry to go on from. Raises Expected if it does not fit."""

    def collect(self, message: str) -> Work:
        """Commits the difference to the base inside the copy (`Hqd-Work: TASK`), and brings the objects home."""

    def patch(self, limit: int) -> bytes:
        """The binary patch of base..now, cut off (empty) above `limit` bytes."""


class Copies(Protocol):
    """The pool of working copies outside the HQ."""

    def borrow(self, task: str, repo: str | None, base: str) -> AbstractContextManager[Copy]:
        """A clean copy at commit `base`. Raises Expected (setup failed, no space)."""

    def forget(self, task: str) -> None:
        """The task has ended: what only served to bring its attempts home may go."""


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


class Notifier(Protocol):
    """Tells people by command or webhook. Never raises, never blocks the loop."""

    def tell(self, kind: str, facts: Mapping[str, object]) -> None:
        """`kind`: blocked, review, ask, hold, lifted, done, dropped. `facts`: task, reason, missing, …"""


class Agent(Protocol):
    """A worker of one provider. Called from worker threads; must return soon after `stop` is set."""

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """Never raises for what a provider, a model or a program does: that is an Answer with a failure."""


class Gates(Protocol):
    """The registry of gate kinds with what they need of the outside."""

    def check(self, spec: GateSpec) -> tuple[str, ...]:
        """What is wrong with a gate as written; empty: nothing."""

    def plain(self, spec: GateSpec) -> bool:
        """Whether a gate only looks: it starts no program and asks nobody, nor does any gate in it."""

    def run(self, specs: Sequence[GateSpec], subject: Subject) -> tuple[GateResult, ...]:
        """One result each, cheap ones first in time, in the order given. Never raises for a gate's own fault."""


class Programs(Protocol):
    """The door to processes other than git, as gates need it."""

    def run(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float, stop: threading.Event | None
    ) -> Ran:
        """Runs a program to its end, `timeout` seconds at most, and leaves nothing of it running. Raises Expected."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Work that was accepted: the output of a step of a task in done/, and how well it fits (higher is better)."""

    task: str
    blob: str
    score: float


class Similar(Protocol):
    """Retrieval among accepted work. Called from worker threads."""

    def find(self, tree: Tree, playbook: str, step: str, query: str, most: int) -> tuple[Accepted, ...]:
        """The outputs of `step` in tasks of `playbook` that had ended in done/ by `tree`, best first. Never raises."""


class Secrets(Protocol):
    """Where `secret:NAME` is found."""

    def get(self, name: str) -> str | None: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware datetime, UTC."""
