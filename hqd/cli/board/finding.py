"""Finding one task, open or ended, and everything that was written down about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hqd.codec import layout
from hqd.codec.record import UnreadableRecord, read_record
from hqd.daemon.book import parse
from hqd.errors import Usage
from hqd.model.names import TASK_ID, slug_of
from hqd.model.problem import Problem
from hqd.model.record import EventKind, Record
from hqd.model.task import State, TaskDocument

if TYPE_CHECKING:
    from hqd.cli.board.reading import View
    from hqd.ports import Tree

MOST_NAMES = 5
ATTEMPTS = frozenset({EventKind.FINISHED, EventKind.ASKED, EventKind.REVIEW_OPENED})


@dataclass(frozen=True)
class Told:
    """One task with its whole story. `unreadable`: records that could not be read, with why."""

    id: str
    state: State
    path: str
    records: tuple[Record, ...]
    unreadable: tuple[str, ...]
    tree: Tree = field(repr=False)

    @property
    def last(self) -> Record | None:
        return self.records[-1] if self.records else None

    @property
    def document(self) -> TaskDocument:
        return self._parsed[0]

    @property
    def noticed(self) -> tuple[Problem, ...]:
        """What is odd or wrong in the task's file, as it stands on main."""
        return self._parsed[1]

    @cached_property
    def _parsed(self) -> tuple[TaskDocument, tuple[Problem, ...]]:
        return parse(self.path, self.tree.read(self.path) or f"# {slug_of(self.id)}\n".encode())

    def finished(self) -> tuple[Record, ...]:
        """The attempts that have a result."""
        return tuple(record for record in self.records if record.event is EventKind.FINISHED)

    def beside(self, record: Record, role: str) -> str | None:
        """The path of a file of an attempt: prompt, raw, output, manifest, patch; None where it has none."""
        known = {"prompt": record.prompt, "raw": record.raw, "output": record.output, "manifest": record.manifest}
        if role == "patch":
            return record.work.patch if record.work is not None else None
        return known[role]

    def sources(self, record: Record) -> list[dict[str, Any]]:
        """What the attempt was sent, from its manifest."""
        data = self.tree.read(record.manifest) if record.manifest is not None else None
        try:
            rows = json.loads(data or b"{}").get("sources", [])
        except (ValueError, AttributeError):
            return []
        return [dict(row) for row in rows if isinstance(row, dict)]


def find(view: View, name: str) -> Told:
    """A task by id, unique prefix, slug or alias; open ones before ended ones. Raises Usage naming what fits."""
    folder = layout.STATE_FOLDERS
    fits = [
        task
        for task in view.tasks.values()
        if task.id.startswith(name) or slug_of(task.id) == name or name in task.document.header.aliases
    ]
    exact = [task for task in fits if task.id == name]
    if len(exact or fits) == 1:
        task = (exact or fits)[0]
        return told(view.tree, task.id, task.state, f"{folder[task.state]}/{task.id}.md")
    ids = [task.id for task in exact or fits] or list(ended(view.tree, name))
    if not ids:
        raise Usage(f"no task {name!r}", remedy=_no_task(view, name))
    if len(ids) > 1:
        shown = ", ".join(ids[:MOST_NAMES]) + (", …" if len(ids) > MOST_NAMES else "")
        raise Usage(f"{name!r} fits {len(ids)} tasks", remedy=shown)
    return told(view.tree, ids[0])


def _no_task(view: View, name: str) -> str:
    """Where a task of that name may be: dropped, and no daemon has looked since."""
    if not view.past:
        from hqd.cli.board.faults import waiting_files

        for path in waiting_files(view.repo.root):
            if path.rsplit("/", 1)[-1].removesuffix(".md") == name:
                return f"{path} still waits in the inbox: a daemon takes it in, `hqd run`"
    return "`hqd status --all` lists open ones and those that ended lately"


def told(tree: Tree, task: str, state: State | None = None, path: str | None = None) -> Told:
    """A task's records. An ended task's place follows from its last record."""
    records, unreadable = [], []
    folder = layout.runs_folder(task)
    for entry in tree.entries(folder):
        if layout.record_number(entry.name) is None:
            continue
        place = f"{folder}/{entry.name}"
        try:
            records.append(read_record(tree.read(place) or b"", place))
        except UnreadableRecord as fault:
            unreadable.append(fault.message)
    records.sort(key=lambda record: record.n)
    if state is None or path is None:
        if not records:
            raise Usage(f"{task} has no record that can be read", remedy="; ".join(unreadable[:2]))
        state = records[-1].to
        path = layout.task_path(task, state, records[-1].at.astimezone(UTC).date())
    return Told(task, state, path, tuple(_blind(records)), tuple(unreadable), tree)


def _blind(records: list[Record]) -> list[Record]:
    """The records; where people are asked about a stopped output, without what the gates said of it."""
    review = records[-1].cursor.review if records else None
    if review is None or not review.audit:
        return records
    begin = max((place for place, record in enumerate(records) if record.audited), default=0)
    hidden: dict[str, Any] = {"findings": (), "failure": None, "gates": {}, "missing": None}
    return [
        record
        if place < begin
        else record.blinded().model_copy(update={"cursor": record.cursor.model_copy(update=hidden)})
        for place, record in enumerate(records)
    ]


def ended(tree: Tree, name: str) -> Iterator[str]:
    """Ids of all tasks that fit a name, the newest first, from the names of the folders under runs/."""
    if TASK_ID.fullmatch(name):
        if tree.entry(layout.runs_folder(name)) is not None:
            yield name
        return
    for year, month, day in _days(tree):
        for entry in reversed(tree.entries(f"{layout.RUNS}/{year}/{month}/{day}")):
            if entry.is_folder and (slug_of(entry.name) == name or entry.name.startswith(name)):
                yield entry.name


def every_task(tree: Tree) -> Iterator[str]:
    """Ids of all tasks that have a record, the newest day first."""
    for year, month, day in _days(tree):
        yield from _folders(tree, f"{layout.RUNS}/{year}/{month}/{day}")


def _days(tree: Tree) -> Iterator[tuple[str, str, str]]:
    for year in _folders(tree, layout.RUNS):
        for month in _folders(tree, f"{layout.RUNS}/{year}"):
            for day in _folders(tree, f"{layout.RUNS}/{year}/{month}"):
                yield year, month, day


def _folders(tree: Tree, folder: str) -> list[str]:
    return [entry.name for entry in reversed(tree.entries(folder)) if entry.is_folder]


def commits_of(view: View, story: Told) -> dict[int, str]:
    """Record number -> the commit on main that brought it."""
    if not story.records:
        return {}
    folder = layout.runs_folder(story.id)
    args = ("log", "--first-parent", "--diff-filter=A", "--no-renames", "-z", "--format=%x01%H", "--name-only")
    text = view.repo.git.read(*args, view.tree.commit, "--", folder).text
    found: dict[int, str] = {}
    for part in text.split("\x01")[1:]:
        commit, *paths = part.replace("\n", "\0").split("\0")
        for path in paths:
            n = layout.record_number(path.rsplit("/", 1)[-1]) if path else None
            if n is not None:
                found[n] = commit
    return found
