"""The forge without a server: a review is the task's branch, decided by `hqd approve` or by `git merge`."""

from __future__ import annotations

from hqd.errors import BranchMoved
from hqd.model.names import branch
from hqd.model.opening import Opening
from hqd.model.record import ReviewState
from hqd.ports import Branches


class LocalForge:
    """Port Forge. Opening twice is harmless: there is only the branch."""

    server = None

    def __init__(self, branches: Branches) -> None:
        self._branches = branches

    def open(self, wanted: Opening) -> ReviewState:
        """The review of the task's accepted tip; commits that a person put on the branch are under review too."""
        task = wanted.task
        base = task.cursor.base or wanted.snapshot
        head = task.cursor.head or base
        if head != base:
            try:
                self._branches.point(task.id, head, expected=self._branches.tip(task.id))
            except BranchMoved:
                head = self._branches.tip(task.id) or head
        return ReviewState(step=wanted.step.name, branch=branch(task.id), head=head, base=base, opened=wanted.now)
