"""hqd's own hand on branches: setting them to accepted work, and merging what is approved or may land by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hqd.core.decide import LandWork
from hqd.daemon import landings
from hqd.daemon.batch import Written
from hqd.daemon.landings import Merged
from hqd.daemon.live import Live
from hqd.daemon.parts import Parts
from hqd.daemon.people import desk, spool
from hqd.daemon.people.spool import Reply, Request
from hqd.daemon.work.job import Job
from hqd.daemon.work.workshop import Workshop
from hqd.errors import CannotCommit, Expected, HqdError, MainMoved, RepositoryBusy, Temporary
from hqd.model.board import Board, Task
from hqd.model.record import Person


class Merging:
    """`merged`: merges whose `landed` event is still to come; they are commits of their own, before their batch."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._parts = parts
        self._live = live
        self.merged: list[Merged] = []
        self._unpointed: dict[str, tuple[str | None, str]] = {}  # task -> repository, tip

    def open(self) -> None:
        """A crash may have come between a record and its branch: those branches are set now."""
        for task in self._live.tasks.values():
            if task.cursor.head is None:
                continue
            try:
                kept = self._parts.places(task.cursor.repo).branches.kept(task.id)
            except Expected:
                continue  # its repository is not in hqd.toml any more; the flow says so
            if kept != task.cursor.head:
                self._unpointed[task.id] = (task.cursor.repo, task.cursor.head)
        self.point()

    def follow(self, written: Sequence[Written]) -> None:
        """Task branches follow what a batch accepted."""
        for each in written:
            if each.after is None or each.before is None or each.after.cursor.head is None:
                continue
            if each.after.cursor.head != each.before.cursor.head:
                self._unpointed[each.after.id] = (each.after.cursor.repo, each.after.cursor.head)
        self.point()

    def point(self) -> None:
        """Sets what is still to be set; a branch that a person has moved is left to the review check."""
        for task_id, (repo, head) in list(self._unpointed.items()):
            try:
                self._parts.places(repo).branches.point(task_id, head)
            except RepositoryBusy:
                continue  # checked out somewhere, or its ref is locked: the next turn tries again
            except Expected as fault:
                self._parts.display.note(f"{task_id}: branch not set: {fault.message}")
            del self._unpointed[task_id]

    def approved(self, requests: Sequence[Request], board: Board, now: datetime) -> list[Request]:
        """`approve` is the merge button of `local`. Gives back the requests that are not answered by a no."""
        left = []
        for request in requests:
            fault = self._approved(request, board, now) if request.word == "approve" else None
            if fault is not None:
                reply = Reply(False, fault.message, fault.remedy, fault.exit_code)
                spool.answer(self._parts.private, request.id, reply)
            else:
                left.append(request)
        return left

    def _approved(self, request: Request, board: Board, now: datetime) -> Expected | None:
        """Merges what was approved, if hqd is to; what stands in the way for good."""
        if any(merged.request == request.id for merged in self.merged):
            return None
        try:
            task = desk.find(self._live.tasks, request.task or "")
        except HqdError:
            return None  # the desk says so
        if not landings.lands(task, board) or task.cursor.review is None:
            return None
        try:
            place = self._parts.places(task.cursor.repo)
        except Expected as gone:
            return gone
        if task.cursor.review.number is not None and place.forge.server is not None:
            return None  # a server merges it: the desk takes the word down, and the merge follows from it
        head = place.branches.tip(task.id) or task.cursor.review.head
        if place.target is not None:
            self._parts.targets.pushes.land(task, head, request.person, request.id)
            return None
        drift = place.updates.drift(task.cursor.review.base, head)
        if drift is not None:
            return MainMoved(str(drift))
        return self.merge(task, head, request.person, request.id, now)

    def hand_over(self, lands: Sequence[LandWork], now: datetime) -> list[LandWork]:
        """Work of target repositories lands by push, in a worker; what is left is the HQ's own."""
        here = []
        for work in lands:
            task = self._live.tasks[work.task]
            if task.cursor.repo is None and self._goes_well(task, work.head):
                here.append(work)
            elif not self._parts.targets.stuck(task, now):
                self._parts.targets.pushes.land(task, work.head, after=self._afterwards(task, now))
        return here

    def _goes_well(self, task: Task, head: str) -> bool:
        """Whether main is as it was for this work, or has been looked at together with it."""
        drift = self._parts.places(None).updates.drift(task.cursor.base or head, head)
        return drift is None or self._parts.targets.pushes.goes_well(task, head, drift.onto)

    def _afterwards(self, task: Task, now: datetime) -> tuple[Job, Workshop] | None:
        rulebook = self._parts.rulebook
        rules = rulebook.at(task.cursor.pin) if task.cursor.pin is not None else rulebook.current
        playbook = rules.playbooks.get(task.cursor.playbook or "")
        if playbook is None:
            return None
        return Job.afterwards(task, rules, playbook, self._live.tip, self._live.values, now), self._parts.shop

    def merge(
        self, task: Task, head: str, person: Person | None, request: str | None, now: datetime
    ) -> Expected | None:
        """Merges into main; what stands in the way for good is returned, what may pass is raised."""
        try:
            commit = landings.merge(task, head, self._parts.places(None).branches, self._parts.ledger, person, now)
        except (Temporary, CannotCommit):
            raise
        except Expected as fault:
            return fault
        self._live.saw_own(self._parts)
        self._parts.followed(self._parts.ledger.snapshot())  # the work may bring new top-level folders
        self.merged.append(Merged(task.id, commit, person, request))
        return None
