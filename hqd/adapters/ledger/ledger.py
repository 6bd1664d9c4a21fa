"""Port Ledger over git: the single committer of main.

Order of a batch, and what a crash after each step leaves:

1. the pack of its commits on refs/hqd/incoming, fsynced            (unreachable objects: harmless)
2. index.lock; branch, tip, and everything of a person's on its paths are looked at
3. the journal, fsynced                                            (main has not moved: nothing to do)
4. main, by compare-and-swap, fsynced: from here it has happened   (the journal says what is to be written out)
5. index and files, then the index is renamed into place           (the same)
6. the journal is closed, the lock removed
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from hqd.adapters.git import GitFailed
from hqd.adapters.history import GitTree
from hqd.adapters.ledger.direct import DirectWriting, Kept
from hqd.adapters.ledger.fastimport import FastImport
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.adapters.ledger.journal import Move, WrittenOut
from hqd.adapters.ledger.known_trees import known_trees
from hqd.adapters.ledger.moving import Mover, Survey
from hqd.adapters.ledger.recover import Recovery, clear_ref_locks, tree_changes
from hqd.adapters.ledger.refs import RefMover, sync_folder
from hqd.adapters.ledger.writer import Writer
from hqd.codec import layout
from hqd.core.batch import FILE, Change, Content, blob_id, changes
from hqd.errors import CannotCommit, RepositoryBusy, StaleHead, Temporary
from hqd.model.change import Act, Transition

_REF_LOCK_GRACE = 2.0
_FULL = 256 << 10  # bytes left on a disk on which a git call failed without saying why


class GitLedger:
    """`GitLedger(writer)`; `close()` ends its git processes, not the writer.

    Finishes at once what a crash of an earlier hqd cut off; where that cannot be done yet (another branch is
    checked out, the disk is full), every `append` tries again. `left_alone` holds the paths that main changed
    under a person's edit, until somebody has asked for it by `take_left_alone`.
    """

    def __init__(
        self, writer: Writer, *, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._writer = writer
        self._repo = writer.repo
        self._clock = clock
        self._fast = FastImport(self._repo.git, writer.inherited)
        self._refs = RefMover(self._repo.git, writer.inherited)
        self._mover = Mover(writer)
        self._recovery = Recovery(writer, self._mover)
        self._left_alone: dict[str, None] = {}
        self._direct = DirectWriting(writer)
        self._blobs: dict[str, bytes] = {}
        self._opened = time.monotonic()
        self._sleep = sleep
        self._recover()

    def __enter__(self) -> GitLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the git processes. They are started again by the next append."""
        with self._repo.guard:
            self._fast.close()
            self._refs.close()

    @property
    def packs(self) -> int:
        """How many packs this ledger has written."""
        return self._fast.packs

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    def let_packs_go(self) -> None:
        """Ends the pack writer until the next append, so that its packs may be joined. Thread-safe."""
        with self._repo.guard:
            self._fast.close()

    def take_left_alone(self) -> tuple[str, ...]:
        """Paths whose files were left as a person has them although main changed them; asked once."""
        with self._repo.guard:
            paths, self._left_alone = tuple(self._left_alone), {}
        return paths

    def last_seen(self) -> str | None:
        """Main's tip when hqd last saw it and agreed to it; kept in .git/hqd/tip."""
        return self._writer.marks.tip()

    def mark_seen(self, tip: str) -> None:
        """Agrees to a tip that somebody else made."""
        self._writer.marks.set_tip(tip)

    def snapshot(self) -> GitTree:
        return GitTree(self._repo.objects, self._repo.tip())

    def append(
        self,
        base: str,
        transitions: Sequence[Transition],
        permit: Callable[[Sequence[str]], None] = lambda _ids: None,
    ) -> tuple[str, ...]:
        """As the port says. `permit` is asked before main moves, with the ids; what it raises stops the batch."""
        if not transitions:
            return ()
        with self._repo.guard, _disk_faults(self._repo.common_dir):
            self.finish()
            self._check_place(base)
            planned = self._plan(base, transitions)
            acts = tuple(act for transition in transitions for act in transition.acts)
            self._wait_for_index()
            self._mover.survey(planned, acts, self._writer.index())
            ids = self._build(base, transitions, planned)
            permit(ids)
            self._go(Move(base, ids[-1], acts, self._clock(), secrets.token_hex(8)), planned)
        return ids

    def build(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        """The commits of `append`, made on any `base` and durable, while main stays; refs/hqd/incoming holds them.

        The next batch lets go of them: `advance` to the last one, or keep it by a ref.
        """
        with self._repo.guard, _disk_faults(self._repo.common_dir):
            return self._build(base, transitions, self._plan(base, transitions))

    def advance(self, base: str, to: str, seen: str) -> None:
        """Moves main from `base` to the commit `to`, which is here and durable, under the protections of `append`.

        `to` need not descend from `base`. `seen` is what a later start takes as last agreed to: what `to` has beyond
        it is looked at as somebody else's. Raises as `append`; then main is where it was.
        """
        with self._repo.guard, _disk_faults(self._repo.common_dir):
            self.finish()
            self._check_place(base)
            objects = self._repo.objects
            self._blobs = {}
            planned = tuple(tree_changes(objects, objects.root(base), objects.root(to)))
            self._wait_for_index()
            self._mover.survey(planned, (), self._writer.index())
            self._writer.marks.set_tip(seen)
            self._go(Move(base, to, (), self._clock(), secrets.token_hex(8), foreign=True), planned)

    def _go(self, move: Move, planned: Sequence[Change]) -> None:
        """Moves main and writes it out, if nothing has come in the way since it was surveyed."""
        with self._writer.lock() as lock:
            self._check_place(move.old)
            survey = self._mover.survey(planned, move.acts, self._writer.index())
            self._writer.journal.begin(move)
            self._move_main(move)
            self._write_out(move, planned, survey, lock)

    def finish(self) -> None:
        """Finishes a move that was cut off. Raises RepositoryBusy, CannotCommit; nothing to do: nothing happens."""
        with self._repo.guard, _disk_faults(self._repo.common_dir):
            move = self._writer.journal.pending
            if move is None:
                return
            tip = self._repo.tip()
            if tip == move.old or not self._contains(tip, move.new):
                self._writer.journal.end()
                return
            busy = self._repo.occupied()
            if busy is not None:
                raise busy
            with self._writer.lock() as lock:
                lock.keep()
                kept = self._recovery.finish(move, lock)
                self._close_move(move, kept)
                lock.release()

    def _recover(self) -> None:
        """What the ledger does about a crash before its first append."""
        move = self._writer.journal.pending
        if move is not None:
            clear_ref_locks(self._writer, move, _REF_LOCK_GRACE, self._sleep)
        try:
            self.finish()
            if self._writer.previous_boot not in (None, self._writer.boot) and self._repo.occupied() is None:
                self._recovery.after_power_cut((f"{layout.WORKSPACE}/",))
        except (Temporary, CannotCommit, GitFailed):
            return  # the journal stays; append tries again and says what is wrong

    def _check_place(self, base: str) -> None:
        busy = self._repo.occupied()
        if busy is not None:
            raise busy
        tip = self._repo.tip()
        if tip != base:
            raise StaleHead(base, tip)

    def _plan(self, base: str, transitions: Sequence[Transition]) -> tuple[Change, ...]:
        self._blobs = {}
        return changes(GitTree(self._repo.objects, base), transitions, self._identify)

    def _identify(self, data: bytes) -> str:
        oid = blob_id(data, self._repo.object_format)
        self._blobs[oid] = data
        return oid

    def _blob(self, oid: str) -> bytes:
        """The bytes of a blob, those of the batch itself without asking git."""
        return self._blobs[oid] if oid in self._blobs else self._repo.objects.blob(oid)

    def _wait_for_index(self) -> None:
        """Gives way to a git that runs now, before any work is done for nothing."""
        if os.path.lexists(self._repo.git_dir / "index.lock"):
            with self._writer.lock():
                pass

    def _build(self, base: str, transitions: Sequence[Transition], planned: Sequence[Change]) -> tuple[str, ...]:
        runnable = {change.path for change in planned if change.new is not None and change.new[0] != FILE}
        modes = [["100755" if path in runnable else FILE for path, _ in each.writes] for each in transitions]
        ids, root = self._fast.build(base, transitions, modes)
        objects = self._repo.objects
        computed, trees = known_trees(objects, objects.root(base), planned, self._repo.object_format)
        if computed == root:
            objects.learn(ids[-1], root, trees)
        sync_folder(self._repo.common_dir / "objects" / "pack")
        return ids

    def _move_main(self, move: Move) -> None:
        """Returns if main is now `move.new`; whatever git says, the ref is asked."""
        fault: Exception | None = None
        try:
            self._refs.move(self._repo.ref, move.new, move.old)
        except (GitFailed, CannotCommit) as failed:
            fault = failed
        if fault is not None:
            if isinstance(fault, GitFailed) and "fatal:" not in fault.stderr:  # it was killed, and left its locks
                clear_ref_locks(self._writer, move, _REF_LOCK_GRACE, self._sleep)
            tip = self._repo.tip()
            if tip != move.new:
                self._writer.journal.end()
                raise self._refused(move, tip, fault) from fault
        sync_folder((self._repo.common_dir / self._repo.ref).parent)

    def _refused(self, move: Move, tip: str, fault: Exception) -> Exception:
        if tip != move.old:
            return StaleHead(move.old, tip)
        if isinstance(fault, GitFailed) and "File exists" in fault.stderr:
            return RepositoryBusy("ref_lock", fault.message, remedy="if no git runs there, remove the lock file")
        return fault

    def _write_out(self, move: Move, planned: Sequence[Change], survey: Survey, lock: IndexLock) -> None:
        """Index and files. Main has moved: from here nothing may be reported as failed."""
        if not self._repo.on_branch():
            self._writer.journal.end()  # switched away in this very moment: the new branch's files are its own
            return
        lock.keep()
        new: dict[str, Content | None] = {change.path: change.new for change in planned}
        settled = [(act, self._new(new, act, move)) for act in move.acts]
        try:
            tip = GitTree(self._repo.objects, move.new)
            kept = self._direct.write(lock, planned, move.acts, tip, self._blob, lambda: self._mover.settle(settled))
            if kept is None:
                kept = self._by_git(move, survey, settled, lock)
            self._close_move(move, kept)
        except (OSError, CannotCommit, GitFailed):
            return  # the journal and the lock stay until `finish` succeeds
        lock.release()

    def _by_git(
        self, move: Move, survey: Survey, settled: Sequence[tuple[Act, Content | None]], lock: IndexLock
    ) -> Kept:
        try:
            # read-tree refuses a file that main had, that the index lacks by now, and that is to go
            self._mover.settle((act, new) for act, new in settled if new is None)
            self._mover.write(lock, move.old, move.new, survey.settled, survey.refresh)
        except GitFailed:
            return self._recovery.finish(move, lock)
        self._mover.settle((act, new) for act, new in settled if new is not None)
        lock.publish()
        return {}

    def _new(self, new: dict[str, Content | None], act: Act, move: Move) -> Content | None:
        if act.path in new:
            return new[act.path]
        entry = GitTree(self._repo.objects, move.new).entry(act.path)
        return None if entry is None else (entry.mode, entry.id)

    def _close_move(self, move: Move, kept: Kept) -> None:
        """Notes first, the journal last: a crash between them finishes the move once more, which does no harm."""
        self._left_alone.update(dict.fromkeys(kept))
        marks = self._writer.marks
        marks.set_written_out(WrittenOut(move.new, {**marks.written_out().kept, **kept}))
        if not move.foreign:
            marks.set_tip(move.new)
        self._writer.journal.end()

    def _contains(self, tip: str, commit: str) -> bool:
        if tip == commit:
            return True
        return self._repo.git.quick("merge-base", "--is-ancestor", commit, tip, codes=(0, 1, 128)).code == 0


@contextmanager
def _disk_faults(place: Path) -> Iterator[None]:
    """Turns the file system's refusals into CannotCommit, also those that git does not name."""
    try:
        yield
    except GitFailed as fault:
        space = os.statvfs(place)
        if space.f_bavail * space.f_frsize < _FULL or (space.f_files and not space.f_favail):
            raise _full_disk() from fault
        raise
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full_disk() from fault
        if fault.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise CannotCommit(
                "read_only", f"the repository cannot be written: {fault}",
                remedy="make the repository writable for hqd; it goes on by itself",
            ) from fault  # fmt: skip
        raise


def _full_disk() -> CannotCommit:
    return CannotCommit("disk", "the disk is full", remedy="free some space; hqd goes on by itself")
