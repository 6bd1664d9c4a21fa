"""Whether hqd is to merge a pull request, and how. Pure: follows from the review alone, so that no crash forgets it."""

from __future__ import annotations

from hqd.model.board import Task
from hqd.model.names import branch
from hqd.model.playbook import Step
from hqd.model.problem import one_line
from hqd.model.record import ReviewState
from hqd.model.review import MergeStyle
from hqd.model.task import State


def to_merge(task: Task, step: Step | None) -> MergeStyle | None:
    """How the task's pull request is to be merged now; None: not by hqd, or not yet.

    `hqd approve` asks for it (`merge`: the very commit that was approved), or approvals on the forge where the
    review lands `on_approval`, or nothing missing where nobody is asked (`sample`). New
    commits on the branch make all of these void.
    """
    review = task.cursor.review
    if task.state is not State.REVIEW or review is None or step is None or step.review is None:
        return None
    if review.number is None or review.head == review.base or review.audit or step.review.land == "never":
        return None
    approved = review.approved and (step.review.land == "on_approval" or review.sample is not None)
    return MergeStyle(step.review.style) if approved or review.merge == review.head else None


def merge_message(task: Task, review: ReviewState) -> str:
    """The message of the commit that lands the work; the trailer tells whose it is, however it is merged."""
    title = one_line(" ".join(task.document.title.split()))[:120]
    return f"Merge {branch(task.id)}: {title} (#{review.number})\n\nHqd-Work: {task.id}\n"
