"""What is kept: main's trees and history, the committer, the working tree that is shared with people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from hqd.model.change import Act, Entry, Transition, WorkingTree
from hqd.model.corpus import Corpus, Past, PastEvent
from hqd.model.record import Record


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
