"""A review step on a forge: one pull request, brought up to date, whatever happens on the way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hqd.daemon.loop import Loop
from hqd.errors import BranchMoved
from hqd.model.board import Task
from hqd.model.opening import Brief, Opening
from hqd.model.record import ReviewState
from hqd.model.task import State
from hqd.testing.forge_app import FakeApp
from hqd.testing.forge_server import TOKEN
from tests.daemon.headquarters import only, settle
from tests.forge_hq import TASK, Forged, forged


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Forged]:
    with forged(tmp_path) as found:
        yield found


def in_state(loop: Loop, state: State) -> Callable[[], bool]:
    return lambda: state in {task.state for task in loop.live.tasks.values()}


def reviewed(at: Forged, loop: Loop) -> tuple[Task, ReviewState]:
    """The one task, once it waits for people."""
    settle(loop, in_state(loop, State.REVIEW))
    task = only(loop)
    assert task.cursor.review is not None
    return task, task.cursor.review


def comment_of(at: Forged, task: Task) -> str:
    """The one comment that is kept up to date."""
    (said,) = [said.body for said in at.forge.comments if said.body.startswith(f"<!-- hqd:{task.id} -->")]
    return said


def test_a_review_is_a_pull_request_of_the_pushed_branch(at: Forged) -> None:
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, review = reviewed(at, loop)
    assert (review.number, review.head) == (1, task.cursor.head)
    assert review.url is not None
    assert at.git("rev-parse", f"hqd/{task.id}") == task.cursor.head
    assert (at.pull.branch, at.pull.base, at.pull.draft) == (f"hqd/{task.id}", "main", False)
    assert (at.pull.title, at.pull.reviewers, at.pull.labels) == ("An article", ["tim"], ["hqd", "article"])


def test_it_says_what_was_asked_and_checked_and_shadow_gates_say_nothing(at: Forged) -> None:
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, review = reviewed(at, loop)
    assert "```text\n# An article\n\nWrite it.\n```" in at.pull.body
    assert "| `write` | `word_count` | enforce | pass |" in at.pull.body
    assert [(each.name, each.state) for each in at.forge.checks(review.head)] == [("hqd/word_count", "success")]
    everything = at.pull.body + repr(at.forge.comments) + repr(at.forge.statuses)
    assert "must_include" not in everything
    assert "zebra" not in everything
    assert "1 attempt," in comment_of(at, task)


def test_everything_is_said_before_people_are_told_that_it_is_ready(at: Forged) -> None:
    """A draft tells nobody; ready is the last request."""
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        reviewed(at, loop)
    writes = [seen.path for seen in at.server.requests if seen.method == "POST"]
    assert writes[0].endswith("/pulls")
    assert writes[-1] == "/graphql"
    assert {"labels", "requested_reviewers", "comments"} <= {path.rsplit("/", 1)[-1] for path in writes[1:-1]}


def test_feedback_is_answered_on_the_same_pull_request(at: Forged) -> None:
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, first = reviewed(at, loop)
        at.hq.answers({"answer": "four much better words"})
        assert at.hq.ask(loop, "request-changes", task.id, message="better words").ok
        settle(loop, lambda: only(loop).cursor.head != first.head and in_state(loop, State.REVIEW)())
        settle(loop, lambda: not loop.outsides.busy)
        task, second = reviewed(at, loop)
    assert (second.number, second.head) == (1, task.cursor.head)
    assert at.git("rev-parse", f"hqd/{task.id}") == second.head == at.pull.head
    assert len(at.forge.pulls) == 1
    assert "| `write` | `worker` | 2 | 0 |" in at.pull.body
    assert "2 attempts," in comment_of(at, task)
    assert at.git("show", f"hqd/{task.id}:content/a.md") == "four much better words"


def test_a_description_that_a_person_has_rewritten_stays(at: Forged) -> None:
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
        at.forge.edit(1, by="tim", title="Tim's title", body="Tim's words")
        at.hq.ask(loop, "request-changes", task.id, message="again")
        settle(loop, lambda: at.hq.events(task.id).count("review_opened") == 2)
    assert (at.pull.title, at.pull.body) == ("Tim's title", "Tim's words")


def test_what_people_have_set_otherwise_stays(at: Forged) -> None:
    """A title of their own, a draft again, a label taken off; hqd's own description goes on."""
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
        at.forge.edit(1, by="tim", title="Tim's title", draft=True)
        at.forge.assign(1, "labels", [], ("article",))
        at.hq.ask(loop, "request-changes", task.id, message="again")
        settle(loop, lambda: at.hq.events(task.id).count("review_opened") == 2)
    assert (at.pull.title, at.pull.draft, at.pull.labels) == ("Tim's title", True, ["hqd"])
    assert "| `write` | `worker` | 2 | 0 |" in at.pull.body


def test_what_was_rejected_and_tried_again_is_taken_up_on_its_pull_request(at: Forged) -> None:
    """The talk of before stays with the work."""
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
        at.hq.ask(loop, "reject", task.id, message="no")
        settle(loop, lambda: at.pull.state == "closed" and not loop.outsides.busy)
        at.hq.ask(loop, "retry", task.id)
        settle(loop, lambda: at.hq.events(task.id).count("review_opened") == 2)
        settle(loop, lambda: not loop.outsides.busy)
    assert at.pull.state == "open"


def pushed_by_tim(at: Forged, task: Task, head: str) -> str:
    """A person's commit on top of `head`, on the task's branch on the forge."""
    tree = at.git("rev-parse", f"{head}^{{tree}}")
    made = at.git("-c", "user.name=T", "-c", "user.email=t@x", "commit-tree", tree, "-p", head, "-m", "Mine")
    at.git("update-ref", f"refs/heads/hqd/{task.id}", made)
    return made


def test_a_persons_commit_that_came_before_the_opening_is_under_review_too(at: Forged) -> None:
    """Pushed between two tries of hqd's: theirs counts, and nothing is forced."""
    at.server.fail(method="POST", path=r"/pulls$", times=4, status=500)
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        settle(loop, lambda: "forge" in loop.live.holds, seconds=40)
        task = only(loop)
        theirs = pushed_by_tim(at, task, task.cursor.head or "")
        at.hq.ask(loop, "resume", name="forge")
        task, review = reviewed(at, loop)
    assert (review.head, at.pull.head) == (theirs, theirs)
    assert at.hq.git("rev-parse", f"hqd/{task.id}") == theirs


def test_work_that_was_put_onto_a_newer_main_replaces_what_it_was(at: Forged) -> None:
    """A rebase does not descend from what was pushed before; a person's commit in between is not overwritten."""
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, review = reviewed(at, loop)
        forge, step = loop.parts.places(None).forge, loop.parts.rulebook.current.playbooks["article"].step("approve")
        words = Brief("Again", "body", "comment")

        def reopened(parent: str) -> ReviewState:
            tree = at.hq.git("rev-parse", f"{review.head}^{{tree}}")
            anew = at.hq.git("commit-tree", tree, "-p", parent, "-m", f"Anew on {parent}")
            cursor = task.cursor.model_copy(update={"head": anew, "base": parent})
            return forge.open(Opening(task.changed(cursor=cursor), step, parent, loop.parts.clock.now(), lambda: words))

        found = reopened(at.hq.git("rev-parse", "main"))
        assert (found.number, at.pull.head) == (1, found.head)
        assert found.head != review.head
        theirs = pushed_by_tim(at, task, found.head)
        with pytest.raises(BranchMoved):
            reopened(at.hq.git("rev-parse", "main~1"))
        assert at.git("rev-parse", f"hqd/{task.id}") == theirs


def test_a_reviewer_whom_the_forge_does_not_know_keeps_nothing_from_people(at: Forged) -> None:
    del at.forge.users["tim"]
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
    assert not at.pull.draft
    assert "The forge does not let hqd ask for the review of `tim`." in comment_of(at, task)


def test_a_locked_conversation_keeps_the_work_from_nobody(at: Forged) -> None:
    """The refusal is of one pull request: no hold, no park."""
    locked = {"message": "Unable to create comment because issue is locked"}
    at.server.fail(method="POST", path="/comments$", times=99, status=403, body=locked)
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
        at.hq.ask(loop, "drop", task.id)
        settle(loop, lambda: at.pull.state == "closed" and not loop.outsides.busy)
        assert "forge" not in loop.live.holds
        assert any("locked" in note for note in at.hq.shown.notes)


def test_a_forge_without_drafts_gets_a_plain_pull_request(at: Forged) -> None:
    at.forge.drafts_allowed = False
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        reviewed(at, loop)
    assert not at.pull.draft


@pytest.mark.parametrize(
    "path", [r"/pulls$", "/comments$", "/labels$", "/requested_reviewers$", "/statuses/", "/graphql"]
)
def test_a_request_that_was_done_and_answered_with_an_error_is_done_once(at: Forged, path: str) -> None:
    """ "Did it, then failed": looked up or harmless, never a second pull request or comment."""
    at.server.fail(method="POST", path=path, times=1, status=502, done=True)
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task, _review = reviewed(at, loop)
    assert not at.pull.draft
    assert comment_of(at, task)


def test_a_step_without_work_is_decided_by_words(tmp_path: Path) -> None:
    """Nothing to push, no pull request: a forge would refuse one."""
    asks = 'name = "article"\naccepts = { tags = ["article"] }\n[[steps]]\nname = "look"\nreview = {}\n'
    with forged(tmp_path) as at:
        at.hq.write("playbooks/article.toml", asks)
        at.hq.commit()
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            task, review = reviewed(at, loop)
            assert review.number is None
            assert at.hq.ask(loop, "approve", task.id).ok
            settle(loop, lambda: task.id not in loop.live.tasks)
    assert not at.forge.pulls


def test_with_a_github_app_gates_are_check_runs(tmp_path: Path) -> None:
    """And its tokens are as little to be found as any other."""
    pytest.importorskip("jwt", reason="the extra github-app is not installed")
    from tests.integration.test_github_app import PRIVATE, PUBLIC

    keys = {"token": "", "app_id": '"4711"', "app_key": '"secret:app"'}
    with forged(tmp_path, **keys) as at:
        at.server.app, at.server.token = FakeApp("4711", PUBLIC), "nobody's"
        at.forge.me = "hqd[bot]"
        at.forge.add_user("hqd[bot]", "write", bot=True)
        at.hq.env["HQD_SECRET_APP"] = PRIVATE
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            task, review = reviewed(at, loop)
        assert [(each.name, each.run) for each in at.forge.checks(review.head)] == [("hqd/word_count", True)]
        assert comment_of(at, task)
        assert at.server.app.issued
        for secret in (at.server.app.issued[0], PRIVATE.splitlines()[1]):
            grep = subprocess.run(["grep", "-rlaF", "--", secret, str(tmp_path)], capture_output=True, check=False)
            assert grep.stdout == b""


# -- what keeps a forge from being had --------------------------------------------------------------------------


def held(at: Forged, loop: Loop) -> str:
    """What the hold of the forge says is missing."""
    at.hq.drop("a.md", TASK)

    def waits() -> bool:
        tasks = [task for task in loop.live.tasks.values() if task.state is State.QUEUE]
        written = any(task.cursor.attempts.get("write") and not loop.runner.running for task in tasks)
        return written and "forge" in loop.live.holds

    settle(loop, waits, seconds=60)
    return loop.live.holds["forge"].missing


def test_a_revoked_token_holds_the_forge_and_not_the_task(at: Forged) -> None:
    """One hold, said clearly; other work goes on; the right token lets all go on."""
    at.hq.env["HQD_SECRET_FORGE"] = "revoked"
    with at.hq.daemon() as loop:
        assert "the forge does not accept the token" in held(at, loop)
        at.hq.drop("plain.md")
        settle(loop, lambda: bool(at.hq.folder("done")))
        at.server.token = "revoked"
        at.hq.ask(loop, "resume", name="forge")
        reviewed(at, loop)
        settle(loop, lambda: "forge" not in loop.live.holds)
    assert at.hq.events(next(iter(loop.live.tasks))).count("parked") == 0


def test_a_server_that_does_not_take_the_branch_holds_with_its_words(at: Forged) -> None:
    hook = at.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'names begin with a ticket' >&2\nexit 1\n")
    hook.chmod(0o755)
    with at.hq.daemon() as loop:
        assert "names begin with a ticket" in held(at, loop)
        assert loop.live.holds["forge"].reason == "policy"
    assert not at.forge.pulls


def test_a_repository_that_is_not_there_holds(tmp_path: Path) -> None:
    with forged(tmp_path, repo='"acme/other"') as at, at.hq.daemon() as loop:
        assert "`repo` in [forge]" in held(at, loop)


def test_an_hq_without_an_origin_holds_with_what_is_lacking(at: Forged) -> None:
    at.hq.git("remote", "remove", "origin")
    with at.hq.daemon() as loop:
        assert "git remote add origin" in held(at, loop)


def test_a_forge_that_is_down_holds_with_its_own_wait_and_lifts_by_itself(at: Forged) -> None:
    """Asked to wait: nothing is sent before, no attempt is counted, and a probe lifts it."""
    at.server.fail(times=1, status=503, headers={"retry-after": "50"}, method="GET", path=r"/pulls\?.*head=")
    with at.hq.daemon() as loop:
        held(at, loop)
        hold = loop.live.holds["forge"]
        assert hold.reason == "provider"
        assert hold.probe is not None
        assert (hold.probe - hold.since).total_seconds() == 50
        assert only(loop).cursor.counted == 1  # the writing alone
        loop.live.probe_at["forge"] = loop.parts.clock.now()
        reviewed(at, loop)
        settle(loop, lambda: "forge" not in loop.live.holds)


def test_one_opening_at_a_time_tries_a_held_forge(at: Forged) -> None:
    at.server.fail(times=1000, status=401, body={"message": "Bad credentials"})
    with at.hq.daemon() as loop:
        held(at, loop)
        for name in "bcd":
            at.hq.drop(f"{name}.md", TASK)
        settle(loop, lambda: [task.cursor.attempts.get("write") for task in loop.live.tasks.values()] == [1] * 4)
        settle(loop, lambda: not loop.runner.running)
        loop.live.probe_at["forge"] = loop.parts.clock.now()
        claims = sum(at.hq.events(task).count("claimed") for task in loop.live.tasks)
        settle(loop)
        assert sum(at.hq.events(task).count("claimed") for task in loop.live.tasks) == claims + 1
        assert loop.live.probe_at["forge"] > loop.parts.clock.now()


# -- where the token goes ---------------------------------------------------------------------------------------

SPY = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "spy"
deliver = "content/a.md"
[[steps]]
name = "approve"
review = {}
"""


def test_the_token_is_nowhere_but_in_requests(tmp_path: Path) -> None:
    """Not in git's configuration, a record, a log, a file of hqd's, nor in what an agent or a gate can see."""
    look = "tr '\\0' '\\n' < /proc/self/environ; tr '\\0' '\\n' < /proc/$$/environ; env; git config -l; echo done"
    argv = json.dumps(["sh", "-c", look])
    with forged(tmp_path) as at:
        text = (at.hq.root / "hqd.toml").read_text()
        at.hq.write("hqd.toml", text + f'[agents.spy]\nprovider = "command"\nargv = {argv}\npass_env = ["*"]\n')
        at.hq.write("playbooks/article.toml", SPY)
        at.hq.commit()
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            reviewed(at, loop)
            at.server.fail(times=10, status=403, body={"message": f"no, {TOKEN}"}, path="/comments")
            at.hq.ask(loop, "request-changes", only(loop).id, message="again")
            settle(loop, lambda: not loop.runner.running and not loop.outsides.busy)
        everything = at.hq.git("log", "--all", "-p", "--format=%B") + repr(at.hq.shown.notes)
        assert "done" in everything
        assert TOKEN not in everything
        assert all(TOKEN not in seen.path for seen in at.server.requests)
    grep = subprocess.run(["grep", "-rlaF", TOKEN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert grep.stdout == ""
