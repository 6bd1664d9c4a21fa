"""A person's work that stands where a batch would write: those paths, and the tasks that need them, wait a moment.

Law: one file in the way stops one task, never the others.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hqd.codec import layout
from hqd.daemon.draft import Draft
from hqd.model.change import Difference
from hqd.model.problem import Problem

PATIENCE = 1.0
"""Seconds until a path that was in use is tried again."""


@dataclass(slots=True)
class Obstacles:
    """`paths`: when each was met; `tasks`: which path keeps each of them from moving."""

    paths: dict[str, float] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)

    def met(self, paths: Sequence[str], touched: Mapping[str, Sequence[str]]) -> bool:
        """Takes note of paths in use; `touched` says for which tasks a batch wanted them. True: all were known."""
        known = set(paths) <= set(self.paths)
        now = time.monotonic()
        for path in paths:
            self.paths[path] = now
            self.tasks.update(dict.fromkeys((task for task in touched.get(path, ()) if task), path))
        return known

    def pass_by(self) -> None:
        """Forgets what was met longer ago than PATIENCE: it is tried again."""
        now = time.monotonic()
        self.paths = {path: at for path, at in self.paths.items() if now - at < PATIENCE}
        self.tasks = {task: path for task, path in self.tasks.items() if path in self.paths}

    def waiting(self) -> dict[str, str]:
        """Which tasks wait, and for what, in words."""
        return {task: f"a person's file stands in its way: {path}" for task, path in self.tasks.items()}

    def problems(self, edited: Collection[str]) -> dict[str, Problem]:
        """What people are told; `edited` are files of tasks that a person is changing, which is no fault."""
        return {
            path: Problem(
                path,
                0,
                "",
                f"hqd has to write here for {task}, and something else stands there",
                "move it away, or commit it",
            )
            for task, path in self.tasks.items()
            if path not in edited
        }

    def in_hand(self, draft: Draft, differences: Sequence[Difference]) -> None:
        """Tasks whose file or note a person is changing wait until that is done."""
        changed = {each.path for each in differences} | set(self.paths)
        waiting = {
            task.id: "a person is changing its file"
            for task in draft.tasks.values()
            if task.n == (draft.board.tasks[task.id].n if task.id in draft.board.tasks else -1)
            and (layout.task_path(task.id, task.state) in changed or layout.note_path(task.id) in changed)
        }
        draft.problems |= self.problems(
            {each.path for each in differences if each.kind == "modified" and not each.staged}
        )
        draft.board = replace(draft.board, waiting={**waiting, **self.waiting()})

    def gone_for(self, differences: Sequence[Difference]) -> dict[str, float]:
        """For how many seconds each deleted file has been missing: editors delete and write anew."""
        now = time.monotonic()
        gone = {each.path for each in differences if each.kind == "deleted"}
        self._gone = {path: self._gone.get(path, now) for path in gone}
        return {path: now - since for path, since in self._gone.items()}
