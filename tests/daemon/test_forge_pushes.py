"""People push to a task's branch while hqd works on it: their commits count, and nothing of anybody's is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hqd.daemon.loop import Loop
from hqd.model.board import Task
from hqd.model.failure import ParkReason
from hqd.model.names import branch
from hqd.model.task import State
from tests.daemon import target_repository
from tests.daemon.forge_words import events, last, place, reviewed, rounds, said
from tests.daemon.headquarters import Headquarters, make, only, settle
from tests.forge_hq import TASK, Forged
from tests.forge_scene import commit

FIRST, SECOND = "three good words", "three better words"
PLAYBOOK = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/a.md"
overwrite = true
gates = [{ kind = "must_not_include", values = ["forbidden"], target = "file:content/b.md" }]
[[steps]]
name = "approve"
review = { on_changes = "write", update = "UPDATE" }
"""
POLISH = """
[[steps]]
name = "polish"
agent = "worker"
gates = [{ kind = "word_count", min = 3 }]
on_fail = ["human"]
"""


@contextmanager
def desk(root: Path, update: str = "merge", more: str = "") -> Iterator[Forged]:
    """An HQ on a forge, with a text of somebody's on main. `more`: further steps before the review."""
    with place(root, playbook(update, more)) as at:
        at.hq.write("content/b.md", "notes\n")
        at.hq.commit("notes")
        at.hq.git("push", "-q", "origin", "main")
        yield at


def playbook(update: str = "merge", more: str = "") -> str:
    review = '[[steps]]\nname = "approve"'
    return PLAYBOOK.replace("UPDATE", update).replace(review, more + review)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Forged]:
    with desk(tmp_path) as found:
        yield found


def asked_again(at: Forged, loop: Loop) -> Task:
    """The task, of which changes are wanted that nobody works on yet."""
    at.hq.drop("a.md", TASK)
    task = reviewed(at, loop)
    at.hq.ask(loop, "pause")
    at.hq.ask(loop, "request-changes", task.id, message="again")
    return task


def pushed(at: Forged, task: Task, start: str | None, **files: str) -> str:
    """A person's push to the task's branch of `files`, on top of `start`."""
    paths = {f"content/{name}.md": text for name, text in files.items()}
    return commit(at.bare, branch(task.id), paths, start or branch(task.id), "By hand")


def read(at: Forged, task: Task, path: str) -> str:
    return at.git("show", f"{branch(task.id)}:{path}").strip()


@pytest.mark.parametrize("update", ["merge", "rebase"])
def test_a_push_beside_the_agents_work_goes_together_with_it_without_anybody(tmp_path: Path, update: str) -> None:
    with desk(tmp_path, update) as at, at.hq.daemon() as loop:
        task = asked_again(at, loop)
        theirs = pushed(at, task, None, b="by hand")
        at.hq.ask(loop, "resume")
        again = reviewed(at, loop, task.cursor.head)
        assert (read(at, task, "content/a.md"), read(at, task, "content/b.md")) == (SECOND, "by hand")
        assert at.git("merge-base", theirs, str(again.cursor.head)) == theirs
        parents = at.git("log", "-1", "--format=%P", branch(task.id)).split()
        assert len(parents) == (2 if update == "merge" else 1)
        assert f"Hqd-Work: {task.id}" in at.git("log", "-1", "--format=%B", branch(task.id))
        opened = last(at, task, "review_opened")
        assert theirs[:12] in (opened.message or "")
        assert [gate.kind for gate in opened.gates] == ["must_not_include"]
        assert "parked" not in events(at, task)
        assert (list(at.forge.pulls), at.pull.head, at.pull.draft) == ([1], again.cursor.head, False)
        settle(loop)
        assert events(at, task)[-1] == "review_opened"


def test_a_push_by_force_beside_the_agents_work_wins_and_the_difference_is_put_onto_it(at: Forged) -> None:
    """What the person has thrown away does not come back with the agent's commits."""
    with at.hq.daemon() as loop:
        task = asked_again(at, loop)
        old = str(task.cursor.head)
        theirs = pushed(at, task, "main", a=FIRST, b="by hand")
        at.hq.ask(loop, "resume")
        again = reviewed(at, loop, old)
        assert (read(at, task, "content/a.md"), read(at, task, "content/b.md")) == (SECOND, "by hand")
        assert at.git("log", "-1", "--format=%P", str(again.cursor.head)) == theirs
        assert old not in at.git("rev-list", branch(task.id)).split()
        assert "by force" in (last(at, task, "review_opened").message or "")
        assert at.hq.git("rev-parse", branch(task.id)) == again.cursor.head


def test_a_branch_that_was_set_back_meanwhile_is_not_set_forward_over_a_persons_will(at: Forged) -> None:
    """The agent's work rests on commits that a person has taken away since: they do not come back."""
    with at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        task = reviewed(at, loop)
        pushed(at, task, None, c="one too many")
        settle(loop, lambda: only(loop).cursor.head != task.cursor.head)
        at.hq.ask(loop, "pause")
        at.hq.ask(loop, "request-changes", task.id, message="again")
        at.git("update-ref", f"refs/heads/{branch(task.id)}", str(task.cursor.head))
        before = only(loop).cursor.head
        at.hq.ask(loop, "resume")
        again = reviewed(at, loop, before)
        assert at.git("log", "-1", "--format=%P", str(again.cursor.head)) == task.cursor.head
        assert at.git("ls-tree", "--name-only", branch(task.id), "content/").split() == ["content/a.md", "content/b.md"]
        assert read(at, task, "content/a.md") == SECOND


def test_what_does_not_go_together_is_the_agents_to_resolve_on_the_new_tip(at: Forged) -> None:
    both = "three last words, and one by hand"
    at.hq.answers({"attempt": 1, "answer": FIRST}, {"attempt": 2, "answer": SECOND}, {"attempt": 3, "answer": both})
    with at.hq.daemon() as loop:
        task = asked_again(at, loop)
        theirs = pushed(at, task, None, a="three good words, and one by hand")
        at.hq.ask(loop, "resume")
        again = reviewed(at, loop, task.cursor.head)
        assert read(at, task, "content/a.md") == both
        assert at.git("merge-base", theirs, str(again.cursor.head)) == theirs
        failed = next(
            record for record in at.hq.records(task.id) if record.failure is not None
        )  # fmt: skip
        assert (failed.step, failed.failure) == ("approve", "conflict")
        assert theirs[:12] in failed.findings[0].text
        assert "and one by hand" in failed.findings[1].text
        assert failed.findings[0].source == "people"
        assert list(at.forge.pulls) == [1]
        assert len(said(at, "Answered in")) <= 1


def test_what_an_agent_cannot_bring_together_is_a_persons_who_may_do_it_by_hand(at: Forged) -> None:
    """Bounded: three times an agent, then a park that names both; what is pushed then is what counts."""
    at.hq.answers({"attempt": 1, "answer": FIRST}, {"answer": "<<<<<<< one\ntwo\n>>>>>>> three"})
    at.hq.git("push", "-q", "origin", "main")
    with at.hq.daemon() as loop:
        task = asked_again(at, loop)
        theirs = pushed(at, task, None, a="by hand")
        at.hq.ask(loop, "resume")
        settle(loop, lambda: only(loop).state is State.BLOCKED, seconds=40)
        assert at.git("rev-parse", branch(task.id)) == theirs
        settle(loop)
        assert "feedback" not in events(at, task)[-2:]
        mine = pushed(at, task, None, a="by hand, both")
        settle(loop, lambda: only(loop).cursor.head == mine)
        at.hq.ask(loop, "retry", task.id, **{"from": "approve"})
        again = reviewed(at, loop, theirs)
        assert again.cursor.head == mine
        assert read(at, task, "content/a.md") == "by hand, both"


def test_gates_that_are_red_on_both_together_are_the_agents(at: Forged) -> None:
    at.hq.answers({"attempt": 1, "answer": FIRST}, {"attempt": 2, "answer": SECOND}, {"answer": "three last words"})
    with at.hq.daemon() as loop:
        task = asked_again(at, loop)
        theirs = pushed(at, task, None, b="forbidden")
        at.hq.ask(loop, "resume")
        settle(loop, lambda: any(each.failure is not None for each in at.hq.records(task.id)))
        failed = next(record for record in at.hq.records(task.id) if record.failure is not None)
        assert (failed.step, failed.failure) == ("approve", "conflict")
        assert any("forbidden" in finding.text for finding in failed.findings)
        assert failed.work is not None
        assert at.hq.git("merge-base", theirs, str(failed.work.head)) == theirs


def test_accepted_work_that_nobody_has_seen_outlives_a_push_to_a_blocked_task(tmp_path: Path) -> None:
    """The first of two agents has done its part, the second needs a human; a person pushes; all three stay."""
    with desk(tmp_path, more=POLISH) as at, at.hq.daemon() as loop:
        at.hq.answers(
            {"step": "write", "attempt": 1, "answer": FIRST}, {"step": "write", "answer": SECOND},
            {"step": "polish", "attempt": 2, "answer": "short"}, {"step": "polish", "answer": "it is long enough"},
        )  # fmt: skip
        task = asked_again(at, loop)
        at.hq.ask(loop, "resume")
        settle(loop, lambda: only(loop).state is State.BLOCKED)
        assert only(loop).cursor.reason is not ParkReason.CONFLICT
        work = only(loop).cursor.head
        theirs, before = pushed(at, task, None, b="by hand"), rounds(at)
        settle(loop, lambda: rounds(at) > before + 2)
        assert only(loop).cursor.head == work
        at.hq.ask(loop, "retry", task.id)
        again = reviewed(at, loop, work)
        assert (read(at, task, "content/a.md"), read(at, task, "content/b.md")) == (SECOND, "by hand")
        assert at.git("merge-base", theirs, str(again.cursor.head)) == theirs


def test_a_push_that_comes_between_two_tries_of_an_opening_is_taken_in(at: Forged) -> None:
    """hqd's own merge, which a crash kept from being recorded, is found on the branch like a person's."""
    with at.hq.daemon() as loop:
        task = asked_again(at, loop)
        theirs = pushed(at, task, None, b="by hand")
        at.server.fail(method="PATCH", path=r"/pulls/1$", times=99, status=500)
        at.server.fail(method="POST", path=r"/statuses/", times=99, status=500)
        at.hq.ask(loop, "resume")
        settle(loop, lambda: "forge" in loop.live.holds, seconds=40)
        merged = at.git("rev-parse", branch(task.id))
        assert merged != theirs
        at.server.failures.clear()
        at.hq.ask(loop, "resume", name="forge")
        again = reviewed(at, loop, task.cursor.head)
        assert again.cursor.head == merged
        assert list(at.forge.pulls) == [1]


# -- without a forge -------------------------------------------------------------------------------------------


def local(tmp_path: Path) -> Headquarters:
    hq = make(tmp_path, article=playbook())
    hq.answers({"attempt": 1, "answer": FIRST}, {"answer": SECOND})
    hq.write("content/b.md", "notes\n")
    hq.commit()
    return hq


@pytest.mark.parametrize("force", [False, True])
def test_without_a_forge_a_persons_commits_on_the_branch_are_not_overwritten_either(
    tmp_path: Path, force: bool
) -> None:
    hq = local(tmp_path)
    hq.drop("a.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        hq.ask(loop, "pause")
        hq.ask(loop, "request-changes", task.id, message="again")
        files = {"content/b.md": "by hand\n", **({"content/a.md": FIRST} if force else {})}
        theirs = commit(hq.root / ".git", branch(task.id), files, "main" if force else branch(task.id), "By hand")
        hq.ask(loop, "resume")
        settle(loop, lambda: bool(hq.folder("review")) and only(loop).cursor.head != task.cursor.head)
        again = only(loop)
        assert hq.git("rev-parse", branch(task.id)) == again.cursor.head
        assert hq.git("merge-base", theirs, str(again.cursor.head)) == theirs
        assert hq.git("show", f"{branch(task.id)}:content/a.md").strip() == SECOND
        assert hq.git("show", f"{branch(task.id)}:content/b.md").strip() == "by hand"


def test_a_main_that_a_person_has_merged_into_the_branch_is_not_the_works(tmp_path: Path) -> None:
    """The button `Update branch`: the review's gates judge what the task has changed, not what main has."""
    limit = 'gates = [{ kind = "diff_limits", max_files = 1 }]\nreview = {'
    with desk(tmp_path) as at, at.hq.daemon() as loop:
        at.hq.write("playbooks/article.toml", playbook().replace("review = {", limit))
        at.hq.commit("limits")
        at.hq.drop("a.md", TASK)
        task = reviewed(at, loop)
        at.hq.git("push", "-q", "origin", "main")
        commit(at.bare, "main", {"content/x.md": "x", "content/y.md": "y"}, "main", "Of somebody else")
        tree = at.git("merge-tree", "--write-tree", "main", branch(task.id)).split()[0]
        sides = ("-p", branch(task.id), "-p", "main")
        made = at.git("-c", "user.name=T", "-c", "user.email=t@x", "commit-tree", tree, *sides, "-m", "Update branch")
        at.git("update-ref", f"refs/heads/{branch(task.id)}", made)
        again = reviewed(at, loop, task.cursor.head)
        settle(loop, lambda: events(at, task)[-1] == "review_opened")
        assert again.cursor.head == made
        opened = last(at, task, "review_opened")
        assert ([gate.status.value for gate in opened.gates], opened.message) == (["pass"], None)


def test_in_a_target_repository_too_an_agents_program_and_a_person_work_at_once(tmp_path: Path) -> None:
    code = (
        "import os, pathlib; pathlib.Path('calc.py').write_text(%r + '# ' + os.environ['HQD_ATTEMPT']); print('done')"
    )
    hq, site = target_repository.shop(tmp_path, mender=code % target_repository.GREEN)
    hq.drop("mend.md", target_repository.TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        hq.ask(loop, "pause")
        hq.ask(loop, "request-changes", task.id, message="again")
        site.git("fetch", "--quiet", "origin")
        site.git("switch", "--quiet", branch(task.id))
        theirs = site.commit({"NOTES.md": "by hand\n"})
        hq.ask(loop, "sync")
        hq.ask(loop, "resume")
        settle(loop, lambda: bool(hq.folder("review")) and only(loop).cursor.head != task.cursor.head)
        assert site.show("NOTES.md", branch(task.id)) == "by hand"
        assert site.show("calc.py", branch(task.id)).endswith("# 2")
        assert site.git("merge-base", theirs, branch(task.id), where=site.remote) == theirs
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert (site.show("NOTES.md"), site.show("calc.py").endswith("# 2")) == ("by hand", True)
