"""A batch: events become transitions, on a board that runs ahead of main until the ledger has them.

Law: a batch is all or nothing. Until `append` has returned, nothing that it says is true: no work starts, no
person is answered, no notification leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hqd import __version__
from hqd.codec import layout
from hqd.codec.hold import hold_message, write_hold
from hqd.codec.message import message
from hqd.codec.note import write_note, write_result
from hqd.codec.record import write_record
from hqd.core.batch import blob_id
from hqd.core.evolve import evolve
from hqd.model.board import Task
from hqd.model.change import Act, Transition
from hqd.model.record import Event, EventKind, Hold, Person, Record
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Written:
    """One event of a batch, with the task before and after it."""

    before: Task | None
    after: Task | None
    record: Record | None
    event: Event
    hold: Hold | None = None
    place: int = 0  # which of the batch's commits it is


@dataclass(slots=True)
class Batch:
    """Transitions in the making. `files` of an event are the bytes that go beside its record, by role."""

    host: str
    label: Callable[[Task, Event], str]
    text_of: Callable[[Task], str | None]
    transitions: list[Transition] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)
    touched: dict[str, list[str]] = field(default_factory=dict)  # path -> task ids, to name who is in the way

    def task(
        self,
        task: Task,
        event: Event,
        *,
        files: Mapping[str, bytes] | None = None,
        acts: tuple[Act, ...] = (),
        body: bytes | None = None,
        source: str | None = None,
        author: Person | None = None,
        extra: tuple[tuple[str, bytes], ...] = (),
    ) -> Task:
        """Adds one event of one task; returns the task after it. Raises IllegalTransition.

        `body` is the task file's new content (a drop into the inbox, a person's edit); `source` where main's
        tree has the file now, if not where the task's state says ("" : nowhere).
        """
        after = evolve(task, event)
        if body is not None:
            after = after.changed(blob=blob_id(body))
        n = after.n
        beside = tuple((layout.beside(task.id, n, role), data) for role, data in (files or {}).items())
        record = Record(
            **dict(event),
            n=n,
            hqd=__version__,
            host=self.host,
            from_=task.state,
            round=after.cursor.round,
            cursor=after.cursor,
        )
        old = source if source is not None else self._path(task, event)
        new = layout.task_path(task.id, event.to, event.at.astimezone(UTC).date())
        writes = [*beside, *extra, (layout.record_path(task.id, n, event.event.value), write_record(record))]
        deletes: list[str] = []
        renames: tuple[tuple[str, str], ...] = ()
        if body is not None:
            writes.append((new, body))
            if old and old != new:
                deletes.append(old)
        elif old != new:
            renames = ((old, new),)
        self._notes(task, after, record, writes, deletes)
        self._add(
            Transition(
                message=message(record, task.id, self.label(after, event)),
                at=event.at,
                renames=renames,
                deletes=tuple(deletes),
                writes=tuple(writes),
                acts=acts,
                author=author,
            ),
            task.id,
        )
        self.written.append(Written(task, after, record, event, place=len(self.transitions) - 1))
        return after

    def hold(self, hold: Hold, event: Event, *, there: bool, acts: tuple[Act, ...] = ()) -> None:
        """A hold that begins (`held`) or ends (`lifted`). `there`: main's tree has its file."""
        path = layout.hold_path(hold.name)
        held = event.event is EventKind.HELD
        self._add(
            Transition(
                message=hold_message(hold, event),
                at=event.at,
                writes=((path, write_hold(hold)),) if held else (),
                deletes=(path,) if not held and there else (),
                acts=acts,
            ),
            "",
        )
        self.written.append(Written(None, None, None, event, hold, len(self.transitions) - 1))

    def plain(self, transition: Transition, task: str = "") -> None:
        """A commit that is no event of its own: a person's files, the merge that lands a task's work."""
        self._add(transition, task)

    def _path(self, task: Task, event: Event) -> str:
        return layout.task_path(task.id, task.state, event.at.astimezone(UTC).date())

    def _notes(
        self, before: Task, after: Task, record: Record, writes: list[tuple[str, bytes]], deletes: list[str]
    ) -> None:
        """The files that stand beside a task for people: why it is blocked, what it came to."""
        path, title = layout.note_path(after.id), after.document.title
        if record.to is State.BLOCKED and before.state is not State.BLOCKED:
            writes.append((path, write_note(record, after.id, title, record.choices)))
        elif before.state is State.BLOCKED and record.to is not State.BLOCKED:
            deletes.append(path)
        if record.to is State.DONE:
            day = record.at.astimezone(UTC).date()
            result = write_result(record, after.id, title, self.text_of(after), after.cursor.files)
            writes.append((layout.result_path(after.id, day), result))

    def _add(self, transition: Transition, task: str) -> None:
        self.transitions.append(transition)
        paths = [path for pair in transition.renames for path in pair]
        paths += [path for path, _data in transition.writes] + list(transition.deletes)
        for path in paths:
            self.touched.setdefault(path, []).append(task)

    def __bool__(self) -> bool:
        return bool(self.transitions)


def utc(moment: datetime) -> datetime:
    """The same moment in UTC, to the millisecond: what records hold."""
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
