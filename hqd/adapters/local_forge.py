"""The forge without a server: a review is the task's branch, decided by `hqd approve` or by `git merge`."""

from __future__ import annotations

from hqd.errors import BranchMoved, RemoteRefused, RemoteUnavailable
from hqd.model.names import branch
from hqd.model.opening import Opening
from hqd.model.record import ReviewState
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.ports import Branches, Target


class LocalForge:
    """Port Forge. Opening twice is harmless: there is only the branch."""

    server = None

    def __init__(self, branches: Branches, target: Target | None = None) -> None:
        self._branches = branches
        self._target = target

    def open(self, wanted: Opening) -> ReviewState:
        """The review of the task's accepted tip. Raises BranchMoved where a person has put the branch elsewhere."""
        task = wanted.task
        base = task.cursor.base or wanted.snapshot
        head = task.cursor.head or base
        if head != base:
            tip = self._branches.tip(task.id)
            if tip not in (None, head, wanted.theirs, self._branches.kept(task.id)):
                raise BranchMoved(task.id, head, tip)
            self._branches.point(task.id, head, expected=tip)
            self._show(task.id, head)
        return ReviewState(step=wanted.step.name, branch=branch(task.id), head=head, base=base, opened=wanted.now)

    def _show(self, task: str, head: str) -> None:
        """People look at the branch where they work: in the target repository itself.

        A remote that refuses such branches, or is not to be had now, is no reason to stop: the review is decided by
        `hqd approve` all the same, and the branch goes out after the next fetch. Raises BranchMoved where a person has
        put the branch elsewhere.
        """
        if self._target is None:
            return
        update = RefUpdate(f"refs/heads/{branch(task)}", head, self._target.there(task))
        try:
            pushed = self._target.push([update])[0]
        except (RemoteRefused, RemoteUnavailable):
            return
        if pushed.outcome is PushOutcome.MOVED:
            self._target.fetch()
            raise BranchMoved(task, head, pushed.found or "")
