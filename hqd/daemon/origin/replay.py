"""Deciding again: hqd's own unpushed transitions, tried anew on what origin has by now.

Trees are never re-applied: each event goes through `evolve` on the task as it is there, and becomes a record of its
own, with the next number. What no longer fits (the task was moved, ended, edited or worked on there) is left out, and
said. Nothing here moves main: the caller does, once, when all of it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hqd.codec import layout
from hqd.codec.message import trailers
from hqd.codec.record import read_record
from hqd.core.batch import blob_id
from hqd.daemon.batch import Batch
from hqd.daemon.book import Book, new_task
from hqd.daemon.origin.mainline import Mainline
from hqd.errors import Conflict, HqdError
from hqd.model.board import Task
from hqd.model.change import Transition
from hqd.model.record import Event, EventKind, Record
from hqd.model.upstream import Unpushed
from hqd.ports import History, Tree

Content = tuple[str, str] | None
_PATHS = ("prompt", "raw", "output", "manifest")


@dataclass(slots=True)
class Replayed:
    """`tip`: what main is to become. `moved`: commits of the old line -> what they are now; `bases`: the same for
    commits that work was begun on; `left`: one line for each transition that was left out; `heads`: task -> the
    commit that its branch is to be at."""

    tip: str
    moved: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)


class Unfit(Exception):
    """Why a transition is left out, in words for people."""


class Replay:
    """One replay of `commits` (oldest first; the last one is `old`), which follow `since`, onto `onto`."""

    def __init__(self, line: Mainline, history: History, host: str, since: str, onto: str, old: str) -> None:
        self._line, self._history = line, history
        self._since, self._old = since, old
        self._book = Book()
        self._was = dict(self._book.read(history.tree(since)).tasks)
        self._tree: Tree = history.tree(onto)
        self._tasks = dict(self._book.read(self._tree).tasks)
        self._next = ""
        self._batch = Batch(host, lambda _task, _event: self._next, self._output)
        self._host = host
        self._waiting: list[str] = []  # commits of the old line, one for each transition of the batch
        self._taken: set[str] = set()  # paths that this batch has taken away
        self.found = Replayed(onto)

    def run(self, commits: Sequence[Unpushed]) -> Replayed:
        """Raises CannotCommit; nothing is lost then, and nothing was moved."""
        for each in commits:
            try:
                self._one(each)
            except Unfit as why:
                self.found.left.append(f"{each.message.splitlines()[0][:120]}: {why}")
                self._flush()
                self.found.moved[each.commit] = self.found.tip
        self._flush()
        return self.found

    def carry(self, event: Event) -> Event:
        """An event whose commits are of the old line, with what they have become. Raises Unfit for a conflict."""
        changed: dict[str, object] = {}
        if event.snapshot in self.found.moved:
            changed["snapshot"] = self.found.moved[event.snapshot]
        if event.landed in self.found.moved:
            changed["landed"] = self.found.moved[event.landed]
        if event.work is not None and event.work.base in self.found.moved:
            head = self._head(event.work.head)
            changed["work"] = event.work.model_copy(update={"base": self._base(event.work.base), "head": head})
        elif event.work is not None and event.work.head is not None:
            changed["work"] = event.work.model_copy(update={"head": self._head(event.work.head)})
        if event.review is not None:
            base, head = self._base(event.review.base), self._head(event.review.head)
            changed["review"] = event.review.model_copy(update={"base": base, "head": head})
        return event.model_copy(update=changed) if changed else event

    # -- one commit ---------------------------------------------------------------------------------------------

    def _one(self, each: Unpushed) -> None:
        said = trailers(each.message)
        task, kind = said.get("Hqd-Task"), said.get("Hqd-Event")
        self._next = each.message.splitlines()[0].rpartition(" -> ")[2]
        if task is not None and kind is not None:
            self._event(each, task)
        elif len(each.parents) > 1:
            self._landing(each, said.get("Hqd-Work", ""))
        else:
            self._plain(each)

    def _event(self, each: Unpushed, task_id: str) -> None:
        files = {path: after for path, _before, after in each.changes if after is not None}
        record, place = self._record(files, task_id)
        was = self._was.get(task_id)
        body = self._body(each, task_id, record, was)
        self._remember(task_id, record, files, body)
        now = self._tasks.get(task_id)
        if record.event is EventKind.ACCEPTED:
            now = self._arriving(task_id, record, body)
        if now is None:
            raise Unfit("it has ended there, or is gone")
        _check(record, was, now)
        if record.snapshot in self._waiting or record.landed in self._waiting:
            self._flush()
        event = self.carry(_renumbered(record, task_id, now.n + 1))
        source = self._source(record, each) if record.event is EventKind.ACCEPTED else None
        try:
            after = self._batch.task(
                now,
                event,
                files=self._beside(files, task_id, record.n, place),
                body=body,
                source=source,
                author=each.author,
                extra=self._extra(each, task_id, place),
            )
        except HqdError as fault:
            raise Unfit(str(fault)) from fault
        self._waiting.append(each.commit)
        if after.state.open:
            self._tasks[task_id] = after
        else:
            self._tasks.pop(task_id, None)
        if after.cursor.head is not None and after.cursor.head != record.cursor.head:
            self.found.heads[task_id] = after.cursor.head

    def _record(self, files: Mapping[str, Content], task_id: str) -> tuple[Record, str]:
        folder = layout.runs_folder(task_id) + "/"
        for path, content in files.items():
            name = path.removeprefix(folder)
            if path.startswith(folder) and layout.record_number(name) is not None and content is not None:
                return read_record(self._history.blob(content[1]), path), path
        raise Unfit("it has no record")

    def _remember(self, task_id: str, record: Record, files: Mapping[str, Content], body: bytes | None) -> None:
        """The task as the old line has it after this record: what the next one is measured against."""
        was = self._was.get(task_id)
        blob = next((c[1] for path, c in files.items() if c is not None and _is_task(path, task_id)), None)
        if was is None:
            was = self._fresh(task_id, record, body)
        self._was[task_id] = was.changed(state=record.to, cursor=record.cursor, n=record.n, blob=blob or was.blob)

    def _arriving(self, task_id: str, record: Record, body: bytes | None) -> Task:
        if task_id in self._tasks or self._tree.entry(layout.runs_folder(task_id)) is not None:
            raise Unfit("it is there already")
        known = next((task for task in self._tasks.values() if task.cursor.source == record.source), None)
        if known is not None and record.source:
            raise Unfit(f"{record.source} was accepted there, as {known.id}")
        return self._fresh(task_id, record, body)

    def _fresh(self, task_id: str, record: Record, body: bytes | None) -> Task:
        data = body or b""
        document, _faults = self._book.document(f"{task_id}.md", data, blob_id(data))
        return new_task(task_id, document, blob_id(data), record.source)

    def _body(self, each: Unpushed, task_id: str, record: Record, was: Task | None) -> bytes | None:
        """The task file's new content; None where the commit did not change it."""
        found = [after for path, _before, after in each.changes if after is not None and _is_task(path, task_id)]
        if not found or (was is not None and found[0][1] == was.blob):
            return None
        now = self._tasks.get(task_id)
        if was is not None and now is not None and now.blob not in (was.blob, found[0][1]):
            raise Unfit("its text was edited there")
        return self._history.blob(found[0][1])

    def _beside(self, files: Mapping[str, Content], task_id: str, n: int, record: str) -> dict[str, bytes]:
        start = layout.beside(task_id, n, "")
        return {
            path.removeprefix(start): self._history.blob(content[1])
            for path, content in files.items()
            if path.startswith(start) and path != record and content is not None
        }

    def _extra(self, each: Unpushed, task_id: str, record: str) -> tuple[tuple[str, bytes], ...]:
        """What else the commit writes: decisions, kept folders. Written only where nobody else did."""
        own = (layout.runs_folder(task_id) + "/", layout.note_path(task_id))
        found = []
        for path, before, after in each.changes:
            if path.startswith(own) or _is_task(path, task_id) or path.endswith(f"/{task_id}.result.md"):
                continue
            if after is not None and self._content(path) in (before, after):
                found.append((path, self._history.blob(after[1])))
        return tuple(found)

    def _source(self, record: Record, each: Unpushed) -> str:
        """The inbox file that goes as its task comes; empty: main has none there, or another text by now."""
        path = record.source or ""
        gone = next((before for name, before, after in each.changes if name == path and after is None), None)
        if gone is None or path in self._taken or self._content(path) != gone:
            return ""
        self._taken.add(path)
        return path

    def _landing(self, each: Unpushed, task_id: str) -> None:
        """hqd's own merge of accepted work: merged again."""
        self._flush()
        head = self._head(each.parents[1]) or each.parents[1]
        try:
            changes = self._line.merged(self.found.tip, head)
        except Conflict as fault:
            raise Unfit(fault.message) from fault
        state = [path for _mode, _blob, path in changes if path.startswith(f"{layout.WORKSPACE}/")]
        if state:
            raise Unfit(f"its branch would change {state[0]}")
        self._put(each, changes, merge=head)

    def _plain(self, each: Unpushed) -> None:
        """A pause, a hold, a schedule's mark, saved rules: the same files, if they are there as they were here."""
        self._flush()
        for path, before, after in each.changes:
            if self._content(path) not in (before, after):
                raise Unfit(f"{path} was changed there")
        changes = [(after[0], after[1], path) if after else ("000000", "", path) for path, _was, after in each.changes]
        self._put(each, [row for row in changes if row[1] or self._content(row[2]) is not None])

    def _put(self, each: Unpushed, changes: Sequence[tuple[str, str, str]], merge: str | None = None) -> None:
        self._batch.plain(
            Transition(
                message=each.message,
                at=each.at,
                deletes=tuple(path for _mode, blob, path in changes if not blob),
                links=tuple((mode, blob, path) for mode, blob, path in changes if blob),
                merge=merge,
                author=each.author,
            )
        )
        self._waiting.append(each.commit)

    # -- commits and what they become -----------------------------------------------------------------------------

    def _flush(self) -> None:
        """Makes commits of what waits, so that their ids are known."""
        if not self._waiting:
            return
        try:
            ids = self._line.build(self.found.tip, self._batch.transitions)
        except ValueError:
            ids = self._each()
        self.found.moved.update(zip(self._waiting, ids, strict=True))
        self.found.tip = ids[-1]
        self._tree = self._history.tree(self.found.tip)
        self._waiting = []
        self._taken.clear()
        self._batch = Batch(self._host, lambda _task, _event: self._next, self._output)

    def _each(self) -> tuple[str, ...]:
        """One by one, where a file that a transition moves or deletes is not there: that one is left out."""
        ids = []
        for transition in self._batch.transitions:
            try:
                self.found.tip = self._line.build(self.found.tip, [transition])[-1]
            except ValueError as fault:
                self.found.left.append(f"{transition.message.splitlines()[0][:120]}: {fault}")
            ids.append(self.found.tip)
        return tuple(ids)

    def _base(self, base: str) -> str:
        """What work that was begun on `base` is begun on now: the common commit where their files are the same."""
        if base not in self.found.moved:
            return base
        if base not in self.found.bases:
            same = self._line.same_work(base, self._since)
            self.found.bases[base] = self._since if same else self.found.moved[base]
        return self.found.bases[base]

    def _head(self, head: str | None) -> str | None:
        if head is None:
            return None
        if self._waiting:
            self._flush()
        for base in self.found.moved:
            self._base(base)
        if head in self.found.bases:
            return self.found.bases[head]
        grafted = self._line.graft(head, self._old, self.found.bases)
        if grafted is None:
            raise Unfit("its work conflicts with what is there")
        return grafted

    def _content(self, path: str) -> Content:
        entry = self._tree.entry(path)
        return None if entry is None or entry.is_folder else (entry.mode, entry.id)

    def _output(self, task: Task) -> str | None:
        refs = [ref for ref in task.cursor.outputs.values() if not ref.stale]
        return self._history.blob(max(refs, key=lambda ref: ref.n).blob).decode("utf-8", "replace") if refs else None


def _is_task(path: str, task_id: str) -> bool:
    found = layout.locate(path)
    return found is not None and found[1] == task_id


def _renumbered(record: Record, task_id: str, n: int) -> Event:
    """The event of a record, with the paths of the files beside it as they are under another number."""
    event = Event(**{name: getattr(record, name) for name in Event.model_fields})
    old, new = layout.beside(task_id, record.n, ""), layout.beside(task_id, n, "")
    if old == new:
        return event
    changed: dict[str, object] = {
        name: new + path.removeprefix(old)
        for name in _PATHS
        if (path := getattr(event, name)) is not None and path.startswith(old)
    }
    if event.work is not None and event.work.patch is not None:
        changed["work"] = event.work.model_copy(update={"patch": new + event.work.patch.removeprefix(old)})
    return event.model_copy(update=changed)


def _check(record: Record, was: Task | None, now: Task) -> None:
    """Raises Unfit unless the task stands there as it stood here when this happened to it."""
    if record.event is EventKind.ACCEPTED:
        return
    if was is None:
        raise Unfit("it is not known where it came from")
    if now.state is not record.from_:
        raise Unfit(f"it is in {now.state.value}/ there")
    first, second = was.cursor, now.cursor
    if (first.phase, first.step, first.round) != (second.phase, second.step, second.round):
        raise Unfit(f"it stands at {second.step or 'its beginning'} ({second.phase.value}) there")
    mine, theirs = first.claim, second.claim
    if (mine.nonce if mine is not None else None) != (theirs.nonce if theirs is not None else None):
        raise Unfit("another claim holds it there")
