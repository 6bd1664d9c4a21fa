"""The book: every open task as main's tree has it, read once and kept by blob id.

Law: the folder is the state; the newest record holds the cursor. Nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hqd.codec import layout
from hqd.codec.record import read_record
from hqd.codec.task import read_task
from hqd.model.board import Task
from hqd.model.problem import Problem
from hqd.model.record import Cursor, Record
from hqd.model.task import OPEN_STATES, State, TaskDocument, TaskHeader
from hqd.ports import Tree


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reading of main's tree found.

    `astray`: tasks whose folder is not the one that their newest record says (a person moved and committed
    them): id -> the state of the record. `strays`: paths in state folders that are no task of hqd's.
    """

    tasks: dict[str, Task]
    astray: dict[str, State]
    strays: tuple[str, ...]
    problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)


class Book:
    """Reads tasks; keeps parsed files and records by blob id, so that a second reading costs only what changed."""

    def __init__(self) -> None:
        self._documents: dict[str, tuple[TaskDocument, tuple[Problem, ...]]] = {}
        self._records: dict[str, Record] = {}

    def read(self, tree: Tree) -> Reading:
        """All open tasks of a tree. A record that cannot be read is a problem of its task alone."""
        tasks: dict[str, Task] = {}
        astray: dict[str, State] = {}
        strays: list[str] = []
        problems: dict[str, tuple[Problem, ...]] = {}
        for state in sorted(OPEN_STATES):
            for entry in tree.entries(layout.STATE_FOLDERS[state]):
                path = f"{layout.STATE_FOLDERS[state]}/{entry.name}"
                found = layout.locate(path)
                if found is None:
                    if not _companion(entry.name):
                        strays.append(path)
                    continue
                task_id = found[1]
                document, faults = self._document(tree, path, entry.id)
                record = self.newest(tree, task_id)
                if record is None:
                    strays.append(path)
                    continue
                if faults:
                    problems[path] = faults
                if record.to is not state:
                    astray[task_id] = record.to
                tasks[task_id] = Task(task_id, state, document, entry.id, record.cursor, record.n, record)
        self._forget(tasks)
        return Reading(tasks, astray, tuple(strays), problems)

    def newest(self, tree: Tree, task_id: str) -> Record | None:
        """The newest record of a task; None where it has none that can be read."""
        newest, number, name = None, 0, ""
        for entry in tree.entries(layout.runs_folder(task_id)):
            n = layout.record_number(entry.name)
            if n is not None and n > number:
                newest, number, name = entry, n, entry.name
        if newest is None:
            return None
        known = self._records.get(newest.id)
        if known is None:
            data = tree.read(f"{layout.runs_folder(task_id)}/{name}")
            known = read_record(data or b"", f"{layout.runs_folder(task_id)}/{name}")
            self._records[newest.id] = known
        return known

    def document(self, path: str, data: bytes, blob: str) -> tuple[TaskDocument, tuple[Problem, ...]]:
        """A task file as read; a file that cannot be read has an empty header and its problems."""
        known = self._documents.get(blob)
        if known is None:
            known = parse(path, data)
            self._documents[blob] = known
        return known

    def _document(self, tree: Tree, path: str, blob: str) -> tuple[TaskDocument, tuple[Problem, ...]]:
        known = self._documents.get(blob)
        return known if known is not None else self.document(path, tree.read(path) or b"", blob)

    def _forget(self, tasks: dict[str, Task]) -> None:
        """Keeps the caches as small as what is open."""
        if len(self._documents) > 4 * len(tasks) + 1000:
            keep = {task.blob for task in tasks.values()}
            self._documents = {blob: found for blob, found in self._documents.items() if blob in keep}
        if len(self._records) > 4 * len(tasks) + 1000:
            self._records.clear()


def parse(path: str, data: bytes) -> tuple[TaskDocument, tuple[Problem, ...]]:
    """A task's document, and what is wrong with its file."""
    found = read_task(data, path)
    document, problems = found.document, found.problems
    if document is None:
        text = data[:200_000].decode("utf-8", "replace")
        document = TaskDocument(header=TaskHeader(), title=path.rsplit("/", 1)[-1], text=text)
    return document, problems


def _companion(name: str) -> bool:
    """Files that rightly stand beside tasks."""
    return name in (".gitkeep", "README.md") or name.endswith(".note.md")


def new_task(task_id: str, document: TaskDocument, blob: str, source: str | None) -> Task:
    """A task that is about to be accepted."""
    return Task(task_id, State.INBOX, document, blob, Cursor(source=source))
