"""A person's acts by files (design section 2): moves, edits, deletions, answers, PAUSED, holds.

Two ways in: differences of the working tree from what hqd last wrote out, and commits of a person on main.
Anything that is no act of the list is undone and reported, never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.codec import layout
from hqd.codec.note import read_answer
from hqd.core.batch import blob_id
from hqd.core.secret_scan import scan
from hqd.daemon.book import Book, Reading
from hqd.daemon.draft import Draft
from hqd.daemon.people import words
from hqd.daemon.people.words import Seen, Speaker
from hqd.errors import Usage
from hqd.model.board import Task
from hqd.model.change import Act, Difference, Transition
from hqd.model.names import TASK_ID
from hqd.model.problem import Problem
from hqd.model.record import Phase
from hqd.model.task import State
from hqd.ports import Checkout, Tree

MOVES: dict[tuple[State, State], str] = {
    (State.BLOCKED, State.QUEUE): "retry",
    **{(state, State.DROPPED): "drop" for state in (State.QUEUE, State.ACTIVE, State.REVIEW, State.BLOCKED)},
}
"""The moves of a task file that mean something."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What reading acts needs. `gone_since`: path -> seconds that a deleted file has been seen missing."""

    checkout: Checkout
    book: Book
    settle: float
    max_bytes: int
    gone_for: Mapping[str, float]


def from_files(
    draft: Draft, differences: Sequence[Difference], whole: frozenset[str], desk: Desk, speaker: Speaker, now: datetime
) -> float | None:
    """Turns differences in the state folders into events. Returns seconds until something may have settled."""
    by_path = {difference.path: difference for difference in differences}
    arrived: dict[str, list[Difference]] = {}
    for difference in differences:
        if difference.kind != "deleted":
            place = _task_of(difference.path)
            if place is not None:
                arrived.setdefault(place, []).append(difference)
    waits: list[float] = []
    for task in list(draft.tasks.values()):
        path = _path(task)
        here = by_path.get(path)
        note_change = by_path.get(layout.note_path(task.id)) if task.state is State.BLOCKED else None
        if here is None and note_change is None:
            continue
        wait = _act(draft, task, here, note_change, arrived.get(task.id, []), whole, desk, speaker, now)
        if wait is not None:
            waits.append(wait)
    _copies(draft, arrived)
    _holds_and_pause(draft, by_path, desk, speaker, now)
    return min(waits) if waits else None


def _act(
    draft: Draft,
    task: Task,
    here: Difference | None,
    note_change: Difference | None,
    arrived: list[Difference],
    whole: frozenset[str],
    desk: Desk,
    speaker: Speaker,
    now: datetime,
) -> float | None:
    if any(each is not None and each.staged for each in (here, note_change, *arrived)):
        return None  # a commit being prepared: not touched, its task waits
    if here is not None and here.kind == "deleted":
        return _moved_or_deleted(draft, task, here, note_change, arrived, desk, speaker, now)
    if here is not None and here.kind == "modified":
        wait = _settling(here, whole, desk)
        if wait is not None:
            return wait
        _edited(draft, task, here, desk, speaker, now)
        task = draft.tasks.get(task.id, task)
    if note_change is not None and note_change.kind == "modified":
        wait = _settling(note_change, whole, desk)
        if wait is not None:
            return wait
        _answered(draft, task, note_change, desk, speaker, now)
    return None


def _moved_or_deleted(
    draft: Draft,
    task: Task,
    here: Difference,
    note_change: Difference | None,
    arrived: list[Difference],
    desk: Desk,
    speaker: Speaker,
    now: datetime,
) -> float | None:
    gone = (Act(here.path, None), *_note_act(note_change))
    for place in arrived:
        target = layout.locate(place.path)
        state = target[0] if target is not None else _flat_state(place.path)
        meaning = MOVES.get((task.state, state)) if state is not None else None
        if meaning is None or place.file != "file":
            continue
        data = _read(desk, place)
        if data is None or scan(data, ()):
            continue
        seen = Seen(acts=(*gone, Act(place.path, blob_id(data))), body=data if blob_id(data) != task.blob else None)
        if meaning == "retry":
            words.retry(draft, _reread(task, data, desk), speaker, now, seen=seen)
        else:
            words.drop(draft, task, speaker, now, why="moved to dropped/", seen=seen)
        return None
    if arrived:
        _undo(draft, task, here, arrived[0])
        return None
    waited = desk.gone_for.get(here.path, 0.0)
    if waited < desk.settle:
        return desk.settle - waited  # editors delete and write anew
    words.drop(draft, task, speaker, now, why="its file was deleted", seen=Seen(acts=gone))
    return None


def _undo(draft: Draft, task: Task, here: Difference, place: Difference) -> None:
    """A move that means nothing: the file goes back to where its state says; what was edited in it is kept."""
    draft.restore.append(Act(here.path, None))
    if place.blob == task.blob:
        draft.restore.append(Act(place.path, place.blob))
    draft.problems[place.path] = Problem(
        place.path,
        0,
        "",
        f"{task.id} is in {task.state.value}/; this move means nothing and was undone",
        "blocked/ -> queue/ tries again, -> dropped/ cancels",
    )


def _edited(draft: Draft, task: Task, here: Difference, desk: Desk, speaker: Speaker, now: datetime) -> None:
    data = _read(desk, here)
    if data is None or blob_id(data) != here.blob or here.blob == task.blob:
        return
    found = scan(data, ())
    if found:
        draft.problems[here.path] = Problem(
            here.path, found[0].line, "", f"a secret ({found[0].kind}) stands in it; not committed", "take it out"
        )
        return
    seen = Seen(acts=(Act(here.path, here.blob),), body=data)
    words.edit(draft, _reread(task, data, desk), speaker, now, seen=seen)


def _answered(draft: Draft, task: Task, change: Difference, desk: Desk, speaker: Speaker, now: datetime) -> None:
    data = _read(desk, change)
    text = read_answer(data) if data is not None else None
    if data is None or text is None:
        return
    if scan(data, ()):
        draft.problems[change.path] = Problem(change.path, 0, "Answer", "a secret stands in it; not committed")
        return
    if (
        task.cursor.phase is Phase.PARKED
        and task.cursor.reason is not None
        and task.cursor.reason.value != "needs_human"
    ):
        draft.problems[change.path] = Problem(
            change.path, 0, "", f"{task.id} asks nothing; it is parked ({task.cursor.reason.value})", "hqd retry"
        )
        return
    seen = Seen(acts=(Act(change.path, change.blob),))
    try:
        words.answer(draft, task, speaker, now, text, seen=seen)
    except Usage as fault:
        draft.problems[change.path] = Problem(change.path, 0, "Answer", fault.message, fault.remedy)


def _holds_and_pause(
    draft: Draft, by_path: Mapping[str, Difference], desk: Desk, speaker: Speaker, now: datetime
) -> None:
    for name in list(draft.holds):
        gone = by_path.get(layout.hold_path(name))
        if gone is not None and gone.kind == "deleted" and not gone.staged:
            acts = (Act(gone.path, None),)
            draft.lift(name, now, speaker.name, "its file was deleted", there=True, acts=acts)
    paused = by_path.get(layout.PAUSED)
    if paused is None or paused.staged:
        return
    if paused.kind == "deleted":
        _commit_file(draft, "resume", (Act(layout.PAUSED, None),), None, speaker, now)
        draft.paused = False
    elif paused.kind == "added" and paused.file == "file":
        data = _read(desk, paused)
        if data is not None and not scan(data, ()):
            _commit_file(draft, "pause", (Act(layout.PAUSED, paused.blob),), data, speaker, now)
            draft.paused = True


def _commit_file(
    draft: Draft, word: str, acts: tuple[Act, ...], data: bytes | None, speaker: Speaker, now: datetime
) -> None:
    draft.batch.plain(
        Transition(
            message=f"hqd: {word}\n\nHqd-Via: {speaker.via.value}\n",
            at=now,
            writes=((layout.PAUSED, data),) if data is not None else (),
            deletes=(layout.PAUSED,) if data is None else (),
            acts=acts,
            author=speaker.person,
        )
    )


def _copies(draft: Draft, arrived: Mapping[str, list[Difference]]) -> None:
    """A second copy of an open task's file is never a move; a file put straight into a state folder is no task."""
    for task_id, places in arrived.items():
        task = draft.tasks.get(task_id)
        for place in places:
            if task is not None and place.path != _path(task) and place.path not in draft.problems:
                draft.problems[place.path] = Problem(
                    place.path, 0, "", f"a second copy of {task_id}, which is in {task.state.value}/", "remove it"
                )


def from_commits(
    draft: Draft,
    before: Mapping[str, Task],
    reading: Reading,
    tree: Tree,
    old: Tree | None,
    book: Book,
    speaker: Speaker,
    now: datetime,
) -> None:
    """A person's commits on main: moved, dropped, deleted and edited task files get their records."""
    for task_id, recorded in reading.astray.items():
        task = reading.tasks[task_id]
        _committed_move(draft, task, recorded, speaker, now)
    for task_id, task in before.items():
        found = reading.tasks.get(task_id)
        if found is None:
            if not ended_by_hqd(task, tree, book):
                _committed_end(draft, task, tree, old, speaker, now)
        elif found.blob != task.blob and found.n == task.n and task_id not in reading.astray:
            words.edit(draft, found, speaker, now, seen=Seen())


def ended_by_hqd(task: Task, tree: Tree, book: Book) -> bool:
    """Whether a task that left the open folders has a record of its end: no person's act, but hqd's own work.

    So it is where a crash came between main's move and the note of it, and where another clone's work was pulled.
    """
    record = book.newest(tree, task.id)
    return record is not None and not record.to.open


def _committed_move(draft: Draft, task: Task, recorded: State, speaker: Speaker, now: datetime) -> None:
    where = layout.task_path(task.id, task.state)
    meant = task.changed(state=recorded)
    draft.tasks[task.id] = meant
    if MOVES.get((recorded, task.state)) == "retry":
        words.retry(draft, meant, speaker, now, seen=Seen(source=where))
        return
    back = layout.task_path(task.id, recorded)
    draft.batch.plain(
        Transition(message=f"hqd: {layout.slug_of(task.id)}: move undone\n", at=now, renames=((where, back),)), task.id
    )
    draft.problems[where] = Problem(
        where, 0, "", f"{task.id} is in {recorded.value}/; this move means nothing and was undone"
    )


def _committed_end(draft: Draft, task: Task, tree: Tree, old: Tree | None, speaker: Speaker, now: datetime) -> None:
    """Its file left the open folders: moved to dropped/ or deleted, both mean cancel; the file itself is kept."""
    draft.tasks[task.id] = task
    flat = f"{layout.STATE_FOLDERS[State.DROPPED]}/{task.id}.md"
    data = tree.read(flat)
    if data is not None:
        words.drop(draft, task, speaker, now, why="moved to dropped/", seen=Seen(source=flat))
        return
    body = old.read(_path(task)) if old is not None else None
    kept = body if body is not None else task.document.text.encode()
    words.drop(draft, task, speaker, now, why="its file was deleted", seen=Seen(body=kept, source=""))


def _read(desk: Desk, difference: Difference) -> bytes | None:
    try:
        data = desk.checkout.read(difference.path, desk.max_bytes)
    except OSError:
        return None
    return data if len(data) <= desk.max_bytes else None


def _reread(task: Task, data: bytes, desk: Desk) -> Task:
    blob = blob_id(data)
    document, _faults = desk.book.document(_path(task), data, blob)
    return task.changed(document=document)


def _settling(difference: Difference, whole: frozenset[str], desk: Desk) -> float | None:
    if difference.path in whole or difference.age >= desk.settle:
        return None
    return desk.settle - difference.age


def _note_act(change: Difference | None) -> tuple[Act, ...]:
    return (Act(change.path, change.blob),) if change is not None else ()


def _path(task: Task) -> str:
    return layout.task_path(task.id, task.state)


def _task_of(path: str) -> str | None:
    found = layout.locate(path)
    if found is not None:
        return found[1]
    name = path.rsplit("/", 1)[-1]
    flat = _flat_state(path) is not None
    return name[:-3] if flat and TASK_ID.fullmatch(name[:-3]) else None


def _flat_state(path: str) -> State | None:
    """dropped/ID.md without a day: where a person's hand puts it."""
    folder, _slash, name = path.rpartition("/")
    return State.DROPPED if folder == layout.STATE_FOLDERS[State.DROPPED] and name.endswith(".md") else None
