"""A review step on a forge: one pull request, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.model.task import State
from tests.daemon.headquarters import only, settle
from tests.forge_hq import TASK, Forged, forged


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Forged]:
    with forged(tmp_path) as found:
        yield found


def test_a_review_is_a_pull_request_of_the_pushed_branch(at: Forged) -> None:
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        settle(loop, lambda: State.REVIEW in {task.state for task in loop.live.tasks.values()})
        task = only(loop)
        review = task.cursor.review
    assert review is not None
    assert (review.number, review.head) == (1, task.cursor.head)
    assert review.url is not None
    assert at.git("rev-parse", f"hqd/{task.id}") == task.cursor.head
    assert (at.pull.branch, at.pull.base, at.pull.draft) == (f"hqd/{task.id}", "main", False)
    assert (at.pull.title, at.pull.reviewers, at.pull.labels) == ("An article", ["tim"], ["hqd", "article"])
