"""Ended tasks that open ones refer to: their needs, children and parents. Read from main's tree once, and kept.

Law: an ended task changes no more. A name that no open task bears is looked for in the folders of records, which are
read again only where they have changed; nothing here walks anything while all names are known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from hqd.codec import layout
from hqd.core.needs import SHORTEST_PREFIX
from hqd.daemon.book import Book
from hqd.errors import Misconfigured
from hqd.model.board import Task
from hqd.model.names import TASK_ID, slug_of
from hqd.model.task import ENDED_STATES
from hqd.ports import Tree

_KEPT = 20_000


class _Anything:
    """A container that holds every name: whoever has not looked does not say that something is missing."""

    def __contains__(self, name: object) -> bool:
        return True


ANYTHING = _Anything()


@dataclass(frozen=True, slots=True)
class Found:
    """`closed`: ended tasks by id. `slugs`: of all ended tasks, where some need names nothing; else empty."""

    closed: dict[str, Task] = field(default_factory=dict)
    slugs: Collection[str] = ()


class Kin:
    """One for each process. Not for many threads."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._ended: OrderedDict[str, Task] = OrderedDict()
        self._found: dict[str, tuple[str, ...]] = {}  # name -> ids of the ended tasks that it means
        self._days: dict[str, tuple[str, ...]] = {}  # id of a day's tree -> task ids
        self._aliases: dict[str, tuple[str, ...]] = {}  # id of a day's tree in done/ or dropped/ -> "alias\0task id"

    def of(self, tasks: Mapping[str, Task], tree: Tree) -> Found:
        """What the open tasks `tasks` refer to beyond each other."""
        wanted = {each for task in tasks.values() for each in _relatives(task) if each not in tasks}
        open_names = _open_names(tasks)
        unknown = {name for task in tasks.values() for name in task.document.header.needs} - open_names
        self._found = {name: ids for name, ids in self._found.items() if name in unknown}
        slugs: Collection[str] = ()
        for name in unknown:
            fits = self._look_up(name, tree)
            wanted.update(fits)
            if not fits:
                slugs = slugs or {slug_of(each) for each in self._all(tree)}
        found = {each: task for each in wanted if (task := self._task(each, tree)) is not None}
        return Found(found, slugs)

    def _task(self, task_id: str, tree: Tree) -> Task | None:
        known = self._ended.get(task_id)
        if known is not None:
            return known
        try:
            record = self._book.newest(tree, task_id) if TASK_ID.fullmatch(task_id) else None
        except Misconfigured:
            return None
        if record is None or record.to not in ENDED_STATES:
            return None
        path = layout.task_path(task_id, record.to, record.at)
        entry = tree.entry(path)
        data = tree.read(path) if entry is not None else None
        blob = entry.id if entry is not None else ""
        document, _faults = self._book.document(path, data or b"", blob)
        self._ended[task_id] = task = Task(task_id, record.to, document, blob, record.cursor, record.n, record)
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)
        return task

    def _look_up(self, name: str, tree: Tree) -> tuple[str, ...]:
        """What a name means, looked for once while it stays so: until an open task bears it, or nobody needs it."""
        if name not in self._found:
            ids = self._named(name, tree)
            if not ids:
                return ()
            self._found[name] = ids
        return self._found[name]

    def _named(self, name: str, tree: Tree) -> tuple[str, ...]:
        """Ids of tasks that a name means and that are not open: by id, slug, alias, beginning of an id."""
        if TASK_ID.fullmatch(name) is not None:
            return (name,) if tree.entry(layout.runs_folder(name)) is not None else ()
        everything = self._all(tree)
        fits = tuple(each for each in everything if slug_of(each) == name)
        if fits:
            return _of_newest_day(fits)
        fits = tuple(each for alias, each in self._all_aliases(tree) if alias == name)
        if fits:
            return _of_newest_day(fits)
        return tuple(each for each in everything if len(name) >= SHORTEST_PREFIX and each.startswith(name))[:20]

    def _all(self, tree: Tree) -> list[str]:
        """Every task that has records; days that have not changed are not read again."""
        found: list[str] = []
        days: dict[str, tuple[str, ...]] = {}
        for path, day in _days(tree, layout.RUNS):
            known = self._days.get(day)
            if known is None:
                known = tuple(entry.name for entry in tree.entries(path) if TASK_ID.fullmatch(entry.name))
            days[day] = known
            found += known
        self._days = days
        return found

    def _all_aliases(self, tree: Tree) -> Iterator[tuple[str, str]]:
        days: dict[str, tuple[str, ...]] = {}
        for state in sorted(ENDED_STATES):
            for path, day in _days(tree, layout.STATE_FOLDERS[state]):
                known = self._aliases.get(day)
                days[day] = known if known is not None else tuple(self._aliases_of(tree, path))
        self._aliases = days
        for rows in days.values():
            for row in rows:
                alias, _nul, task_id = row.partition("\0")
                yield alias, task_id

    def _aliases_of(self, tree: Tree, folder: str) -> Iterator[str]:
        for entry in tree.entries(folder):
            task_id = entry.name.removesuffix(".md")
            if TASK_ID.fullmatch(task_id) is None:
                continue
            path = f"{folder}/{entry.name}"
            data = tree.read(path) or b""
            if b"aliases" in data:
                document, _faults = self._book.document(path, data, entry.id)
                yield from (f"{alias}\0{task_id}" for alias in document.header.aliases)


def _relatives(task: Task) -> Iterator[str]:
    if task.cursor.parent is not None:
        yield task.cursor.parent
    for children in task.cursor.children.values():
        yield from children


def _open_names(tasks: Mapping[str, Task]) -> set[str]:
    """Names that open tasks bear; of a task's own name the ended ones are looked at too."""
    names = set(tasks)
    for task in tasks.values():
        own = set(task.document.header.needs)
        names |= {slug_of(task.id), *task.document.header.aliases} - own
    return names


def _of_newest_day(ids: tuple[str, ...]) -> tuple[str, ...]:
    newest = max(each[:8] for each in ids)
    return tuple(each for each in ids if each.startswith(newest))


def _days(tree: Tree, folder: str, depth: int = 3) -> Iterator[tuple[str, str]]:
    """(path, id of its tree) of each YYYY/MM/DD below a folder, oldest first."""
    for entry in tree.entries(folder):
        if entry.is_folder and entry.name.isdigit():
            path = f"{folder}/{entry.name}"
            if depth == 1:
                yield path, entry.id
            else:
                yield from _days(tree, path, depth - 1)
