"""What people do in a real HQ becomes the label of the output that they had before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.adapters.archive import GitArchive
from hqd.adapters.repository import GitRepository
from hqd.daemon.loop import Loop
from hqd.model.names import branch
from hqd.model.task import State
from tests.daemon.headquarters import Headquarters, make, only, settle

DRAFT = "First line.\nSecond line.\nThird line.\n"
FINAL = "First line.\nBetter line.\nThird line.\n"


def labels(hq: Headquarters) -> list[tuple[str, str]]:
    """(label, source) of each output, in order."""
    repository = GitRepository.open(hq.root, hq.env)
    try:
        found = GitArchive(repository).corpus()
    finally:
        repository.close()
    assert not found.remarks
    return [(case.label.value, case.source) for case in found.cases]


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    found = make(tmp_path)
    found.answers({"answer": DRAFT})
    found.commit("answers")
    return found


def reviewed(hq: Headquarters, loop: Loop) -> str:
    hq.drop("page.md", "---\ntags: [article]\n---\n# A page\n\nWrite it.\n")
    settle(loop, lambda: any(task.state is State.REVIEW for task in loop.live.tasks.values()))
    return only(loop).id


def test_approval_is_acceptance_and_a_later_revert_takes_it_back(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        task = reviewed(hq, loop)
        assert labels(hq) == [("unknown", "open")]
        assert hq.ask(loop, "approve", task).ok
        settle(loop, lambda: not loop.live.tasks)
        assert labels(hq) == [("accepted", "approved")]
        landed = next(record.landed for record in hq.records(task) if record.landed)
        hq.git("revert", "-m", "1", "--no-edit", str(landed))
        settle(loop)
    assert labels(hq) == [("rejected", "reverted")]


def test_a_squash_with_edits_is_an_edit_with_its_size(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        task = reviewed(hq, loop)
        hq.git("merge", "--squash", branch(task))
        hq.write("content/page.md", FINAL)  # a new folder is outside the sparse checkout until it has landed
        hq.git("add", "--sparse", "content/page.md")
        hq.git("commit", "-qm", f"A page, mended\n\nHqd-Work: {task}")
        settle(loop, lambda: not loop.live.tasks)
    repository = GitRepository.open(hq.root, hq.env)
    try:
        (case,) = GitArchive(repository).corpus().cases
        assert (case.label.value, case.source, case.size) == ("edited", "edited_at_landing", 2)
        assert repository.objects.blob(str(case.corrected)).decode() == FINAL
    finally:
        repository.close()


def test_changes_requested_and_a_rejection_cover_what_was_seen(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        task = reviewed(hq, loop)
        assert hq.ask(loop, "request-changes", task, message="the second line is dull").ok
        settle(loop, lambda: task in loop.live.tasks and len(hq.events(task)) > 6 and only(loop).state is State.REVIEW)
        assert labels(hq) == [("rejected", "requested_changes"), ("unknown", "open")]
        assert hq.ask(loop, "reject", task, message="no").ok
        assert labels(hq) == [("rejected", "requested_changes"), ("rejected", "rejected")]
        heads = [record.head for record in hq.records(task) if record.event.value in ("feedback", "parked")]
    assert all(heads)


def test_a_task_dropped_in_review_was_rejected(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        task = reviewed(hq, loop)
        assert hq.ask(loop, "drop", task, message="not needed").ok
        settle(loop, lambda: not loop.live.tasks)
    assert labels(hq) == [("rejected", "dropped")]
