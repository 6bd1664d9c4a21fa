"""What the review of a job is opened with."""

from __future__ import annotations

from collections.abc import Sequence

from hqd.daemon.forge.brief import brief
from hqd.daemon.forge.story import read_story
from hqd.daemon.work.job import Job
from hqd.daemon.work.workshop import Workshop
from hqd.model.gate import GateResult
from hqd.model.opening import Brief, Opening


def opening(
    job: Job, gates: Sequence[GateResult], shop: Workshop, theirs: str | None = None, unasked: float | None = None
) -> Opening:
    """`gates`: the verdicts that let it be opened; `theirs`: a person's tip of the branch that is in it; `unasked`: the
    share of reviews that people are asked for, where this one is none of them. The words are put together when a forge
    asks for them."""

    def tell() -> Brief:
        story = read_story(job.task, job.playbook, shop.history.tree(job.commit), tuple(gates), unasked=unasked)
        return brief(story, shop.secrets())

    return Opening(
        task=job.task, step=job.step, snapshot=job.snapshot, now=job.now, brief=tell, asked=unasked is None,
        theirs=theirs,
    )  # fmt: skip
