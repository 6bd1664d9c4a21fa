"""When main has moved for a branch, when it has not, and what bringing the two together leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.adapters.branches import GitBranches
from hqd.daemon.repositories.places import Updating
from hqd.model.names import branch
from tests.integration.branch_scenes import Scene, branches_of, mirror_of

TASK = "20261122-letter-aaaaaa"


@pytest.fixture
def scene(hq_repo: Path) -> Scene:
    return Scene(hq_repo)


@pytest.fixture
def branches(scene: Scene) -> Iterator[GitBranches]:
    with branches_of(scene.root) as opened:
        yield opened


@pytest.fixture
def updates(branches: GitBranches) -> Updating:
    return branches.updates


def review(scene: Scene, *changes: dict[int, str]) -> dict[str, tuple[str, str]]:
    return {TASK: (scene.base, scene.task(TASK, *(changes or ({5: "words"},))))}


def test_state_and_commits_elsewhere_are_no_drift(scene: Scene, updates: Updating) -> None:
    asked = review(scene)
    assert updates.drifted(asked) == {}
    scene.state(5)
    scene.write({"elsewhere.md": "x\n"})
    scene.commit("Elsewhere")
    scene.state(5, first=5)
    assert updates.drifted(asked) == {}
    assert updates.drift(*asked[TASK]) is None


def test_in_a_target_repository_a_folder_named_workspace_is_work(scene: Scene) -> None:
    with mirror_of(scene.root) as mirror:
        asked = review(scene)
        scene.git("switch", "--quiet", branch(TASK))
        scene.write({"workspace/src.py": "ours\n"})
        scene.git("add", "--force", "workspace/src.py")
        scene.git("commit", "--quiet", "-m", "Ours")
        asked = {TASK: (scene.base, scene.tip())}
        scene.git("switch", "--quiet", "main")
        scene.write({"workspace/src.py": "theirs\n"})
        scene.git("add", "--force", "workspace/src.py")
        scene.git("commit", "--quiet", "-m", "Theirs")
        assert mirror.updates.drifted(asked)[TASK].conflicts == ("workspace/src.py",)
    with branches_of(scene.root) as hq:
        assert hq.updates.drifted(asked) == {}


def test_commits_on_the_branchs_paths_are_named(scene: Scene, updates: Updating) -> None:
    asked = review(scene)
    scene.line(30, "theirs")
    touching = scene.commit("The same file")
    scene.write({"elsewhere.md": "x\n"})
    newest = scene.commit("Elsewhere")
    scene.state(3)
    drift = updates.drifted(asked)[TASK]
    assert (drift.commits, drift.conflicts, drift.onto, drift.rewritten) == ((touching,), (), newest, False)
    assert str(drift) == f"main has moved: 1 commit on the work's paths, up to {newest[:12]}"


@pytest.mark.parametrize("looked", [True, False])
def test_a_rewritten_main_is_a_drift_also_where_nobody_had_looked_before(
    scene: Scene, updates: Updating, looked: bool
) -> None:
    scene.write({"key.txt": "a secret\n"})
    mistake = scene.commit("A mistake")
    scene.git("switch", "--quiet", "--create", branch(TASK))
    scene.write({"work.md": "ours\n"})
    asked = {TASK: (mistake, scene.commit("Work"))}
    scene.git("switch", "--quiet", "main")
    if looked:
        assert updates.drifted(asked) == {}
    scene.git("reset", "--quiet", "--hard", "HEAD~1")
    scene.write({"other.md": "x\n"})
    scene.commit("Without the mistake")
    assert updates.drifted(asked)[TASK].rewritten


@pytest.mark.parametrize("how", ["renamed", "deleted", "folder"])
def test_what_only_a_merge_can_tell_is_found(scene: Scene, updates: Updating, how: str) -> None:
    """A file that main moved or took away, and a folder where the branch has a file."""
    asked = review(scene)
    if how == "folder":
        scene.git("switch", "--quiet", branch(TASK))
        scene.write({"new": "a file\n"})
        asked = {TASK: (scene.base, scene.commit("A file"))}
        scene.git("switch", "--quiet", "main")
        scene.write({"new/inside.md": "a folder\n"})
    elif how == "renamed":
        scene.git("mv", "text.md", "moved.md")
    else:
        scene.write({"text.md": None})
    scene.commit("Main")
    drift = updates.drifted(asked)[TASK]
    assert bool(drift.conflicts) == (how != "renamed")  # a rename is merged; it is a change all the same


def test_it_is_told_a_few_times_where_nothing_comes_of_it_and_again_when_main_goes_on(
    scene: Scene, updates: Updating
) -> None:
    asked = review(scene)
    scene.line(30, "theirs")
    scene.commit("The same file")
    assert [bool(updates.drifted(asked)) for _ in range(5)] == [True, True, True, False, False]
    scene.line(31, "theirs")
    scene.commit("Again")
    assert updates.drifted(asked)


def test_a_branch_that_is_checked_out_is_left_alone(scene: Scene, updates: Updating, tmp_path: Path) -> None:
    asked = review(scene)
    scene.line(30, "theirs")
    scene.commit("The same file")
    scene.git("worktree", "add", "--quiet", str(tmp_path / "theirs"), branch(TASK))
    assert updates.drifted(asked) == {}


def test_a_persons_commits_on_the_branch_go_along(scene: Scene, branches: GitBranches, updates: Updating) -> None:
    head = scene.task(TASK, {5: "words"})
    assert updates.newest(TASK, head) == head
    theirs = scene.git("commit-tree", f"{head}^{{tree}}", "-p", head, "-m", "Mine")
    scene.git("update-ref", f"refs/heads/{branch(TASK)}", theirs)
    assert updates.newest(TASK, head) == theirs
    scene.git("update-ref", f"refs/heads/{branch(TASK)}", scene.base)
    assert updates.newest(TASK, head) == head


@pytest.mark.parametrize("rebase", [False, True])
def test_what_merges_is_one_commit_with_both(scene: Scene, updates: Updating, rebase: bool) -> None:
    ((base, head),) = review(scene).values()
    scene.line(30, "theirs")
    onto = scene.commit("The same file")
    drift = updates.drift(base, head)
    assert drift is not None
    updated = updates.bring_up(TASK, head, drift, rebase=rebase, message=f"Merge main\n\nHqd-Work: {TASK}\n")
    assert updated.head is not None
    lines = scene.git("show", f"{updated.head}:text.md").splitlines()
    assert (lines[5], lines[30]) == ("words", "theirs")
    parents = scene.git("log", "-1", "--format=%P", updated.head).split()
    assert (parents, updated.moved) == (([onto], True) if rebase else ([head, onto], False))
    assert f"Hqd-Work: {TASK}" in scene.git("log", "-1", "--format=%B", updated.head)
    assert updates.drift(updated.onto if rebase else base, updated.head) is None


def test_a_conflict_leaves_a_merge_that_no_branch_names_and_shows_both_sides(scene: Scene, updates: Updating) -> None:
    ((base, head),) = review(scene).values()
    scene.line(5, "theirs")
    onto = scene.commit("The same line")
    before = scene.git("for-each-ref", "refs/heads")
    drift = updates.drift(base, head)
    assert drift is not None
    updated = updates.bring_up(TASK, head, drift, rebase=False, message="Merge main\n")
    assert (updated.head, updated.merge is not None) == (None, True)
    assert updated.merge is not None
    assert before == scene.git("for-each-ref", "refs/heads")
    assert (updated.merge.paths, updated.merge.onto) == (("text.md",), onto)
    (side,) = updated.sides
    assert "words\n=======\ntheirs" in side.text
    assert "line 30" not in side.text
    _, left = updates.settle(updated.merge, updated.merge.commit, "Settle\n")
    assert left == ("text.md",)
    mended = scene.git("commit-tree", f"{onto}^{{tree}}", "-p", updated.merge.commit, "-m", "Theirs it is")
    made, left = updates.settle(updated.merge, mended, f"Settle\n\nHqd-Work: {TASK}\n")
    assert left == ()
    assert scene.git("log", "-1", "--format=%P", made) == f"{head} {onto}"
    assert scene.git("rev-parse", f"{made}^{{tree}}") == scene.git("rev-parse", f"{onto}^{{tree}}")
    assert updates.drift(base, made) is None


def test_500_reviews_and_500_state_commits_are_looked_at_in_a_moment(scene: Scene, updates: Updating) -> None:
    head = scene.task(TASK, {5: "words"})
    asked = {f"20261122-t{number}-aaaaaa": (scene.base, head) for number in range(500)}
    assert updates.drifted(asked) == {}
    scene.state(500)
    began = time.monotonic()
    assert updates.drifted(asked) == {}
    assert time.monotonic() - began < 1.5
