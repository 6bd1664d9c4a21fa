"""The port Branches, over real git. There is no fake: one that decided landing by itself would prove nothing."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hqd.adapters.branches import GitBranches
from hqd.codec import layout
from hqd.errors import BranchMoved, Conflict, Expected, HqdError, RepositoryBusy
from hqd.model.gate import Changed
from hqd.model.record import Person
from hqd.ports import Branches
from tests.integration.branch_scenes import LINES, Scene, branches_of, mirror_of

TASK = "20261122-letter-aaaaaa"
BRANCH = layout.branch(TASK)
KEPT = layout.review_ref(TASK)


@pytest.fixture
def scene(hq_repo: Path) -> Scene:
    return Scene(hq_repo)


@pytest.fixture(params=["hq", "mirror"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def branches(scene: Scene, kind: str) -> Iterator[Branches]:
    with branches_of(scene.root) if kind == "hq" else mirror_of(scene.root) as opened:
        port: Branches = opened
        yield port


@pytest.fixture
def only_hq(kind: str) -> None:
    if kind != "hq":
        pytest.skip("a mirror has neither state nor a checkout of a person's")


def deliver(branches: Branches, base: str, *paths: str, overwrite: bool = False) -> str:
    files = {path: f"content of {path}\n".encode() for path in paths or ("content/letter.md",)}
    return branches.commit_files(TASK, base, files, "Write the letter", overwrite=overwrite)


class TestPoint:
    def test_two_that_set_the_same_tip_at_once_both_succeed(self, scene: Scene, branches: Branches) -> None:
        """The loop and a worker: one of them finds the ref set, or locked, between its look and its hand."""
        head = deliver(branches, scene.base)
        faults: list[Exception] = []
        for number in range(10):
            task, start = f"{TASK[:-2]}{number:02d}", threading.Barrier(4)

            def point(task: str = task, start: threading.Barrier = start) -> None:
                start.wait(10)
                try:
                    branches.point(task, head)
                except HqdError as fault:
                    faults.append(fault)

            threads = [threading.Thread(target=point) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert branches.tip(task) == branches.kept(task) == head
        assert faults == []

    def test_a_tip_that_another_hqd_sets_in_between_is_no_persons(
        self, scene: Scene, branches: Branches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A command beside the daemon, or the last git of a daemon that was killed; its other ref may still come."""
        head = deliver(branches, scene.base)
        update = GitBranches._update

        def late(self: GitBranches, changes: Sequence[tuple[str, str | None, str | None]]) -> None:
            monkeypatch.undo()
            scene.git("update-ref", f"refs/heads/{BRANCH}", head)
            update(self, changes)

        monkeypatch.setattr(GitBranches, "_update", late)
        branches.point(TASK, head)
        assert head == branches.tip(TASK) == branches.kept(TASK)

    def test_sets_branch_and_review_ref(self, scene: Scene, branches: Branches) -> None:
        assert branches.tip(TASK) is None
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        assert head == branches.tip(TASK) == scene.tip(BRANCH) == scene.tip(KEPT)
        second = deliver(branches, head, "content/more.md")
        branches.point(TASK, second)
        assert second == branches.tip(TASK) == scene.tip(KEPT)
        branches.point(TASK, second)

    def test_a_persons_commit_on_the_branch_wins(self, scene: Scene, branches: Branches) -> None:
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        theirs = scene.git("commit-tree", f"{head}^{{tree}}", "-p", head, "-m", "Mine")
        scene.git("update-ref", f"refs/heads/{BRANCH}", theirs)
        with pytest.raises(BranchMoved) as refused:
            branches.point(TASK, deliver(branches, head, "content/more.md"))
        assert (head, theirs) == (refused.value.expected, refused.value.found)
        assert (theirs, head) == (branches.tip(TASK), scene.tip(KEPT))
        after = deliver(branches, theirs, "content/more.md")
        branches.point(TASK, after, expected=theirs)
        assert after == branches.tip(TASK) == scene.tip(KEPT)

    def test_a_persons_commit_can_be_taken_under_review(self, scene: Scene, branches: Branches) -> None:
        branches.point(TASK, deliver(branches, scene.base))
        theirs = scene.git("commit-tree", f"{BRANCH}^{{tree}}", "-p", BRANCH, "-m", "Mine")
        scene.git("update-ref", f"refs/heads/{BRANCH}", theirs)
        branches.point(TASK, theirs)
        assert theirs == scene.tip(KEPT)

    def test_a_branch_that_a_person_set_back_is_not_set_forward_again(self, scene: Scene, branches: Branches) -> None:
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        scene.git("update-ref", f"refs/heads/{BRANCH}", scene.base)
        with pytest.raises(BranchMoved):
            branches.point(TASK, deliver(branches, head, "content/more.md"))

    def test_a_vanished_branch_can_be_made_again(self, scene: Scene, branches: Branches) -> None:
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        scene.git("branch", "-D", BRANCH)
        assert branches.tip(TASK) is None
        branches.point(TASK, head)
        assert head == branches.tip(TASK)

    def test_a_branch_that_is_checked_out_stays(self, scene: Scene, branches: Branches, tmp_path: Path) -> None:
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        scene.git("worktree", "add", "--quiet", str(tmp_path / "theirs"), BRANCH)
        with pytest.raises(RepositoryBusy, match="theirs"):
            branches.point(TASK, deliver(branches, head, "content/more.md"))
        assert head == branches.tip(TASK)

    def test_a_branch_named_hqd_is_said_to_be_in_the_way(self, scene: Scene, branches: Branches) -> None:
        scene.git("branch", "hqd")
        with pytest.raises(Expected, match=BRANCH) as refused:
            branches.point(TASK, deliver(branches, scene.base))
        assert "branch named hqd" in refused.value.remedy
        assert scene.git("for-each-ref", "refs/hqd") == ""

    def test_packed_refs_are_the_same_branch(self, scene: Scene, branches: Branches) -> None:
        branches.point(TASK, deliver(branches, scene.base))
        scene.git("pack-refs", "--all")
        second = deliver(branches, scene.base, "content/other.md")
        branches.point(TASK, second)
        assert second == branches.tip(TASK)


class TestCommitFiles:
    def test_writes_files_and_nothing_else(self, scene: Scene, branches: Branches) -> None:
        before = scene.git("status", "--porcelain")
        head = deliver(branches, scene.base, "content/letter.md", "a/b/c/d.md", "top ✓.md")
        assert scene.base == scene.tip(f"{head}^")
        assert f"Write the letter\n\nHqd-Work: {TASK}" == scene.git("log", "-1", "--format=%B", head)
        assert scene.git("log", "-1", "--format=%(trailers:key=Hqd-Work,valueonly)", head) == TASK
        assert [
            Changed("a/b/c/d.md", "added", 1, 0),
            Changed("content/letter.md", "added", 1, 0),
            Changed("top ✓.md", "added", 1, 0),
        ] == list(branches.changed(scene.base, head))
        assert branches.files(head).read("a/b/c/d.md") == b"content of a/b/c/d.md\n"
        scene.git("fsck", "--strict", "--no-dangling")
        assert (before, scene.base) == (scene.git("status", "--porcelain"), scene.tip("main"))

    def test_keeps_what_is_in_the_same_folders(self, scene: Scene, branches: Branches) -> None:
        head = deliver(branches, scene.base, "src/new.py")
        assert scene.git("ls-tree", "-r", scene.base, "src") in scene.git("ls-tree", "-r", head, "src")

    def test_runs_no_hook(self, scene: Scene, branches: Branches, tmp_path: Path) -> None:
        for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction"):
            hook = scene.root / ".git" / "hooks" / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n", encoding="utf-8")
            hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
        branches.point(TASK, deliver(branches, scene.base))
        assert not (tmp_path / "ran").exists()

    def test_a_path_of_others_is_refused_unless_overwrite_is_true(self, scene: Scene, branches: Branches) -> None:
        with pytest.raises(Expected, match=r"text\.md: others wrote it") as refused:
            deliver(branches, scene.base, "text.md")
        assert "overwrite = true" in refused.value.remedy
        head = deliver(branches, scene.base, "text.md", overwrite=True)
        assert branches.files(head).read("text.md") == b"content of text.md\n"

    def test_a_path_that_others_put_on_main_meanwhile_is_refused(self, scene: Scene, branches: Branches) -> None:
        scene.write({"content/letter.md": "theirs\n"})
        scene.commit("Their letter")
        with pytest.raises(Expected, match="others wrote it"):
            deliver(branches, scene.base)

    def test_a_task_writes_again_over_its_own_file(self, scene: Scene, branches: Branches) -> None:
        first = deliver(branches, scene.base)
        second = branches.commit_files(TASK, first, {"content/letter.md": b"better\n"}, "Rewrite")
        assert branches.files(second).read("content/letter.md") == b"better\n"

    def test_a_task_writes_again_over_its_own_file_after_it_landed(self, scene: Scene, branches: Branches) -> None:
        branches.point(TASK, deliver(branches, scene.base))
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
        assert deliver(branches, scene.tip())
        scene.write({"content/letter.md": "a person's last word\n"})
        with pytest.raises(Expected, match="others wrote it"):
            deliver(branches, scene.commit("Edit the letter"))

    def test_a_landing_without_a_second_parent_is_the_tasks_own_too(self, scene: Scene, branches: Branches) -> None:
        scene.write({"content/letter.md": "first\n"})
        landed = scene.commit(f"hqd: letter: landed\n\nHqd-Event: landed\nHqd-Task: {TASK}")
        assert deliver(branches, landed)

    def test_an_executable_stays_one(self, scene: Scene, branches: Branches) -> None:
        (scene.root / "run.sh").write_text("true\n", encoding="utf-8")
        (scene.root / "run.sh").chmod(0o755)
        head = deliver(branches, scene.commit("A script"), "run.sh", overwrite=True)
        assert scene.git("ls-tree", head, "run.sh").startswith("100755")

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize(
        "path",
        ["workspace/queue/x.md", "Playbooks/x.toml", "hqd.toml", "../x", "/x", "a/.git/config", "a/.gitattributes"],
    )
    def test_protected_and_outside_paths_are_refused(
        self, scene: Scene, branches: Branches, kind: str, path: str, overwrite: bool
    ) -> None:
        if kind == "mirror" and path.startswith("workspace/"):
            assert branches.files(deliver(branches, scene.base, path, overwrite=overwrite)).read(path) is not None
            return
        with pytest.raises(Expected, match="cannot deliver to"):
            deliver(branches, scene.base, path, overwrite=overwrite)

    @pytest.mark.parametrize(
        ("path", "why"),
        [
            ("link/x.md", "symbolic link"),
            ("link", "symbolic link"),
            ("text.md/x.md", "there is a file"),
            ("src", "there is a folder"),
            ("TEXT.md", "spelled"),
            ("SRC/new.py", "spelled"),
        ],
    )
    def test_what_stands_in_the_way_is_named(self, scene: Scene, branches: Branches, path: str, why: str) -> None:
        (scene.root / "link").symlink_to("src")
        base = scene.commit("Link")
        with pytest.raises(Expected, match=why):
            deliver(branches, base, path, overwrite=True)

    def test_two_paths_that_differ_in_case_are_refused(self, scene: Scene, branches: Branches) -> None:
        with pytest.raises(Expected, match="spelled"):
            deliver(branches, scene.base, "new/a.md", "new/A.md")

    def test_nothing_to_write_is_refused(self, scene: Scene, branches: Branches) -> None:
        with pytest.raises(Expected, match="nothing"):
            branches.commit_files(TASK, scene.base, {}, "Empty")


class TestDifferences:
    def test_changed_names_every_kind_of_change(self, scene: Scene, branches: Branches) -> None:
        scene.git("mv", "src/code.py", "src/moved.py")
        scene.write({"other.md": None, "new\nline.md": "x\ny\n", "text.md": "\n".join(["new", *LINES]) + "\n"})
        (scene.root / "raw.bin").write_bytes(b"\0\1\2")
        head = scene.commit("All kinds")
        assert [
            Changed("new\nline.md", "added", 2, 0),
            Changed("other.md", "deleted", 0, 1),
            Changed("raw.bin", "added", -1, -1),
            Changed("src/moved.py", "renamed", 0, 0, old_path="src/code.py"),
            Changed("text.md", "modified", 1, 0),
        ] == list(branches.changed(scene.base, head))
        assert branches.changed(head, head) == ()

    def test_diff_is_cut_at_a_line_and_says_so(self, scene: Scene, branches: Branches) -> None:
        scene.write({"new.md": "\n".join(f"word {number}" for number in range(50_000)) + "\n"})
        head = scene.commit("Much")
        whole, cut = branches.diff(scene.base, head, 10_000_000)
        assert (cut, whole.splitlines()[-1]) == (False, "+word 49999")
        part, cut = branches.diff(scene.base, head, 1000)
        assert cut
        assert len(part.encode()) <= 1000
        assert whole.startswith(part)
        assert part.endswith("\n")

    def test_diff_of_a_commit_that_is_not_there_is_an_error_not_an_empty_text(
        self, scene: Scene, branches: Branches
    ) -> None:
        with pytest.raises(Expected):
            branches.diff(scene.base, "0123456789" * 4, 1000)

    def test_files_of_a_commit_leave_links_out(self, scene: Scene, branches: Branches) -> None:
        (scene.root / "link").symlink_to("/etc/passwd")
        files = branches.files(scene.commit("Link"))
        assert "text.md" in files.paths()
        assert "link" not in files.paths()
        assert sorted(files.paths()) == list(files.paths())
        assert files.read("link") is None
        assert files.read("src") is None
        assert files.read("other.md") == b"other\n"


class TestMerge:
    def test_gives_what_landing_changes(self, scene: Scene, branches: Branches) -> None:
        scene.git("switch", "--quiet", "--create", BRANCH)
        scene.write({"other.md": None, "new.md": "new\n"})
        scene.line(5, "words")
        head = scene.commit("Work")
        scene.git("switch", "--quiet", "main")
        scene.line(30, "theirs")
        scene.commit("Edit")
        onto = scene.state(3)
        changes = branches.merge(TASK, head, onto)
        assert [path for _, _, path in changes] == ["new.md", "other.md", "text.md"]
        assert ("000000", "", "other.md") in changes
        by_path = {path: (mode, object_id) for mode, object_id, path in changes}
        assert by_path["text.md"][0] == "100644"
        merged = scene.git("cat-file", "blob", by_path["text.md"][1]).splitlines()
        assert (merged[5], merged[30]) == ("words", "theirs")
        assert onto == scene.tip("main")
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
        as_git_does = scene.tip("HEAD^{tree}")
        scene.git("reset", "--quiet", "--hard", onto)
        listing = "".join(f"{mode} {object_id or '0' * 40}\t{path}\n" for mode, object_id, path in changes)
        scene.git("update-index", "--index-info", stdin=listing)
        assert as_git_does == scene.git("write-tree")

    def test_a_conflict_names_the_paths(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.line(5, "theirs")
        onto = scene.commit("Edit")
        with pytest.raises(Conflict) as refused:
            branches.merge(TASK, head, onto)
        assert refused.value.paths == ("text.md",)

    def test_merging_again_changes_nothing(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
        assert branches.merge(TASK, head, scene.tip()) == ()

    @pytest.mark.usefixtures("only_hq")
    def test_state_on_a_branch_is_refused(self, scene: Scene, branches: Branches) -> None:
        scene.git("switch", "--quiet", "--create", BRANCH)
        scene.write({"workspace/done/forged.md": "x\n"})
        scene.git("add", "--force", "workspace/done/forged.md")
        scene.git("commit", "--quiet", "--message", "Forge")
        head = scene.tip()
        scene.git("switch", "--quiet", "main")
        with pytest.raises(Expected, match=r"workspace/done/forged\.md"):
            branches.merge(TASK, head, scene.tip())


class TestJoin:
    def test_is_a_merge_commit_in_the_name_of_who_approved(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.line(30, "theirs")
        onto = scene.commit("Edit")
        commit = branches.join(TASK, head, onto, "Merge it\n", Person(name="Ada", email="ada@example.org"))
        assert scene.git("log", "-1", "--format=%P|%an|%cn|%s", commit) == f"{onto} {head}|Ada|hqd|Merge it"
        content = scene.git("show", f"{commit}:text.md").splitlines()
        assert (content[5], content[30]) == ("words", "theirs")
        assert onto == branches.main() == scene.tip("main")

    def test_a_conflict_names_the_paths(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.line(5, "theirs")
        onto = scene.commit("Edit")
        with pytest.raises(Conflict, match=r"text\.md"):
            branches.join(TASK, head, onto, "Merge it\n")


class TestDrift:
    @pytest.mark.usefixtures("only_hq")
    def test_only_commits_on_the_branchs_paths_count(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.state(4)
        assert branches.drift(head, scene.base) == ((), ())
        scene.write({"other.md": "x\n"})
        scene.commit("Elsewhere")
        scene.line(30, "theirs")
        same = scene.commit("The same file")
        scene.state(4, first=4)
        assert ((same,), ()) == branches.drift(head, scene.base)
        assert branches.drift(head, scene.tip()) == ((), ())

    def test_a_conflict_is_named(self, scene: Scene, branches: Branches) -> None:
        head = scene.task(TASK, {5: "words"})
        scene.line(5, "theirs")
        same = scene.commit("The same line")
        before = scene.git("count-objects", "-v")
        assert ((same,), ("text.md",)) == branches.drift(head, scene.base)
        assert before == scene.git("count-objects", "-v")


@pytest.mark.usefixtures("only_hq")
class TestStaged:
    def test_names_what_a_person_is_about_to_commit_beside_state(self, scene: Scene, branches: Branches) -> None:
        assert branches.staged() == ()
        scene.task(TASK, {5: "words"})
        scene.write({"other.md": "unstaged\n", "workspace/inbox/x.md": "# X\n"})
        scene.git("add", "workspace/inbox/x.md")
        assert branches.staged() == ()
        scene.git("merge", "--quiet", "--squash", BRANCH)
        assert branches.staged() == ("text.md",)


class TestRemove:
    def test_a_landed_branch_goes_and_the_review_ref_stays(self, scene: Scene, branches: Branches) -> None:
        head = deliver(branches, scene.base)
        branches.point(TASK, head)
        assert not branches.remove(TASK, scene.tip("main"))
        assert head == branches.tip(TASK)
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
        assert branches.remove(TASK, scene.tip("main"))
        assert (None, head) == (branches.tip(TASK), scene.tip(KEPT))
        assert branches.remove(TASK, scene.tip("main"))

    def test_a_squashed_branch_goes(self, scene: Scene, branches: Branches) -> None:
        scene.task(TASK, {5: "words"})
        head = branches.tip(TASK)
        scene.line(8, "near")
        scene.commit("Near")
        scene.git("merge", "--quiet", "--squash", BRANCH)
        landing = scene.commit("Squash")
        assert branches.remove(TASK, landing)
        assert (None, head) == (branches.tip(TASK), scene.tip(KEPT))

    def test_a_resolved_squash_with_the_trailer_is_proof_for_hqds_own_tip(
        self, scene: Scene, branches: Branches
    ) -> None:
        head = scene.task(TASK, {5: "words"})
        branches.point(TASK, head)
        scene.line(5, "both words")
        landing = scene.commit(f"Resolved\n\nHqd-Work: {TASK}")
        theirs = scene.git("commit-tree", f"{head}~1^{{tree}}", "-p", head, "-m", "Mine")
        scene.git("update-ref", f"refs/heads/{BRANCH}", theirs)
        scene.git("update-ref", KEPT, head)
        later = scene.git("commit-tree", f"{head}^{{tree}}", "-p", theirs, "-m", "Mine again")
        scene.git("update-ref", f"refs/heads/{BRANCH}", later)
        assert not branches.remove(TASK, landing)
        scene.git("update-ref", f"refs/heads/{BRANCH}", head)
        assert branches.remove(TASK, landing)

    def test_a_persons_commits_after_landing_are_kept(self, scene: Scene, branches: Branches) -> None:
        scene.task(TASK, {5: "words"})
        scene.git("merge", "--quiet", "--squash", BRANCH)
        landing = scene.commit("Squash")
        scene.git("switch", "--quiet", BRANCH)
        scene.line(20, "and one more thing")
        more = scene.commit("More")
        scene.git("switch", "--quiet", "main")
        assert not branches.remove(TASK, landing)
        assert more == branches.tip(TASK)

    def test_a_branch_that_is_checked_out_stays(self, scene: Scene, branches: Branches) -> None:
        scene.task(TASK, {5: "words"})
        scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
        landing = scene.tip()
        scene.git("switch", "--quiet", BRANCH)
        assert not branches.remove(TASK, landing)
        assert branches.tip(TASK) is not None


def test_landed_answers_by_task(scene: Scene, branches: Branches) -> None:
    """The many ways to land: tests/integration/test_landing.py."""
    head = deliver(branches, scene.base)
    branches.point(TASK, head)
    before = scene.tip()
    scene.git("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)
    review = {TASK: (scene.base, head)}
    assert branches.landed({}) == {}
    assert branches.landed(review, until=before) == {}
    assert {TASK: scene.tip()} == branches.landed(review)
    assert {TASK: scene.tip()} == branches.landed(review, since=before)


def test_a_repository_in_which_nothing_was_committed_has_no_branches(tmp_path: Path, scene: Scene) -> None:
    scene.git("init", "--quiet", "--initial-branch=main", str(tmp_path / "empty"))
    with branches_of(tmp_path / "empty") as branches:
        assert (branches.tip(TASK), branches.landed({TASK: ("1" * 40, "2" * 40)}), branches.staged()) == (None, {}, ())


def test_the_real_one_is_the_port() -> None:
    port: type[Branches] = GitBranches
    assert port is GitBranches
