"""Earlier accepted outputs of a step: what `not_duplicate` compares with. Read from done/, newest first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

from hqd.codec import layout
from hqd.daemon.book import Book
from hqd.model.record import Cursor
from hqd.model.task import State
from hqd.ports import History, Tree

MOST = 200
"""How many earlier outputs a gate may see."""

_KEPT = 5_000
_LOOKED_AT = 2_000


class Accepted:
    """Cursors of ended tasks, kept by task id: an ended task changes no more. Safe for many threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._cursors: OrderedDict[str, Cursor | None] = OrderedDict()
        self._lock = threading.Lock()

    def outputs(self, tree: Tree, playbook: str, step: str, most: int = MOST) -> tuple[tuple[str, str], ...]:
        """(task id, text) of the step's outputs in tasks that ended in done/, the newest `most`."""
        found: list[tuple[str, str]] = []
        for looked, task in enumerate(_ended(tree)):
            if len(found) >= most or looked >= _LOOKED_AT:
                break
            cursor = self._cursor(tree, task)
            ref = cursor.outputs.get(step) if cursor is not None and cursor.playbook == playbook else None
            if ref is not None and not ref.stale:
                try:
                    found.append((task, self._history.blob(ref.blob).decode("utf-8", "replace")))
                except KeyError:
                    continue  # redacted
        return tuple(found)

    def _cursor(self, tree: Tree, task: str) -> Cursor | None:
        with self._lock:
            if task in self._cursors:
                return self._cursors[task]
        record = Book().newest(tree, task)
        with self._lock:
            self._cursors[task] = record.cursor if record is not None else None
            while len(self._cursors) > _KEPT:
                self._cursors.popitem(last=False)
            return self._cursors[task]


def _ended(tree: Tree) -> Iterator[str]:
    """Ids of tasks in done/, newest day first."""
    root = layout.STATE_FOLDERS[State.DONE]
    for folder in _newest_days(tree, root, 3):
        names = [entry.name[:-3] for entry in tree.entries(folder) if entry.name.endswith(".md")]
        yield from (name for name in reversed(names) if not name.endswith(".result"))


def _newest_days(tree: Tree, folder: str, depth: int) -> Iterator[str]:
    for entry in reversed(tree.entries(folder)):
        if entry.is_folder:
            path = f"{folder}/{entry.name}"
            if depth == 1:
                yield path
            else:
                yield from _newest_days(tree, path, depth - 1)
