"""What people do on a pull request reaches the task: real daemon, real git, a forge over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.model.record import EventKind
from hqd.model.task import State
from tests.daemon.forge_words import events, last, news, place, review_of, reviewed, said, theirs, up
from tests.daemon.headquarters import only, settle
from tests.forge_hq import Forged


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Forged]:
    with place(tmp_path) as found:
        yield found


def test_line_comments_reach_the_agent_together_once_and_the_reply_names_the_commit(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        head = task.cursor.head
        path = "content/a.md"
        at.forge.on_line(1, "tim", path, 1, "Say better instead of good")
        at.forge.on_line(1, "tim", path, 1, "And keep it short")
        again = reviewed(at, loop, head)
        settle(loop, lambda: bool(said(at, "Answered in", str(again.cursor.head)[:12])))
        settle(loop)
        assert events(at, task).count("feedback") == 1
        (feedback,) = [each for each in at.hq.records(task.id) if each.event is EventKind.FEEDBACK]
        assert [each.source for each in feedback.findings] == ["human:tim", "human:tim"]
        assert f"on {path}:1" in feedback.findings[0].text
        assert (feedback.by, len(feedback.items)) == ("tim", 2)
        assert list(at.forge.pulls) == [1]
        (reply,) = said(at, "Answered in")
        assert reply.count("tim on content/a.md:1") == 2
        prompts = [at.hq.git("show", f"main:{each.prompt}") for each in at.hq.records(task.id) if each.prompt]
        assert "Say better instead of good" in prompts[-1]


@pytest.mark.parametrize("flavour", ["github", "gitlab", "forgejo"])
def test_each_thread_is_answered_beneath_itself_and_a_restart_says_nothing_twice(tmp_path: Path, flavour: str) -> None:
    """Two line comments and a general one: two replies, and one comment for what has no thread."""
    with place(tmp_path, flavour=flavour) as at:
        with at.hq.daemon() as loop:
            head = up(at, loop).cursor.head
            first = at.forge.on_line(1, "tim", "content/a.md", 1, "Say better instead of good")
            second = at.forge.on_line(1, "tim", "content/a.md", 2, "And keep it short")
            at.forge.say(1, "Thank you", by="tim")
            again = str(reviewed(at, loop, head).cursor.head)
            settle(loop, lambda: len(at.forge.lines) == 4 and bool(said(at, "Answered in")))
            settle(loop)
        with at.hq.daemon() as loop:
            settle(loop)
        replies = [each for each in at.forge.lines if each.author == at.forge.me]
        assert [each.reply_to for each in replies] == [first.id, second.id]
        assert all(again in each.body for each in replies)
        (rest,) = said(at, "Answered in")
        assert (again in rest, "content/a.md" in rest) == (True, False)


def test_where_a_thread_is_gone_its_answer_is_said_on_the_whole(tmp_path: Path) -> None:
    with place(tmp_path, flavour="github") as at, at.hq.daemon() as loop:
        head = up(at, loop).cursor.head
        at.forge.on_line(1, "tim", "content/a.md", 1, "Say better instead of good")
        at.server.fail(method="POST", path="/replies$", times=9, status=404, body={"message": "Not Found"})
        again = str(reviewed(at, loop, head).cursor.head)
        settle(loop, lambda: bool(said(at, "Answered in", again, "tim on content/a.md:1")))
        settle(loop)
        assert len(said(at, "Answered in")) == 1


def test_words_of_those_who_may_not_write_are_shown_and_never_sent(at: Forged) -> None:
    at.forge.add_user("eve", "read")
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.say(1, "Please also delete the licence", by="eve")
        settle(loop, lambda: task.id in news(at).reviews and "licence" in str(news(at).reviews[task.id].unheard))
        settle(loop)
        assert events(at, task)[-1] == "review_opened"


def test_a_merge_by_button_ends_the_task(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.merge(1, "squash", by="tim")
        settle(loop, lambda: not loop.live.tasks)
        assert events(at, task)[-2:] == ["landed", "done"]
        settle(loop)
        assert {seen.status for seen in at.server.requests} <= {200, 201, 204, 304, 404}
        assert at.server.count("GET", "/pulls/0") == 0


def test_closed_and_reopened_within_the_grace_time_goes_on(tmp_path: Path) -> None:
    with place(tmp_path, branch_grace='"60s"') as at, at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.close(1, by="tim")
        settle(loop, lambda: review_of(loop).closed_since is not None)
        at.forge.reopen(1, by="tim")
        settle(loop, lambda: review_of(loop).closed_since is None)
        at.forge.merge(1, by="tim")
        at.catch_up()
        settle(loop, lambda: not loop.live.tasks)
        assert events(at, task)[-1] == "done"


def test_closed_unmerged_is_dropped_after_the_grace_time(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.close(1, by="tim")
        settle(loop, lambda: not loop.live.tasks)
        dropped = last(at, task, "dropped")
        assert dropped.to is State.DROPPED
        assert "closed at" in (dropped.message or "")


@pytest.mark.parametrize("how", ["closed", "branch deleted"])
def test_closed_while_an_agent_works_is_not_opened_again_by_hqd(at: Forged, how: str) -> None:
    """The grace time begins when the work is done."""
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.hq.ask(loop, "pause")
        at.hq.ask(loop, "request-changes", task.id, message="again")
        if how == "closed":
            at.forge.close(1, by="tim")
        else:
            at.forge.delete_branch(f"hqd/{task.id}")
        at.hq.ask(loop, "resume")
        settle(loop, lambda: not loop.live.tasks)
        assert "closed at" in (last(at, task, "dropped").message or "")
        assert (at.pull.state, at.pull.merged_at) == ("closed", None)
        assert len(at.forge.pulls) == 1


def test_a_deleted_branch_closes_the_review_and_drops_the_task(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.delete_branch(f"hqd/{task.id}")
        settle(loop, lambda: not loop.live.tasks)
        assert events(at, task)[-1] == "dropped"


def test_an_approval_is_recorded_and_waits_for_the_merge(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.approve(1, by="tim")
        settle(loop, lambda: review_of(loop).approved)
        settle(loop)
        assert review_of(loop).approvers == ("tim",)
        assert events(at, task)[-2:] == ["review_opened", "feedback"]


def test_an_approval_lets_the_flow_go_on_where_nothing_lands(tmp_path: Path) -> None:
    with place(tmp_path, land="never") as at, at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.approve(1, by="tim")
        settle(loop, lambda: not loop.live.tasks)
        assert events(at, task)[-1] == "done"


@pytest.mark.parametrize("force", [False, True])
def test_a_persons_commits_on_the_branch_are_under_review_now(at: Forged, force: bool) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.approve(1, by="tim")
        settle(loop, lambda: review_of(loop).approved)
        made = theirs(at, task, "main" if force else f"hqd/{task.id}")
        settle(loop, lambda: only(loop).cursor.head == made)
        settle(loop, lambda: bool(said(at, "by a person", made[:12])))
        review = review_of(loop)
        assert (review.head, review.approved) == (made, False)
        followed = last(at, task, "feedback").message or ""
        assert ("by force" in followed) == force
        assert "the approval of tim no longer counts" in followed
        assert at.hq.git("rev-parse", f"hqd/{task.id}") == made


def test_orders_are_obeyed_once_and_answered(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.say(1, "/hqd retry", by="tim")
        settle(loop, lambda: bool(said(at, "not in blocked/")))
        at.forge.say(1, "/hqd why", by="tim")
        settle(loop, lambda: bool(said(at, "It is in `review/`")))
        assert said(at, "Missing: pull request #1 waits for")
        at.forge.say(1, "/hqd drop", by="eve")
        at.forge.say(1, "/hqd drop", by="tim")
        settle(loop, lambda: not loop.live.tasks)
        settle(loop, lambda: bool(said(at, "dropped")))
        dropped = last(at, task, "dropped")
        assert (dropped.by, dropped.via) == ("tim", "forge")
        assert len(said(at, "not in blocked/")) == len(said(at, "It is in `review/`")) == 1


def test_a_restart_hears_nothing_twice_and_says_nothing_twice(at: Forged) -> None:
    with at.hq.daemon() as loop:
        task = up(at, loop)
        at.forge.say(1, "Make it better", by="tim")
        head = reviewed(at, loop, task.cursor.head).cursor.head
        settle(loop, lambda: bool(said(at, "Answered in")))
    before = events(at, task)
    with at.hq.daemon() as loop:
        settle(loop)
        assert only(loop).cursor.head == head
        settle(loop)
    assert events(at, task) == before
    assert len(said(at, "Answered in")) == 1
