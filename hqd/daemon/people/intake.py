"""The inbox: which files are tasks, which wait, which are at fault, and which are edits of what was accepted.

Law: nothing that a person dropped is ever lost. A file leaves the inbox only in the commit that accepts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.core.decide import park
from hqd.core.gate_use import resolve_gates
from hqd.core.moves import Park
from hqd.core.routing import choose, inbox_folder
from hqd.core.secret_scan import scan
from hqd.daemon.book import Book, new_task
from hqd.daemon.draft import Draft
from hqd.daemon.people import words
from hqd.daemon.people.words import Seen, Speaker
from hqd.model.board import Task
from hqd.model.change import Act, Difference
from hqd.model.failure import ParkReason
from hqd.model.gate import GateSpec
from hqd.model.problem import Problem, one_line
from hqd.model.record import Event, EventKind, Via
from hqd.model.task import State
from hqd.ports import Checkout, Tree

_TEMPORARY = ("~", ".swp", ".swx", ".tmp", ".part", ".crdownload", ".bak")


@dataclass(frozen=True, slots=True)
class Door:
    """What intake needs of its surroundings. `new_hex` gives six random hexadecimal digits; `tree` is main's.

    `keeps`: files named .gitkeep that lie in the inbox and are not on main, with their blobs.
    """

    checkout: Checkout
    tree: Tree
    book: Book
    keeps: Mapping[str, str | None]
    new_hex: Callable[[], str]
    check_gate: Callable[[GateSpec], tuple[str, ...]]
    settle: float
    max_bytes: int


def left_alone(name: str) -> bool:
    """Files that are nobody's task: dotfiles, editor temporaries, `Untitled*`, `_*`, and what is not `.md`."""
    return (
        name.startswith((".", "_", "Untitled", "#"))
        or name.endswith(_TEMPORARY)
        or not name.lower().endswith(".md")
        or name == "README.md"
    )


def coming(differences: tuple[Difference, ...]) -> frozenset[str]:
    """Slugs of the files that lie in the inbox: tasks to be, as soon as they have settled."""
    names = (each.path.rsplit("/", 1)[-1] for each in differences if each.kind != "deleted" and _in_inbox(each.path))
    return frozenset(layout.slug(name) for name in names if not left_alone(name))


def _in_inbox(path: str) -> bool:
    return path.startswith(layout.INBOX + "/")


def from_files(
    draft: Draft,
    differences: tuple[Difference, ...],
    whole: frozenset[str],
    door: Door,
    speaker: Speaker,
    now: datetime,
) -> float | None:
    """Accepts what lies in the inbox of the working tree. Returns seconds until a file may have settled, or None."""
    soonest: float | None = None
    for difference in differences:
        if not difference.path.startswith(layout.INBOX + "/") or difference.kind == "deleted":
            continue
        name = difference.path.rsplit("/", 1)[-1]
        if left_alone(name):
            continue
        fault = _unusable(difference, door)
        if fault is not None:
            draft.problems[difference.path] = fault
            continue
        if difference.staged or difference.size == 0:
            continue
        if not (difference.whole or difference.path in whole) and difference.age < door.settle:
            rest = door.settle - difference.age
            soonest = rest if soonest is None else min(soonest, rest)
            continue
        _take(draft, difference, door, speaker, now)
    return soonest


def from_tree(draft: Draft, tree: Tree, door: Door, speaker: Speaker, now: datetime, busy: frozenset[str]) -> None:
    """Accepts what lies in the inbox of main itself: files that came by a commit, a push or a merge."""
    for path, blob in _tracked(tree):
        name = path.rsplit("/", 1)[-1]
        if left_alone(name) or path in busy:
            continue
        data = tree.read(path)
        if data is None or not data.strip():
            continue
        if len(data) > door.max_bytes:
            draft.problems[path] = _too_large(path, len(data), door)
            continue
        _accept(draft, path, data, blob, door, speaker, now, acts=(), tracked=True)


def _tracked(tree: Tree) -> Iterator[tuple[str, str]]:
    for entry in tree.entries(layout.INBOX):
        path = f"{layout.INBOX}/{entry.name}"
        if entry.is_folder:
            yield from ((f"{path}/{inner.name}", inner.id) for inner in tree.entries(path) if inner.mode == "100644")
        elif entry.mode in ("100644", "100755"):
            yield path, entry.id


def _unusable(difference: Difference, door: Door) -> Problem | None:
    path = one_line(difference.path)
    if difference.file != "file":
        what = {"link": "a symbolic link", "folder": "a folder", "other": "no regular file"}.get(difference.file, "")
        return Problem(path, 0, "", f"{what or difference.file}: not a task", "drop a plain markdown file")
    if difference.size > door.max_bytes:
        return _too_large(path, difference.size, door)
    try:
        difference.path.encode("utf-8")
    except UnicodeEncodeError:
        return Problem(path, 0, "", "its name is not UTF-8", "rename it")
    return None


def _too_large(path: str, size: int, door: Door) -> Problem:
    limit = f"{size} bytes, the limit is {door.max_bytes} (inbox.max_bytes)"
    return Problem(path, 0, "", f"too large for a task: {limit}", "put data under workspace/files/ and name it")


def _take(draft: Draft, difference: Difference, door: Door, speaker: Speaker, now: datetime) -> None:
    try:
        data = door.checkout.read(difference.path, door.max_bytes)
    except OSError as fault:
        draft.problems[difference.path] = Problem(
            difference.path, 0, "", f"cannot be read: {fault.strerror or fault}", "make it readable"
        )
        return
    blob = blob_id(data)
    if blob != difference.blob or not data.strip():
        return  # still being written: the next look sees it whole
    acts = (Act(difference.path, blob),)
    _accept(draft, difference.path, data, blob, door, speaker, now, acts=acts, tracked=difference.kind == "modified")


def _accept(
    draft: Draft,
    path: str,
    data: bytes,
    blob: str,
    door: Door,
    speaker: Speaker,
    now: datetime,
    *,
    acts: tuple[Act, ...],
    tracked: bool,
) -> None:
    secrets = scan(data, ())
    if secrets:
        first = secrets[0]
        draft.problems[path] = Problem(
            path, first.line, "", f"a secret ({first.kind}) stands in it; not committed", "take it out, use secret:NAME"
        )
        return None
    document, faults = door.book.document(path, data, blob)
    if document.header.draft:
        return None
    seen = Seen(acts=acts, body=data, source=path if tracked else "")
    known = next((task for task in draft.tasks.values() if task.cursor.source == path), None)
    if known is not None:
        if known.blob == blob:
            return _same_again(draft, known, seen, now)
        words.edit(draft, known.changed(document=document), speaker, now, seen=seen)
        return None
    task = new_task(free_id(draft, path, door, now), document, blob, path)
    chosen = choose(task, draft.board.current) if not faults else None
    event = Event(
        event=EventKind.ACCEPTED,
        to=State.QUEUE,
        at=now,
        by=speaker.name,
        via=speaker.via,
        source=path,
        playbook=chosen.name if chosen is not None and not isinstance(chosen, Park) else None,
    )
    author = speaker.person if speaker.via is Via.FILES else None
    acts, extra = _keep_folder(draft, path, acts, door)
    accepted = draft.happen(task, event, acts=acts, body=data, source=seen.source, author=author, extra=extra)
    errors = [str(replace(fault, path=f"{task.id}.md")) for fault in faults if fault.stops]
    named = draft.board.current.settings.gates
    for gate in resolve_gates(document.header.gates, named):  # before anything is paid for
        errors += [f"{task.id}.md: gates.{gate.name}: {wrong}" for wrong in door.check_gate(gate)]
    if errors:
        missing = "; ".join(errors[:3])
        draft.happen(accepted, park(ParkReason.BAD_TASK, missing, now, accepted))
    return None


def _keep_folder(
    draft: Draft, path: str, acts: tuple[Act, ...], door: Door
) -> tuple[tuple[Act, ...], tuple[tuple[str, bytes], ...]]:
    """The .gitkeep of an inbox folder that a person made: an emptied folder makes git misread additions as moves."""
    keep = f"{path.rpartition('/')[0]}/.gitkeep"
    if inbox_folder(path) is None or keep in draft.batch.touched or door.tree.entry(keep) is not None:
        return acts, ()
    if keep not in door.keeps:
        return acts, ((keep, b""),)
    if door.keeps[keep] == blob_id(b""):
        return (*acts, Act(keep, door.keeps[keep])), ((keep, b""),)
    return acts, ()  # the person's own, with words in it


def _same_again(draft: Draft, task: Task, seen: Seen, now: datetime) -> None:
    """The accepted file was saved again unchanged: only the copy in the inbox goes."""
    draft.restore.extend(seen.acts)


def free_id(draft: Draft, path: str, door: Door, now: datetime) -> str:
    """An id that no task has, after the name of a file."""
    name = path.rsplit("/", 1)[-1]
    while True:
        task_id = layout.task_id(name, now.date(), door.new_hex())
        taken = task_id in draft.tasks or task_id in draft.ended
        if not taken and door.tree.entry(layout.runs_folder(task_id)) is None:
            return task_id
