"""Has a task's branch landed? Real git, people who merge as they like, and main that goes on meanwhile."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hqd.adapters.branches import GitBranches
from hqd.adapters.ledger.ledger import GitLedger
from hqd.adapters.ledger.writer import Writer
from hqd.adapters.repository import GitRepository
from hqd.model.change import Transition
from tests.integration.branch_scenes import LINES, Scene, branches_of

TASK = "20261122-letter-aaaaaa"
OTHER = "20261122-other-bbbbbb"
HQ = f"hqd/{TASK}"


@pytest.fixture
def scene(hq_repo: Path) -> Scene:
    return Scene(hq_repo)


@pytest.fixture
def branches(scene: Scene) -> Iterator[GitBranches]:
    with branches_of(scene.root) as opened:
        yield opened


def merge_commit(scene: Scene, task: str) -> str:
    scene.git("merge", "--quiet", "--no-ff", "--message", "Take it", f"hqd/{task}")
    return scene.tip()


def fast_forward(scene: Scene, task: str) -> str:
    scene.git("merge", "--quiet", "--ff-only", f"hqd/{task}")
    return scene.tip()


def squash(scene: Scene, task: str) -> str:
    scene.git("merge", "--quiet", "--squash", f"hqd/{task}")
    scene.git("commit", "--quiet", "--message", "Take it, in my own words")
    return scene.tip()


def edited_squash(scene: Scene, task: str) -> str:
    scene.git("merge", "--quiet", "--squash", f"hqd/{task}")
    name = "text.md" if (scene.root / "text.md").exists() else "words.md"
    scene.line(38, f"a last word on {task} by the person", name)
    scene.write({f"aside-{task}.md": "while I am here\n"})
    return scene.commit("Take it, with changes of mine")


def rebase(scene: Scene, task: str) -> str:
    """As a forge's rebase button: new commits on main, messages kept, the branch stays."""
    fork = scene.git("merge-base", "main", f"hqd/{task}")
    scene.git("cherry-pick", "--keep-redundant-commits", f"{fork}..hqd/{task}")
    return scene.tip()


def reworded_rebase(scene: Scene, task: str) -> str:
    """New commits without hqd's trailer."""
    fork = scene.git("merge-base", "main", f"hqd/{task}")
    for commit in scene.git("rev-list", "--topo-order", "--reverse", f"{fork}..hqd/{task}").split():
        scene.git("cherry-pick", "--no-commit", commit)
        scene.git("commit", "--quiet", "--message", "Part of it")
    return scene.tip()


STYLES = [merge_commit, squash, edited_squash, rebase, reworded_rebase]


def no_drift(scene: Scene) -> None:
    pass


def drift_elsewhere(scene: Scene) -> None:
    scene.write({"other.md": "another\n"})
    scene.commit("Unrelated")


def drift_near(scene: Scene) -> None:
    """Two lines away: inside a patch's context, so that patch ids no longer match."""
    scene.line(8, "a person was here")
    scene.commit("Near by")


def drift_rename(scene: Scene) -> None:
    scene.git("mv", "text.md", "words.md")
    scene.commit("Rename the file")


DRIFTS = [no_drift, drift_elsewhere, drift_near, drift_rename]


def look(branches: GitBranches, base: str, head: str, since: str | None = None) -> str | None:
    return branches.landed({TASK: (base, head)}, since).get(TASK)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("style", STYLES)
def test_every_way_to_merge_is_seen_and_named(
    scene: Scene, branches: GitBranches, style: Callable[[Scene, str], str], drift: Callable[[Scene], None]
) -> None:
    """With state commits and edits of the very lines on top; from scratch and step by step.

    The state commits are dated months before the branch: git's `main..head` is wrong where clocks differ.
    """
    head = scene.task(TASK, {5: "the task's words"}, {11: "more of them"})
    assert look(branches, scene.base, head) is None
    drift(scene)
    scene.state(3)
    assert look(branches, scene.base, head) is None
    landing = style(scene, TASK)
    scene.state(20, first=3)
    name = "words.md" if drift is drift_rename else "text.md"
    scene.line(5, "the person's later words", name)
    scene.commit("Edit after landing")
    scene.git("branch", "--quiet", "-D", HQ)
    assert look(branches, scene.base, head) == landing
    with branches_of(scene.root) as fresh:
        assert look(fresh, scene.base, head) == landing
        assert look(fresh, scene.base, head, since=scene.base) == landing


@pytest.mark.parametrize("commits", [1, 3])
def test_a_fast_forward_is_named_by_the_tip(scene: Scene, branches: GitBranches, commits: int) -> None:
    head = scene.task(TASK, *({5 + number: "words"} for number in range(commits)))
    assert look(branches, scene.base, head) is None
    assert fast_forward(scene, TASK) == head
    scene.state(5)
    assert look(branches, scene.base, head) == head


def conflicting_squash(scene: Scene, keep_message: bool) -> tuple[str, str]:
    """A squash in which a person had to resolve a conflict; (head, landing commit)."""
    head = scene.task(TASK, {5: "the task's words"}, {20: "the task's other words"})
    scene.line(5, "the person's words")
    scene.commit("The same line")
    scene.git("merge", "--quiet", "--squash", HQ, check=False)
    scene.write({"text.md": "\n".join([*LINES[:5], "both words", *LINES[6:]]) + "\n"})
    scene.git("add", "text.md")
    # An editor keeps git's proposal, comments apart.
    scene.git("commit", "--quiet", *(["--no-edit"] if keep_message else ["--message", "Resolved"]))
    return head, scene.tip()


def test_a_squash_with_resolved_conflicts_is_known_by_its_message(scene: Scene, branches: GitBranches) -> None:
    head, landing = conflicting_squash(scene, keep_message=True)
    scene.state(5)
    assert look(branches, scene.base, head) == landing


def test_a_resolved_squash_without_the_message_is_not_guessed_at(scene: Scene, branches: GitBranches) -> None:
    head, _ = conflicting_squash(scene, keep_message=False)
    assert look(branches, scene.base, head) is None


def test_a_merge_with_resolved_conflicts_is_an_ancestor(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "the task's words"})
    scene.line(5, "the person's words")
    scene.commit("The same line")
    scene.git("merge", "--quiet", HQ, check=False)
    scene.write({"text.md": "\n".join([*LINES[:5], "both", *LINES[6:]]) + "\n"})
    landing = scene.commit("Merge, resolved")
    scene.state(3)
    assert look(branches, scene.base, head) == landing


@pytest.mark.parametrize("style", [merge_commit, squash, rebase])
def test_a_revert_after_landing_leaves_it_landed(
    scene: Scene, branches: GitBranches, style: Callable[[Scene, str], str]
) -> None:
    head = scene.task(TASK, {5: "the task's words"})
    drift_near(scene)
    landing = style(scene, TASK)
    scene.git("revert", "--no-edit", *(["-m", "1"] if style is merge_commit else []), landing)
    scene.state(3)
    assert look(branches, scene.base, head) == landing


def test_thousands_of_state_commits_do_not_hide_a_landing(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "the task's words"})
    scene.state(1500)
    drift_near(scene)
    landing = squash(scene, TASK)
    scene.state(3000, first=1500)
    assert look(branches, scene.base, head) == landing


@pytest.mark.parametrize("style", [merge_commit, squash])
def test_an_empty_difference_never_lands(
    scene: Scene, branches: GitBranches, style: Callable[[Scene, str], str]
) -> None:
    scene.task(TASK, {5: "words"}, {5: LINES[5]})  # and back again
    head = scene.tip(HQ)
    assert look(branches, scene.base, head) is None
    if style is merge_commit:
        merge_commit(scene, TASK)
    drift_elsewhere(scene)
    assert look(branches, scene.base, head) is None
    assert look(branches, scene.base, scene.base) is None


def test_a_branch_on_which_nothing_was_done_yet_has_not_landed(scene: Scene, branches: GitBranches) -> None:
    """Its tip is reachable from main, as every commit of main is."""
    state = scene.state(10)
    drift_elsewhere(scene)
    assert look(branches, scene.base, state) is None


def test_a_part_picked_early_is_not_the_whole(scene: Scene, branches: GitBranches) -> None:
    """The picked commit carries the task's trailer, but the tip's work is not there."""
    head = scene.task(TASK, {5: "first"}, {6: "second"})
    drift_near(scene)
    scene.git("cherry-pick", f"{HQ}~1")
    assert look(branches, scene.base, head) is None
    scene.git("cherry-pick", HQ)
    assert look(branches, scene.base, head) == scene.tip()


def test_a_state_commit_that_names_the_task_is_no_landing(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "words"})
    scene.write({"note.md": "about it\n"})
    scene.commit(f"hqd: letter: step passed\n\nHqd-Event: finished\nHqd-Work: {TASK}")
    assert look(branches, scene.base, head) is None


def test_the_same_change_undone_before_the_branch_began_is_no_landing(scene: Scene, branches: GitBranches) -> None:
    """An older commit of main holds the work, but the branch was built on it."""
    scene.line(5, "tried once")
    scene.commit("Try it")
    scene.git("revert", "--no-edit", "HEAD")
    base = scene.tip()
    head = scene.task(TASK, {5: "tried once"})
    drift_near(scene)
    with branches_of(scene.root) as fresh:
        assert look(fresh, base, head, since=scene.base) is None
    assert look(branches, scene.base, head) is None


def test_main_merged_into_the_branch_does_not_confuse_the_search(scene: Scene, branches: GitBranches) -> None:
    scene.task(TASK, {5: "words"})
    drift_near(scene)
    scene.git("switch", "--quiet", HQ)
    scene.git("merge", "--quiet", "--no-edit", "main")
    head = scene.tip()
    scene.git("switch", "--quiet", "main")
    scene.state(3)
    assert look(branches, scene.base, head) is None
    drift_elsewhere(scene)
    landing = squash(scene, TASK)
    scene.state(3, first=3)
    assert look(branches, scene.base, head) == landing


def test_a_merge_that_hangs_on_another_merge_is_named_by_mains_own_commit(scene: Scene, branches: GitBranches) -> None:
    """A person collects branches on one of their own and merges that."""
    head = scene.task(TASK, {5: "words"})
    scene.git("switch", "--quiet", "--create", "collected", scene.base)
    scene.write({"mine.md": "mine\n"})
    scene.commit("Mine")
    scene.git("merge", "--quiet", "--no-edit", HQ)
    scene.git("switch", "--quiet", "main")
    for number in range(4):
        scene.git("switch", "--quiet", "--create", f"side{number}", "main")
        scene.write({f"side{number}.md": "side\n"})
        scene.commit("Side")
        scene.git("switch", "--quiet", "main")
        if number == 2:
            scene.git("merge", "--quiet", "--no-ff", "--message", "All of it", "collected")
            landing = scene.tip()
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", f"side{number}")
    assert look(branches, scene.base, head) == landing


def test_renames_deletes_modes_and_odd_names_are_work_too(scene: Scene, branches: GitBranches) -> None:
    scene.git("switch", "--quiet", "--create", HQ)
    scene.git("mv", "src/code.py", "src/moved to.py")
    scene.write({"other.md": None, 'odd "näme"\n✓.md': "odd\n"})
    (scene.root / "text.md").chmod(0o755)
    head = scene.commit("Move and delete")
    scene.git("switch", "--quiet", "main")
    scene.line(3, "print('edited')", "src/code.py")
    scene.commit("Edit what is being renamed")
    assert look(branches, scene.base, head) is None
    landing = squash(scene, TASK)
    scene.state(2)
    assert look(branches, scene.base, head) == landing


def test_a_mode_change_alone_is_work(scene: Scene, branches: GitBranches) -> None:
    scene.git("switch", "--quiet", "--create", HQ)
    (scene.root / "text.md").chmod(0o755)
    head = scene.commit("Make it run")
    scene.git("switch", "--quiet", "main")
    drift_near(scene)
    assert look(branches, scene.base, head) is None
    assert squash(scene, TASK) == look(branches, scene.base, head)


def test_a_new_head_is_searched_from_its_base_again(scene: Scene, branches: GitBranches) -> None:
    """A person added a commit and squashed before hqd had seen it; the first search found nothing."""
    first = scene.task(TASK, {5: "words"})
    scene.git("switch", "--quiet", HQ)
    scene.line(5, "better words")
    head = scene.commit("Better")
    scene.git("switch", "--quiet", "main")
    landing = squash(scene, TASK)
    drift_elsewhere(scene)
    assert look(branches, scene.base, first) is None
    assert look(branches, scene.base, head) == landing


def test_what_was_searched_before_is_not_found_again(scene: Scene, branches: GitBranches) -> None:
    """A later edit of a file that already holds the work brings nothing."""
    head = scene.task(TASK, {5: "words"})
    drift_near(scene)
    landing = squash(scene, TASK)
    scene.line(20, "the person's later words")
    scene.commit("Edit after landing")
    assert look(branches, scene.base, head, since=landing) is None


def test_hqds_own_landing_is_found_and_its_branch_goes(scene: Scene, branches: GitBranches) -> None:
    """What merge() says, written by the ledger: one commit on main with the branch as second parent."""
    scene.git("switch", "--quiet", "--create", HQ)
    scene.line(5, "words")
    scene.write({"other.md": None, "new.md": "new\n"})
    head = scene.commit(f"Work\n\nHqd-Work: {TASK}")
    scene.git("switch", "--quiet", "main")
    drift_near(scene)
    onto = scene.state(3)
    changes = branches.merge(TASK, head, onto)
    landing = Transition(
        message=f"hqd: letter: approve passed -> done\n\nHqd-Event: landed\nHqd-Task: {TASK}\n",
        at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        links=tuple((mode, object_id, path) for mode, object_id, path in changes if object_id and path),
        deletes=tuple(path for _, object_id, path in changes if path and not object_id),
        merge=head,
    )
    repository = GitRepository.open(scene.root, dict(os.environ))
    with closing(repository), closing(Writer(repository)) as writer, GitLedger(writer) as ledger:
        (commit,) = ledger.append(onto, [landing])
    assert [onto, head] == scene.git("log", "-1", "--format=%P", commit).split()
    assert scene.git("status", "--porcelain").splitlines() == []
    assert not (scene.root / "other.md").exists()
    text = (scene.root / "text.md").read_text(encoding="utf-8").splitlines()
    assert (text[5], text[8]) == ("words", "a person was here")
    assert commit == look(branches, scene.base, head)
    assert branches.remove(TASK, commit)


def test_a_head_that_is_not_here_waits(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "words"})
    landing = squash(scene, TASK)
    found = branches.landed({TASK: (scene.base, head), OTHER: (scene.base, "0123456789" * 4)})
    assert found == {TASK: landing}


def test_rewritten_main_is_searched_all_the_same(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "words"})
    drift_near(scene)
    scene.state(5)
    assert look(branches, scene.base, head) is None
    scene.git("reset", "--quiet", "--hard", scene.base)
    drift_elsewhere(scene)
    landing = squash(scene, TASK)
    assert look(branches, scene.base, head) == landing


def test_many_reviews_of_one_busy_file_are_told_apart(scene: Scene, branches: GitBranches) -> None:
    """All touch text.md, so that only merges can tell."""
    heads = {
        f"20261122-t{number}-aaaaaa": scene.task(f"20261122-t{number}-aaaaaa", {number * 4: "x"}) for number in range(8)
    }
    landings = {}
    for number, task in enumerate(heads):
        if number % 2:
            landings[task] = (squash if number % 4 == 1 else reworded_rebase)(scene, task)
    scene.state(5)
    assert branches.landed({task: (scene.base, head) for task, head in heads.items()}) == landings


def test_trial_merges_leave_no_objects_behind(scene: Scene, branches: GitBranches) -> None:
    head = scene.task(TASK, {5: "words"})
    drift_near(scene)
    scene.line(20, "more")
    scene.commit("More")
    before = scene.git("count-objects", "-v")
    assert look(branches, scene.base, head) is None
    assert before == scene.git("count-objects", "-v")


class Walk:
    """A random history: what was done to each task, and what hqd found out on the way."""

    def __init__(self, scene: Scene, branches: GitBranches, seed: int) -> None:
        self.scene, self.branches, self.random = scene, branches, random.Random(seed)
        self.open: dict[str, tuple[str, str]] = {}
        self.landed: dict[str, str] = {}
        self.found: dict[str, str] = {}
        self.states = 0
        self.log: list[str] = []

    def begin(self) -> None:
        number = len(self.open)
        if number == 9:
            return
        task = f"20261122-t{number}-{number:06x}"
        base = self.scene.tip()
        # Four lines of its own for each task: merges never conflict.
        at = number * 4
        changes = [{at + one: f"{task} {one}"} for one in range(self.random.randint(1, 3))]
        self.open[task] = (base, self.scene.task(task, *changes))

    def work_on_state(self) -> None:
        count = self.random.randint(1, 6)
        self.scene.state(count, first=self.states)
        self.states += count

    def edit(self) -> None:
        """A person edits some file, sometimes the lines of a task that has landed."""
        done = [task for task in self.landed if self.random.random() < 0.5]
        if done:
            self.scene.line(list(self.open).index(done[0]) * 4, f"edited {len(self.log)}")
        elif self.random.random() < 0.5:
            self.scene.line(39, f"foot {len(self.log)}")
        else:
            self.scene.write({f"note{self.random.randint(0, 3)}.md": f"{len(self.log)}\n"})
        self.scene.commit("Edit")

    def land(self) -> None:
        waiting = sorted(self.open.keys() - self.landed.keys())
        if waiting:
            task = self.random.choice(waiting)
            style = self.random.choice([merge_commit, squash, rebase, reworded_rebase])
            self.landed[task] = style(self.scene, task)
            self.log.append(f"{style.__name__} {task}")

    def revert(self) -> None:
        if self.landed and self.random.random() < 0.3:
            task = self.random.choice(sorted(self.landed))
            commit = self.landed[task]
            mainline = ["-m", "1"] if len(self.scene.git("log", "-1", "--format=%P", commit).split()) > 1 else []
            self.scene.git("revert", "--no-edit", *mainline, commit, check=False)
            if self.scene.git("status", "--porcelain", "--untracked-files=no"):
                self.scene.git("revert", "--abort")

    def look(self) -> None:
        ask = {task: review for task, review in self.open.items() if task not in self.found}
        self.found |= self.branches.landed(ask)

    def go(self, steps: int) -> None:
        acts = [self.begin, self.work_on_state, self.edit, self.land, self.revert, self.look]
        for act in self.random.choices(acts, weights=[3, 4, 4, 3, 1, 2], k=steps):
            self.log.append(act.__name__)
            act()
        self.look()


@pytest.mark.parametrize("seed", range(6))
def test_in_random_histories_a_task_has_landed_if_and_only_if_it_was_merged(
    scene: Scene, branches: GitBranches, seed: int
) -> None:
    walk = Walk(scene, branches, seed)
    walk.go(30)
    assert walk.landed == walk.found, walk.log
    with branches_of(scene.root) as fresh:
        assert walk.landed == fresh.landed(walk.open), walk.log
