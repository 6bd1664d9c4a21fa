"""What hqd does on a forge after opening: merging, closing, tidying up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hqd.daemon.loop import Loop
from hqd.model.board import Task
from hqd.model.record import ReviewState
from hqd.model.task import State
from hqd.testing.forge_state import Protection
from tests.daemon.headquarters import only, settle
from tests.daemon.test_labels_of_acts import labels
from tests.forge_hq import TASK, Forged, forged


@contextmanager
def in_review(root: Path, **options: str) -> Iterator[tuple[Forged, Loop, Task]]:
    """A running daemon whose one task waits for people on the forge."""
    with forged(root, **options) as at, at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        settle(loop, lambda: State.REVIEW in {task.state for task in loop.live.tasks.values()})
        yield at, loop, only(loop)


def review_of(task: Task) -> ReviewState:
    assert task.cursor.review is not None
    return task.cursor.review


def lands(at: Forged, loop: Loop, task: Task) -> None:
    """main here follows until the task is done, and the courier has nothing left to do."""

    def done() -> bool:
        if at.pull.state == "closed" and task.id in loop.live.tasks:
            at.catch_up()
        return task.id not in loop.live.tasks and not loop.outsides.busy

    settle(loop, done)


@pytest.mark.parametrize("style", ["merge", "squash", "rebase"])
def test_approved_on_the_forge_it_is_merged_by_hqd_in_the_playbooks_style(tmp_path: Path, style: str) -> None:
    with in_review(tmp_path, land="on_approval", style=style) as (at, loop, task):
        at.forge.approve(1, "tim")
        lands(at, loop, task)
        parents = at.git("rev-list", "--parents", "-n1", at.pull.landed or "").split()[1:]
        assert at.pull.merged_by == "hqd-bot"
        assert at.git("show", f"main:content/{task.id[9:-7]}.md") == "three good words"
        assert len(parents) == (2 if style == "merge" else 1)
        assert at.hq.events(task.id)[-2:] == ["landed", "done"]
        assert labels(at.hq) == [("accepted", "merged")], "a label for the backtest, whoever pressed the button"
        assert at.git("for-each-ref", "refs/heads/hqd") == ""


@pytest.mark.parametrize("flavour", ["github-enterprise", "gitlab", "gitea"])
def test_the_whole_way_is_the_same_on_every_forge(tmp_path: Path, flavour: str) -> None:
    """Draft, words, ready; approval; merge by hqd; branch deleted."""
    with in_review(tmp_path, land="on_approval", style="squash", flavour=flavour) as (at, loop, task):
        assert not at.pull.draft
        assert {"hqd", "article"} <= set(at.pull.labels)
        assert any(task.id in said.body for said in at.forge.comments)
        assert [each.name for each in at.forge.checks(at.pull.head)] == ["hqd/word_count"]
        at.forge.approve(1, "tim")
        lands(at, loop, task)
        assert at.pull.merged_by == "hqd-bot"
        assert at.git("for-each-ref", "refs/heads/hqd") == ""


def test_approve_by_command_asks_the_forge_to_merge_what_was_approved(tmp_path: Path) -> None:
    """With on_merge too: `hqd approve` is the merge button, wherever the pull request is."""
    with in_review(tmp_path) as (at, loop, task):
        said = at.hq.ask(loop, "approve", task.id)
        assert (said.ok, said.message) == (True, f"{task.id}: approved; the forge is asked to merge #1")
        lands(at, loop, task)
        assert at.pull.merged_by == "hqd-bot"
        assert "Hqd-Work: " + task.id in at.git("log", "-1", "--format=%B", at.pull.landed or "")


def test_what_is_aimed_at_another_branch_is_merged_nowhere_by_hqd(tmp_path: Path) -> None:
    """Neither on an approval nor by command; aimed at main again, it lands."""
    with in_review(tmp_path, land="on_approval") as (at, loop, task):
        at.git("branch", "dev", "main")
        at.forge.edit(1, by="tim", base="dev")
        at.forge.approve(1, "tim")
        assert at.hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: "aimed at dev, not at main" in (at.hq.records(task.id)[-1].message or ""))
        assert at.pull.state == "open"
        at.forge.edit(1, by="tim", base="main")
        at.hq.ask(loop, "sync")
        lands(at, loop, task)


def test_new_commits_after_an_approval_are_not_merged_by_it(tmp_path: Path) -> None:
    """The word was on one commit; the forge is asked to merge that one, or nothing."""
    with in_review(tmp_path) as (at, loop, task):
        at.forge.protected["main"] = Protection(approvals=1)
        at.hq.ask(loop, "approve", task.id)
        settle(loop, lambda: "does not merge it yet" in (at.hq.records(task.id)[-1].message or ""))
        at.forge.protected.clear()
        clone = tmp_path / "clone"
        at.hq.git("clone", "-q", "-b", f"hqd/{task.id}", str(at.bare), str(clone))
        (clone / "more.md").write_text("more\n")
        for words in (("add", "."), ("commit", "-qm", "More"), ("push", "-q")):
            at.hq.git("-C", str(clone), *words)
        assert at.hq.ask(loop, "sync").ok
        settle(loop, lambda: review_of(only(loop)).head == at.git("rev-parse", f"hqd/{task.id}"))
        settle(loop)
        assert at.pull.state == "open"


def test_what_the_forge_does_not_merge_yet_waits_with_its_words(tmp_path: Path) -> None:
    """Branch protection is no fault of the work: it is tried again, and said once."""
    with in_review(tmp_path) as (at, loop, task):
        at.forge.protected["main"] = Protection(checks=("ci",))
        at.hq.ask(loop, "approve", task.id)
        settle(loop, lambda: "ci" in (at.hq.records(task.id)[-1].message or ""))
        assert at.hq.ask(loop, "sync").ok
        settle(loop, lambda: at.server.count("PUT", "/merge") >= 2)
        settle(loop)
        assert at.hq.events(task.id).count("feedback") == 2  # the approval, and why it waits
        at.forge.set_status(review_of(only(loop)).head, "ci", "success", by="tim")
        assert at.hq.ask(loop, "sync").ok
        lands(at, loop, task)


def test_a_style_that_the_forge_does_not_take_is_told_with_its_words(tmp_path: Path) -> None:
    with in_review(tmp_path, style="squash") as (at, loop, task):
        at.forge.styles = {"merge"}
        at.hq.ask(loop, "approve", task.id)
        settle(loop, lambda: "squash merges are not allowed" in (at.hq.records(task.id)[-1].message or ""))
        assert at.pull.state == "open"


@pytest.mark.parametrize("word", ["reject", "drop"])
def test_what_people_turn_down_is_closed_on_the_forge(tmp_path: Path, word: str) -> None:
    with in_review(tmp_path) as (at, loop, task):
        assert at.hq.ask(loop, word, task.id, message="not like this").ok
        settle(loop, lambda: at.pull.state == "closed")
        settle(loop, lambda: not loop.outsides.busy)
        assert at.pull.merged_at is None
        (said,) = [said for said in at.forge.comments if said.body.startswith(f"<!-- hqd:{task.id} -->")]
        assert ("blocked" if word == "reject" else "dropped") in said.body
        assert at.git("rev-parse", f"hqd/{task.id}") == review_of(task).head  # not landed, so not deleted


def test_a_pull_request_that_a_crash_left_open_is_closed_after_the_restart(tmp_path: Path) -> None:
    """The task ended, and hqd before the request: the next one looks."""
    with forged(tmp_path) as at:
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            settle(loop, lambda: State.REVIEW in {task.state for task in loop.live.tasks.values()})
            task = only(loop)
            at.server.fail(path=r"/pulls/1$", times=1000, status=503)
            at.hq.ask(loop, "drop", task.id)
            settle(loop, lambda: task.id not in loop.live.tasks)
        assert at.pull.state == "open"
        at.server.failures.clear()
        with at.hq.daemon() as again:
            settle(again, lambda: at.pull.state == "closed")


def test_work_that_came_to_main_by_a_plain_push_leaves_nothing_behind(tmp_path: Path) -> None:
    """A squash that the forge does not see as a merge: the pull request is closed, the branch is deleted."""
    with in_review(tmp_path) as (at, loop, task):
        at.hq.git("merge", "-q", "--squash", f"hqd/{task.id}")
        at.hq.git("commit", "-qm", f"By hand\n\nHqd-Work: {task.id}")
        at.hq.git("push", "-q", "origin", "main")
        settle(loop, lambda: task.id not in loop.live.tasks and not loop.outsides.busy)
        assert (at.pull.state, at.pull.merged_at) == ("closed", None)
        assert at.git("for-each-ref", "refs/heads/hqd") == ""


def test_a_branch_on_which_a_person_went_on_after_the_landing_stays(tmp_path: Path) -> None:
    """Nothing that is not proven reachable elsewhere is deleted."""
    with in_review(tmp_path) as (at, loop, task):
        at.hq.git("merge", "-q", "--squash", f"hqd/{task.id}")
        at.hq.git("commit", "-qm", "By hand")
        tree = at.git("rev-parse", f"hqd/{task.id}^{{tree}}")
        more = at.git(
            "-c", "user.name=T", "-c", "user.email=t@x", "commit-tree", tree, "-p", f"hqd/{task.id}", "-m", "+"
        )
        at.git("update-ref", f"refs/heads/hqd/{task.id}", more)
        settle(loop, lambda: task.id not in loop.live.tasks and not loop.outsides.busy)
        assert at.git("rev-parse", f"hqd/{task.id}") == more
        assert at.pull.state == "open"
