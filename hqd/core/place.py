"""Which repository a task's work goes to."""

from __future__ import annotations

from hqd.model.board import Task
from hqd.model.playbook import Playbook


def repo_of(task: Task, playbook: Playbook | None) -> str | None:
    """A name of `[repos.*]`; None: the HQ. Once work has begun, where it began counts, whatever the file says since."""
    if task.cursor.base is not None:
        return task.cursor.repo
    return task.document.header.repo or (playbook.repo if playbook is not None else None)
