"""Port Archive: an HQ's history by one walk of main's line, kept in `.hqd/archive.sqlite` and followed from there.

The index is disposable. It is keyed by commits: what main has won since is added; where main does not descend from
what was read (rewritten history), everything is read anew, and a remark says so.
"""

from __future__ import annotations

import contextlib
import gc
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from hqd.adapters.archive import labelled, store
from hqd.adapters.archive.line import LineCommit, changed_files, changes, told, walk
from hqd.adapters.archive.records import Claimed, Fault, Listing, Placed, listing, place, redacted, tell
from hqd.adapters.archive.second import Second
from hqd.adapters.archive.store import Store
from hqd.adapters.archive.streams import Ahead, blobs, fields
from hqd.adapters.disposable import make_folder, remove
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.codec.record import read_record
from hqd.model.corpus import Change, Corpus, Past, PastEvent, Remark
from hqd.model.record import Record

FILE = "archive.sqlite"
Progress = Callable[[str], None]
Read = TypeVar("Read")


def silent(_text: str) -> None:
    """For those who tell nobody."""


class Answers(NamedTuple):
    """What git has said of a stretch of the line, and who helps to read the records."""

    listed: Listing
    second: Second


class GitArchive:
    """One for each call; several processes may share the file. A damaged file is replaced."""

    def __init__(
        self,
        repository: GitRepository,
        progress: Progress = silent,
        file: Path | None = None,
        least: int | None = None,
    ) -> None:
        """`least`: of how many records on a second process reads half of them; None: where it is worth it."""
        self._repo = repository
        self._least = least
        self._progress = progress
        self._fresh: tuple[str, list[PastEvent], list[Change]] | None = None  # read just now, as a whole
        self._file = file or repository.root / layout.CACHE / FILE

    def past(self, revision: str | None = None) -> Past:
        return self._whole(lambda: self._past_of(self._commit(revision)))

    def corpus(self, revision: str | None = None, label_days: float = 14.0) -> Corpus:
        return self._whole(lambda: self._corpus_of(self._commit(revision), label_days))

    def _whole(self, read: Callable[[], Read]) -> Read:
        """Of an index in which a value is damaged nothing is kept."""
        try:
            return read()
        except sqlite3.OperationalError:
            raise  # the disk, not the index
        except sqlite3.DatabaseError:
            remove(self._file)
            return read()

    def both(self, revision: str | None = None, label_days: float = 14.0) -> tuple[Past, Corpus]:
        """`past` and `corpus` of one commit, for the reading of one."""
        return self._whole(lambda: self._both_of(self._commit(revision), label_days))

    def _past_of(self, tip: str) -> Past:
        with no_collection(), self._store(tip) as (kept, last, _second):
            return self._past(kept, tip, last)

    def _corpus_of(self, tip: str, label_days: float) -> Corpus:
        with no_collection(), self._store(tip) as (kept, last, second):
            return self._kept_corpus(kept, tip, label_days) or self._labelled(
                kept, self._past(kept, tip, last), label_days, second
            )

    def _both_of(self, tip: str, label_days: float) -> tuple[Past, Corpus]:
        with no_collection(), self._store(tip) as (kept, last, second):
            past = self._past(kept, tip, last)
            return past, self._kept_corpus(kept, tip, label_days) or self._labelled(kept, past, label_days, second)

    def _kept_corpus(self, kept: Store, tip: str, label_days: float) -> Corpus | None:
        found = kept.corpus(tip, label_days)
        return Corpus(tip, kept.order_of(tip) or 0, found[0], tuple(kept.remarks()), found[1]) if found else None

    def _labelled(self, kept: Store, past: Past, label_days: float, second: Second) -> Corpus:
        self._progress("labels")
        other = second if second.tip == past.tip else None
        cases, facts = labelled.cases(self._repo.git, past, kept.tasks(), label_days, other)
        kept.keep_corpus(past.tip, label_days, cases, facts)
        return Corpus(past.tip, past.last, cases, tuple(kept.remarks()), facts)

    def texts(self, blob_ids: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        return blobs(self._repo.git, list(dict.fromkeys(blob_ids)))

    def record(self, event: PastEvent) -> Record:
        return read_record(self._repo.objects.blob(event.record_blob), event.record)

    def task_files(self, revision: str | None = None) -> dict[str, str]:
        """Task -> blob of its file, as far as main has come."""
        with self._store(self._commit(revision)) as (kept, _last, _second):
            return kept.tasks()

    def verdicts(self, gate: str) -> dict[str, str]:
        """What a gate (by the hash of all that it says) said of blobs before."""
        return self._whole(lambda: self._verdicts_of(gate))

    def _verdicts_of(self, gate: str) -> dict[str, str]:
        with self._opened() as kept:
            return kept.verdicts(gate)

    def keep_verdicts(self, gate: str, found: Sequence[tuple[str, str]]) -> None:
        with self._opened() as kept:
            kept.keep_verdicts(gate, found)

    def _past(self, kept: Store, tip: str, last: int) -> Past:
        fresh, self._fresh = self._fresh, None
        found, changed = fresh[1:] if fresh is not None and fresh[0] == tip else (kept.events(last), kept.changes(last))
        return Past(tip, found, changed, tuple(kept.remarks()), last)

    def _commit(self, revision: str | None) -> str:
        if revision is None:
            return self._repo.tip()
        if revision.startswith("-"):
            raise KeyError(revision)
        asked = self._repo.git.quick("rev-parse", "--verify", "-q", f"{revision}^{{commit}}", codes=(0, 1, 128))
        if not asked.text:
            raise KeyError(revision)
        return asked.text

    @contextlib.contextmanager
    def _store(self, tip: str) -> Iterator[tuple[Store, int, Second]]:
        """The store with all of the line up to `tip`, the order of `tip`, and the second process, which may have half
        of what was read just now."""
        with Second(self._repo.git, self._least) as second:
            with self._opened() as kept:
                last = kept.order_of(tip)
                if last is None:
                    main = self._repo.tip()
                    self._follow(kept, main, second)
                    last = kept.order_of(tip)
                if last is not None:
                    yield kept, last, second
                    return
            with store.opened(None) as aside:  # no commit of main's line: read for this once
                self._follow(aside, tip, second)
                yield aside, aside.order_of(tip) or 0, second

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Store]:
        with contextlib.ExitStack() as stack:
            try:
                make_folder(self._file.parent)
                found = stack.enter_context(store.opened(self._file))
            except sqlite3.OperationalError:
                found = stack.enter_context(store.opened(None))  # locked for too long, read-only, disk full
            except sqlite3.DatabaseError:
                remove(self._file)
                found = stack.enter_context(store.opened(self._file))
            except OSError:
                found = stack.enter_context(store.opened(None))
            yield found

    def _follow(self, kept: Store, tip: str, second: Second) -> None:
        known = kept.tip()
        self._progress("history")
        if known is not None and self._here(known[0]) and self._read(kept, tip, known, second):
            return
        kept.forget()
        self._read(kept, tip, None, second)
        if known is not None:
            message = f"main does not descend from {known[0][:12]}, up to which it was read: read anew"
            kept.add_remarks([Remark("rewritten", message, known[0])])

    def _read(self, kept: Store, tip: str, known: tuple[str, int] | None, second: Second) -> bool:
        """Reads what came after `known`, or everything; False: `tip` does not descend from it. Git answers to several
        questions at once, while the answers before are read."""
        git, since = self._repo.git, known[0] if known else None
        with Ahead(lambda cut: told(git, tip, since, cut)) as line:
            if since is not None and not self._continues(line, since):
                return False
            listed = listing(git, tip, since)
            self._progress(f"{len(listed.records)} records")
            if since is None:
                second.prepare(len(listed.records))
            commits = walk(line.all())
            self._add(kept, tip, known, commits, Answers(listed, second))
        return True

    def _continues(self, line: Ahead, since: str) -> bool:
        commits = walk(line.all())
        return not commits or commits[0].parent == since

    def _here(self, commit: str) -> bool:
        return self._repo.objects.find(f"{commit}^{{commit}}") is not None

    def _add(
        self, kept: Store, tip: str, known: tuple[str, int] | None, commits: list[LineCommit], said: Answers
    ) -> None:
        git, since, first = self._repo.git, known[0] if known else None, known[1] + 1 if known else 0
        listed = said.listed
        orders = {commit.id: order for order, commit in enumerate(commits, first)}
        mended = kept.places([file.path for file in listed.records]) if known is not None else {}
        if known is not None:
            kept.remove_records([*mended, *listed.gone])
        new = [file for file in listed.records if file.path not in mended]
        placed, remarks, doubted = place(git, new, commits, first, tip, since)
        for file in listed.records:
            if file.path in mended:
                order, commit = mended[file.path]
                placed.append(Placed(order, commit, *file))
        # What hqd has committed with its record touches workspace/ only; that is nearly all of a long history.
        others = [each for each in commits if each.event is None or each.task is None or each.task in doubted]
        with Ahead(lambda cut: changed_files(git, others, cut)) as beside:
            kept.add_line(first, [commit.id for commit in commits])
            found, faults = self._told(kept, placed, tip, said.second if known is None else None)
            remarks += [Remark(each.code, each.message, each.path) for each in sorted(faults)]
            changed = changes(beside.all(), orders, commits)
        kept.add_changes(changed)
        self._fresh = (tip, found, changed) if known is None else None
        kept.add_tasks(self._task_files(tip, since))
        remarks += redacted(found, listed, whole=known is None)
        if known is not None:
            remarks += redacted(kept.of_outputs(list(listed.others)), listed, whole=False)
        else:
            remarks += self._shallow(commits)
        kept.add_remarks(dict.fromkeys(remarks))

    def _told(
        self, kept: Store, placed: list[Placed], tip: str, second: Second | None
    ) -> tuple[list[PastEvent], list[Fault]]:
        """What these records say, in the line's order, put into the store. `second` helps with all there are; None:
        these come after others."""
        if second is not None:
            read = second.read(placed, tip)
            kept.put_events(read.packed)
            read.rows.sort(key=itemgetter(0))  # of one commit: by task and number
            return list(map(PastEvent._make, read.rows)), read.faults
        open_claims = kept.claims({each.task for each in placed})
        claims = {(task, step, n): Claimed(playbook, pin) for task, step, n, playbook, pin in open_claims}
        rows, faults = tell(self._repo.git, placed, claims)
        kept.add_events(rows)
        return sorted(PastEvent._make(row) for each in rows.values() for row in each), faults

    def _task_files(self, tip: str, since: str | None) -> Iterator[tuple[str, str]]:
        """(task, blob of its file) of all tasks, or of those whose file came or went somewhere since."""
        states = [folder for folder in layout.STATE_FOLDERS.values() if folder != layout.INBOX]
        if since is None:
            pairs = _there(fields(self._repo.git, "ls-tree", "-r", "-z", "--full-tree", tip, "--", *states))
        else:
            pairs = _came(fields(self._repo.git, "diff-tree", "-r", "-z", "--no-renames", since, tip, "--", *states))
        for path, blob in pairs:
            where = layout.locate(path.decode("utf-8", "surrogateescape"))
            if where is not None:
                yield where[1], blob.decode()

    def _shallow(self, commits: Sequence[LineCommit]) -> list[Remark]:
        if not (self._repo.common_dir / "shallow").exists() or not commits:
            return []
        message = (
            f"a shallow clone: history begins at {commits[0].id[:12]}; what was recorded before counts as if it had "
            "come with that commit, and reverts and edits before it are not seen (`git fetch --unshallow`)"
        )
        return [Remark("shallow", message, commits[0].id)]


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """No search for cycles while a million small values are made, of which none is in one: a third of the time. For
    commands, which end soon: what was made within is never searched."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.freeze()
            gc.enable()


def _there(rows: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for row in rows:
        head, _, path = row.partition(b"\t")
        yield path, head.rsplit(b" ", 1)[1]


def _came(parts: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for head in parts:
        path = next(parts, b"")
        words = head.split(b" ")
        if not words[4].startswith(b"D"):
            yield path, words[3]


__all__ = ["FILE", "GitArchive", "no_collection"]
