"""Reviews as the daemon sees them: has the work landed, has the branch moved or gone; and hqd's own merges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hqd.core.reviews.landing import Evidence, Gone, Landed, Moved, Waiting, verdict
from hqd.daemon.draft import Draft
from hqd.daemon.people.spool import Reply
from hqd.daemon.repositories.places import Place, Places
from hqd.errors import Conflict, Expected
from hqd.model.board import Board, Task
from hqd.model.change import Transition
from hqd.model.duration import seconds
from hqd.model.failure import ParkReason
from hqd.model.names import branch, slug_of
from hqd.model.record import Event, EventKind, Person, ReviewState, Via
from hqd.model.task import State
from hqd.ports import Branches, Ledger

_VOID = {"approved": False, "approvers": (), "merge": None}


@dataclass(frozen=True, slots=True)
class Merged:
    """Work that hqd has just merged into main; the `landed` event follows in the next batch."""

    task: str
    commit: str
    person: Person | None = None
    request: str | None = None  # the request that it answers


def merge(task: Task, head: str, branches: Branches, ledger: Ledger, person: Person | None, now: datetime) -> str:
    """Merges a task's work into main, as one commit; returns its id, durable.

    Raises Conflict, Expected, StaleHead, PathsInUse, RepositoryBusy, CannotCommit; then nothing was changed.
    """
    tip = ledger.snapshot().commit
    changes = branches.merge(task.id, head, tip)
    transition = Transition(
        message=f"Merge {branch(task.id)}: {_line(task.document.title)}\n\nHqd-Work: {task.id}\n",
        at=now,
        deletes=tuple(path for _mode, blob, path in changes if path is not None and not blob),
        links=tuple((mode, blob, path) for mode, blob, path in changes if path is not None and blob),
        merge=head,
        author=person,
    )
    return ledger.append(tip, [transition])[-1]


def lands(task: Task, board: Board) -> bool:
    """Whether approving this review means merging: there is work, and its `land` is not `never`."""
    review, step = task.cursor.review, board.step_of(task)
    if task.state is not State.REVIEW or review is None or step is None or step.review is None:
        return False
    return step.review.land != "never" and review.head != review.base


def say(draft: Draft, merged: Merged, now: datetime) -> None:
    """The `landed` event of a merge that hqd made, and the answer to whoever asked for it."""
    task = draft.tasks.get(merged.task)
    if task is not None and task.state in (State.QUEUE, State.REVIEW):
        by, via = (merged.person.name, Via.CLI) if merged.person is not None else ("hqd", None)
        draft.happen(task, landed_event(task, merged.commit, by, via, now))
    if merged.request is not None:
        draft.replies[merged.request] = Reply(True, f"{merged.task}: approved; landed as {merged.commit[:12]}")


def landed_event(task: Task, commit: str, by: str, via: Via | None, now: datetime) -> Event:
    head = task.cursor.review.head if task.cursor.review is not None else None
    return Event(
        event=EventKind.LANDED,
        to=State.QUEUE,
        at=now,
        by=by,
        via=via,
        step=task.cursor.step,
        landed=commit,
        head=head,
    )


def under_review(tasks: Iterable[Task]) -> list[Task]:
    """Open reviews of work, and rejected ones: a later landing overrides a rejection.

    A review of what no branch holds has nothing that could land, move or vanish: a person's word decides it.
    """
    return [
        task
        for task in tasks
        if task.cursor.review is not None
        and task.cursor.review.head != task.cursor.review.base
        and (task.state is State.REVIEW or task.cursor.reason is ParkReason.REVIEW_REJECTED)
    ]


def check(draft: Draft, places: Places, grace: str, now: datetime, only: Collection[str | None] | None = None) -> None:
    """Looks at every open review once: landed, moved by a person, gone, or waiting. `only`: in these repositories."""
    by_repo: dict[str | None, list[Task]] = {}
    for task in under_review(draft.tasks.values()):
        by_repo.setdefault(task.cursor.repo, []).append(task)
    for repo, reviews in by_repo.items():
        if only is not None and repo not in only:
            continue
        try:
            place = places(repo)
        except Expected:
            continue  # not in hqd.toml any more: `status` says so, and the reviews wait
        _check(draft, reviews, place.branches, grace, now)
        _drifted(draft, reviews, place, now)


def _drifted(draft: Draft, before: Sequence[Task], place: Place, now: datetime) -> None:
    """Main has moved for a review that is still open: its own step brings it up to date, checks it, opens it anew."""
    present = [draft.tasks.get(each.id) for each in before]
    tasks = [task for task in present if task is not None and task.state is State.REVIEW]
    reviews = {
        task.id: (review.base, review.head)
        for task in tasks
        if (review := task.cursor.review) is not None and review.gone_since is None and not review.audit
    }
    for name, drift in place.updates.drifted(reviews).items():
        task = draft.tasks[name]
        review = task.cursor.review
        if review is None:
            continue
        approved = review.sample is None and (review.approved or review.merge is not None)
        void = "; the approval was of other code and does not count any more" if approved else ""
        event = Event(
            event=EventKind.FEEDBACK,
            to=State.QUEUE,
            at=now,
            by="git",
            via=Via.GIT,
            step=task.cursor.step,
            review=review.model_copy(update={**_VOID, **({"voided": review.head} if approved else {})}),
            message=f"{drift}; it is brought up to date and checked again{void}",
        )
        draft.happen(task, event)


def _check(draft: Draft, reviews: Sequence[Task], branches: Branches, grace: str, now: datetime) -> None:
    asked = {task.id: (review.base, review.head) for task in reviews if (review := task.cursor.review) is not None}
    landed = branches.landed(asked)
    staged: bool | None = None
    for task in reviews:
        review = task.cursor.review
        if review is None:
            continue
        tip = branches.tip(task.id)
        if tip is None and staged is None:
            staged = bool(branches.staged())
        _judge(draft, task, review, tip, landed, bool(staged), grace, now)


def _judge(
    draft: Draft,
    task: Task,
    review: ReviewState,
    tip: str | None,
    landed: Mapping[str, str],
    staged: bool,
    grace: str,
    now: datetime,
) -> None:
    found = verdict(
        Evidence(
            head=review.head,
            tip=tip,
            landed=landed.get(task.id),
            now=now,
            grace=timedelta(seconds=seconds(grace)),
            gone_since=review.gone_since,
            staged=staged,
        )
    )
    if isinstance(found, Landed):
        draft.happen(task, landed_event(task, found.commit, "git", Via.GIT, now))
    elif task.state is not State.REVIEW or review.number is not None:
        return  # what becomes of a pull request's branch, its forge says
    elif isinstance(found, Moved):
        _update(draft, task, review.model_copy(update={"head": found.tip, "gone_since": None}), now, "new commits")
    elif isinstance(found, Gone):
        event = Event(
            event=EventKind.PARKED,
            to=State.BLOCKED,
            at=now,
            by="git",
            via=Via.GIT,
            step=task.cursor.step,
            reason=ParkReason.REVIEW_REJECTED,
            missing=f"branch {branch(task.id)} is gone since {found.since:%Y-%m-%d %H:%M} UTC; its work did not land",
        )
        draft.happen(task, event)
    elif isinstance(found, Waiting) and found.gone_since != review.gone_since:
        gone = review.model_copy(update={"gone_since": found.gone_since})
        _update(draft, task, gone, now, found.why or "the branch is back")


def _update(draft: Draft, task: Task, review: ReviewState, now: datetime, why: str) -> None:
    event = Event(
        event=EventKind.FEEDBACK,
        to=State.REVIEW,
        at=now,
        by="git",
        via=Via.GIT,
        step=task.cursor.step,
        review=review,
        message=why,
    )
    draft.happen(task, event)


def refused(task: Task, fault: Expected, now: datetime) -> Event:
    """The park of a task whose work cannot be merged."""
    reason = ParkReason.CONFLICT if isinstance(fault, Conflict) else ParkReason.LANDING
    return Event(
        event=EventKind.PARKED,
        to=State.BLOCKED,
        at=now,
        step=task.cursor.step,
        reason=reason,
        missing=f"{slug_of(task.id)} cannot land: {fault.message}",
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:120]
