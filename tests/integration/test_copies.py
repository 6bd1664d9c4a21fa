"""The pool of working copies: clean each time, and deaf to what an agent writes into git's own files."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.adapters import process
from hqd.adapters.copies import PooledCopies
from hqd.adapters.mirror import Mirrors
from hqd.adapters.repository import GitRepository
from hqd.adapters.working_copy import cone, with_trailer
from hqd.errors import Expected
from hqd.model.settings import Repository
from tests.conftest import Git

TASK = "20261122-site-abcdef"


@pytest.fixture
def repository(hq_repo: Path) -> Iterator[GitRepository]:
    opened = GitRepository.open(hq_repo, dict(os.environ))
    yield opened
    opened.close()


@pytest.fixture
def base(hq_repo: Path, git: Git) -> str:
    """A commit with content, some of it in the folders that only grow."""
    write(hq_repo / "content" / "a.md", "one\ntwo\n")
    write(hq_repo / "content" / "b.md", "other\n")
    write(hq_repo / "run.sh", "#!/bin/sh\n")
    (hq_repo / "run.sh").chmod(0o755)
    (hq_repo / "link").symlink_to("content/a.md")
    write(hq_repo / "workspace/runs/2026/11/01/x/001-accepted.toml", "v = 1\n")
    write(hq_repo / "workspace/done/2026/11/01/x.md", "# x\n")
    write(hq_repo / "workspace/context/brand.md", "brand\n")
    git(hq_repo, "add", "--all")
    git(hq_repo, "commit", "--quiet", "--message=Content")
    return git(hq_repo, "rev-parse", "HEAD").strip()


@pytest.fixture
def copies(repository: GitRepository, tmp_path: Path) -> PooledCopies:
    return PooledCopies(repository, tmp_path / "cache", dict(os.environ))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def listing(folder: Path) -> list[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(path.as_posix() for path in found if path.parts[0] != ".git")


def test_a_copy_has_the_files_of_its_base_but_not_what_only_grows(copies: PooledCopies, base: str) -> None:
    with copies.borrow(TASK, None, base) as copy:
        files = listing(copy.path)

    assert "content/a.md" in files
    assert "workspace/context/brand.md" in files
    assert "hqd.toml" in files
    assert not [name for name in files if name.startswith(("workspace/runs", "workspace/done"))]


@pytest.mark.parametrize("sparse", ["cone", "off"])
def test_other_ways_to_write_a_copy_out(repository: GitRepository, base: str, tmp_path: Path, sparse: str) -> None:
    pool = PooledCopies(repository, tmp_path / "c", dict(os.environ), sparse=sparse)

    with pool.borrow(TASK, None, base) as copy:
        assert (copy.path / "workspace/runs/2026").exists() == (sparse == "off")
        write(copy.path / "content/new.md", "x")
        assert copy.collect("Work").files == ("content/new.md",)


def test_the_agent_has_a_git_of_its_own_on_the_tasks_branch(copies: PooledCopies, base: str, git: Git) -> None:
    with copies.borrow(TASK, None, base) as copy:
        assert git(copy.path, "status", "--porcelain", "--branch") == f"## hqd/{TASK}\n"
        assert git(copy.path, "log", "--format=%s") == "Content\nMake an HQ\n"
        write(copy.path / "content/a.md", "changed\n")
        git(copy.path, "commit", "--quiet", "--all", "--message=The agent's own")
        assert git(copy.path, "diff", "--name-only", "HEAD^") == "content/a.md\n"


def test_the_difference_comes_home_as_one_commit(copies: PooledCopies, base: str, hq_repo: Path, git: Git) -> None:
    """Added, changed, deleted, made executable, turned into a link; also what the agent has committed itself."""
    with copies.borrow(TASK, None, base) as copy:
        write(copy.path / "content/a.md", "one\ntwo\nthree\n")
        git(copy.path, "commit", "--quiet", "--all", "--message=The agent's own")
        write(copy.path / "new file é.md", "new\n")
        (copy.path / "content/b.md").unlink()
        (copy.path / "run.sh").chmod(0o644)
        (copy.path / "other").symlink_to("/etc/passwd")
        work = copy.collect("Write it\n\nHqd-Step: write\n")

    assert work.files == ("content/a.md", "content/b.md", "new file é.md", "other", "run.sh")
    assert work.base == base
    assert work.head is not None
    shutil.rmtree(copy.path.parent)
    assert git(hq_repo, "log", "--format=%P%n%an%n%B", "-1", work.head).strip() == (
        f"{base}\nhqd\nWrite it\n\nHqd-Step: write\nHqd-Work: {TASK}"
    )
    assert git(hq_repo, "ls-tree", work.head, "other", "run.sh").startswith("120000 blob")
    assert git(hq_repo, "ls-tree", "-r", "--name-only", work.head, "workspace/runs") != ""
    git(hq_repo, "fsck", "--strict", "--no-dangling")
    assert git(hq_repo, "status", "--porcelain") == ""


def test_many_new_files_come_home_as_a_pack(copies: PooledCopies, base: str, hq_repo: Path, git: Git) -> None:
    with copies.borrow(TASK, None, base) as copy:
        for number in range(150):
            write(copy.path / "content" / f"{number}.md", f"{number}\n")
        work = copy.collect("Work")
    shutil.rmtree(copy.path.parent)

    assert git(hq_repo, "show", f"{work.head}:content/149.md") == "149\n"
    assert len(list((hq_repo / ".git/objects/pack").glob("*.pack"))) == 1
    git(hq_repo, "fsck", "--strict", "--no-dangling")


def test_no_difference_is_no_commit(copies: PooledCopies, base: str) -> None:
    with copies.borrow(TASK, None, base) as copy:
        os.utime(copy.path / "content/a.md")

        assert copy.collect("Nothing").head is None
        assert copy.patch(1000) == b""


def test_a_patch_lays_the_failed_attempt_on_top_of_a_clean_copy(copies: PooledCopies, base: str) -> None:
    with copies.borrow(TASK, None, base) as copy:
        write(copy.path / "content/a.md", "one\n2\n")
        (copy.path / "picture").write_bytes(bytes(range(256)) * 20)
        (copy.path / "content/b.md").unlink()
        patch = copy.patch(1_000_000)
        tree = listing(copy.path)
    with copies.borrow(TASK, None, base) as copy:
        copy.apply(patch)

        assert listing(copy.path) == tree
        assert sorted(place.name for place in copy.path.parent.iterdir()) == ["store.git", "work"]
        assert (copy.path / "picture").read_bytes() == bytes(range(256)) * 20
        assert copy.patch(1_000_000) == patch
        with pytest.raises(Expected, match="does not fit"):
            copy.apply(patch)


def test_a_patch_above_the_limit_is_left_out(copies: PooledCopies, base: str) -> None:
    with copies.borrow(TASK, None, base) as copy:
        (copy.path / "big").write_bytes(os.urandom(300_000))

        assert copy.patch(100_000) == b""
        assert len(copy.patch(1_000_000)) > 300_000


def test_a_slot_is_clean_again_whatever_was_left_in_it(copies: PooledCopies, base: str, git: Git) -> None:
    with copies.borrow(TASK, None, base) as copy:
        clean = listing(copy.path)
        write(copy.path / "content/a.md", "changed\n")
        write(copy.path / ".gitignore", "ignored/\n")
        write(copy.path / "ignored/build", "x")
        write(copy.path / "workspace/runs/2026/evil.toml", "x")
        shutil.rmtree(copy.path / "workspace/context")
        (copy.path / "workspace/context").symlink_to("/tmp")
        git(copy.path, "init", "--quiet", "nested")
        write(copy.path / "nested/file", "x")
        (copy.path / "locked").mkdir()
        write(copy.path / "locked/in", "x")
        (copy.path / "locked").chmod(0)
        slot = copy.slot
    with copies.borrow(TASK, None, base) as copy:
        assert copy.slot == slot
        assert listing(copy.path) == clean
        assert (copy.path / "content/a.md").read_text() == "one\ntwo\n"
        assert git(copy.path, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "ruin",
    [
        "index.lock left",
        "no index",
        "garbage in the index",
        "garbage in the agent's git",
        "agent's git is a file",
        "agent's git is a link to the HQ",
        "store without objects folder",
        "work is a link",
        "store is a link",
        "HEAD is gone",
    ],
)
def test_what_a_crash_or_an_agent_left_does_not_break_the_next_loan(
    copies: PooledCopies, base: str, hq_repo: Path, ruin: str, git: Git
) -> None:
    with copies.borrow(TASK, None, base) as copy:
        clean = listing(copy.path)
        store, own = copy.path.parent / "store.git", copy.path / ".git"
        if ruin == "index.lock left":
            write(store / "index.lock", "")
        elif ruin == "no index":
            (store / "index").unlink()
        elif ruin == "garbage in the index":
            write(store / "index", "garbage")
        elif ruin == "garbage in the agent's git":
            write(own / "config", "[core\n")
        elif ruin == "store without objects folder":
            shutil.rmtree(store / "objects")
        elif ruin == "HEAD is gone":
            (store / "HEAD").unlink()
        elif ruin == "store is a link":
            shutil.rmtree(store)
            store.symlink_to(hq_repo / ".git")
        elif ruin == "work is a link":
            shutil.rmtree(copy.path)
            copy.path.symlink_to(hq_repo)
        else:
            shutil.rmtree(own)
            if ruin == "agent's git is a file":
                write(own, f"gitdir: {hq_repo / '.git'}\n")
            else:
                own.symlink_to(hq_repo / ".git")
    assert git(hq_repo, "rev-parse", "HEAD").strip() == base
    with copies.borrow(TASK, None, base) as copy:
        assert listing(copy.path) == clean
        write(copy.path / "content/a.md", "x")
        assert copy.collect("Work").files == ("content/a.md",)
    git(hq_repo, "fsck", "--strict", "--no-dangling")
    assert git(hq_repo, "status", "--porcelain") == ""


def test_nothing_that_an_agent_configures_is_executed(
    copies: PooledCopies, base: str, tmp_path: Path, git: Git
) -> None:
    """Hooks, fsmonitor, filters, external diff, signing, includes: in its own git, and in one nested deeper."""
    proof = tmp_path / "executed"
    evil = tmp_path / "evil"
    write(evil, f"#!/bin/sh\necho $0 >> {proof}\ncat\n")
    evil.chmod(0o755)
    with copies.borrow(TASK, None, base) as copy:
        git(copy.path, "init", "--quiet", "nested")
        for own in (copy.path / ".git", copy.path / "nested/.git"):
            for hook in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction"):
                (own / "hooks").mkdir(exist_ok=True)
                shutil.copy(evil, own / "hooks" / hook)
            settings = {
                "core.fsmonitor": str(evil), "core.hooksPath": str(own / "hooks"), "core.pager": str(evil),
                "core.editor": str(evil), "core.sshCommand": str(evil), "diff.external": str(evil),
                "filter.evil.clean": str(evil), "filter.evil.smudge": str(evil), "filter.evil.process": str(evil),
                "diff.evil.textconv": str(evil), "gpg.program": str(evil), "commit.gpgSign": "true",
                "uploadpack.packObjectsHook": str(evil), "include.path": str(evil),
            }  # fmt: skip
            with (own / "config").open("a") as file:
                for key, value in settings.items():
                    section, _, name = key.rpartition(".")
                    head, _, sub = section.partition(".")
                    file.write(f"[{head}{f' {chr(34)}{sub}{chr(34)}' if sub else ''}]\n\t{name} = {value}\n")
        write(copy.path / ".gitattributes", "* filter=evil diff=evil\n")
        write(copy.path / "nested/file", "x")
        write(copy.path / "content/a.md", "changed\n")

        work = copy.collect("Work")
        patch = copy.patch(100_000)

    with copies.borrow(TASK, None, base):
        pass
    assert work.files == (".gitattributes", "content/a.md", "nested/file")
    assert b"changed" in patch
    assert not proof.exists()


def test_a_submodule_of_the_base_is_no_way_in(
    copies: PooledCopies, base: str, hq_repo: Path, tmp_path: Path, git: Git
) -> None:
    """Git would run in a populated submodule, by the configuration that the agent put there."""
    git(hq_repo, "update-index", "--add", "--cacheinfo", f"160000,{base},vendor")
    git(hq_repo, "commit", "--quiet", "--message=A submodule")
    proof = tmp_path / "executed"
    write(tmp_path / "evil", f"#!/bin/sh\ntouch {proof}\n")
    (tmp_path / "evil").chmod(0o755)

    with copies.borrow(TASK, None, "HEAD") as copy:
        git(copy.path / "vendor", "init", "--quiet")
        git(copy.path / "vendor", "config", "core.fsmonitor", str(tmp_path / "evil"))
        write(copy.path / "vendor/file", "x")
        copy.collect("Work")
        copy.patch(1000)

    assert not proof.exists()


@pytest.mark.parametrize("place", ["work", "vendor"])
def test_a_link_to_the_hq_is_never_followed(
    copies: PooledCopies, base: str, hq_repo: Path, git: Git, place: str
) -> None:
    """The HQ's own .git must survive an agent that puts a link where hqd tidies up."""
    git(hq_repo, "update-index", "--add", "--cacheinfo", f"160000,{base},vendor")
    git(hq_repo, "commit", "--quiet", "--message=A submodule")
    with copies.borrow(TASK, None, "HEAD") as copy:
        target = copy.path if place == "work" else copy.path / "vendor"
        shutil.rmtree(target)
        target.symlink_to(hq_repo)
        with contextlib.suppress(Expected):
            copy.collect("Work")

    assert git(hq_repo, "log", "-1", "--format=%s") == "A submodule\n"
    assert git(hq_repo, "config", "core.bare") == "false\n"


def test_what_an_agent_writes_into_the_folders_that_are_not_written_out_is_seen(
    copies: PooledCopies, base: str
) -> None:
    """A policy breach must not hide behind the sparse checkout."""
    with copies.borrow(TASK, None, base) as copy:
        write(copy.path / "workspace/runs/2026/11/01/x/001-accepted.toml", "v = 2\n")
        write(copy.path / "workspace/done/forged.md", "x")

        files = copy.collect("Work").files

    assert files == ("workspace/done/forged.md", "workspace/runs/2026/11/01/x/001-accepted.toml")


def test_repositories_that_an_agent_makes_become_plain_files(copies: PooledCopies, base: str, git: Git) -> None:
    with copies.borrow(TASK, None, base) as copy:
        for folder in ("sub", "sub/deeper"):
            write(copy.path / folder / "file", "x")
            git(copy.path / folder, "init", "--quiet")
            git(copy.path / folder, "add", "file")
            git(copy.path / folder, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "x")

        assert copy.collect("Work").files == ("sub/deeper/file", "sub/file")


def test_too_much_is_refused(repository: GitRepository, base: str, tmp_path: Path) -> None:
    pool = PooledCopies(repository, tmp_path / "c", dict(os.environ), max_bytes=10_000)

    with pool.borrow(TASK, None, base) as copy:
        (copy.path / "dump").write_bytes(b"x" * 20_000)
        with pytest.raises(Expected, match="20000 bytes"):
            copy.collect("Work")


def test_what_fsck_refuses_stays_out_of_the_hq(copies: PooledCopies, base: str, hq_repo: Path, git: Git) -> None:
    with copies.borrow(TASK, None, base) as copy:
        write(copy.path / ".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n')
        with pytest.raises(Expected, match="brought home"):
            copy.collect("Work")

    git(hq_repo, "fsck", "--strict", "--no-dangling")


def test_slots_are_lent_to_one_at_a_time_and_used_again(copies: PooledCopies, base: str) -> None:
    with copies.borrow(TASK, None, base) as one, copies.borrow("20261122-b-abcdef", None, base) as two:
        assert {one.slot, two.slot} == {1, 2}
        assert one.path != two.path
    with copies.borrow(TASK, None, base) as again:
        assert again.slot == 1


def test_many_threads_at_once(copies: PooledCopies, base: str, hq_repo: Path, git: Git) -> None:
    heads: dict[int, str | None] = {}

    def work(number: int) -> None:
        task = f"20261122-t{number}-abcdef"
        with copies.borrow(task, None, base) as copy:
            write(copy.path / f"content/{number}.md", str(number))
            heads[number] = copy.collect("Work").head

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(heads) == 6
    for number, head in heads.items():
        assert git(hq_repo, "show", f"{head}:content/{number}.md") == str(number)


def test_what_a_crashed_hqd_left_running_in_a_slot_is_ended(copies: PooledCopies, base: str) -> None:
    """An orphan of the last attempt must not write into the next one."""
    with copies.borrow(TASK, None, base) as copy:
        code = "import time; print('up', flush=True); time.sleep(300)"
        env = {**os.environ, process.CLAIM: "of-the-last-life"}
        orphan = subprocess.Popen([sys.executable, "-S", "-c", code], cwd=copy.path, env=env, stdout=subprocess.PIPE)
        assert orphan.stdout is not None
        orphan.stdout.readline()
    try:
        with copies.borrow(TASK, None, base):
            assert orphan.wait(10) == -9
    finally:
        orphan.kill()
        orphan.communicate()


def test_names_of_brought_work_are_dropped_when_the_task_ended(
    copies: PooledCopies, base: str, hq_repo: Path, git: Git
) -> None:
    for text in ("one", "two"):
        with copies.borrow(TASK, None, base) as copy:
            write(copy.path / "content/a.md", text)
            copy.collect("Work")
    assert len(git(hq_repo, "for-each-ref", "refs/hqd/work").splitlines()) == 2

    copies.forget(TASK)

    assert git(hq_repo, "for-each-ref", "refs/hqd/work") == ""


def test_a_base_that_is_not_there_is_an_expected_error(copies: PooledCopies) -> None:
    with pytest.raises(Expected, match="no working copy"), copies.borrow(TASK, None, "f" * 40):
        pytest.fail("borrowed")


class TestTargetRepositories:
    @pytest.fixture
    def site(self, tmp_path: Path, git: Git) -> Path:
        root = tmp_path / "site"
        root.mkdir()
        git(root, "init", "--quiet", "--initial-branch=main")
        write(root / "page.md", "page\n")
        git(root, "add", "--all")
        git(root, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "-m", "Page")
        return root

    def pool(
        self, repository: GitRepository, tmp_path: Path, site: Path, *setup: str, setup_timeout: str = "30m"
    ) -> PooledCopies:
        repos = {"site": Repository(url=str(site), setup=setup, setup_timeout=setup_timeout)}
        env = {**os.environ, "HQD_SECRET_X": "no"}
        return PooledCopies(repository, tmp_path / "cache", env, Mirrors(tmp_path / "repos", env, lambda: repos))

    def test_setup_runs_in_each_fresh_copy_and_sees_no_secret(
        self, repository: GitRepository, tmp_path: Path, site: Path, git: Git
    ) -> None:
        code = "import os, pathlib; pathlib.Path('made').write_text(str(sorted(os.environ)))"
        pool = self.pool(repository, tmp_path, site, sys.executable, "-c", code)
        for _ in range(2):
            with pool.borrow(TASK, "site", "main") as copy:
                assert "HQD_SECRET_X" not in (copy.path / "made").read_text()
                write(copy.path / "page.md", "new\n")
                work = copy.collect("Work")

        assert work.files == ("page.md",)  # what the set-up made is nobody's work
        assert git(tmp_path / "repos" / "site.git", "show", f"{work.head}:page.md") == "new\n"

    def test_a_commit_that_is_new_there_is_fetched(
        self, repository: GitRepository, tmp_path: Path, site: Path, git: Git
    ) -> None:
        pool = self.pool(repository, tmp_path, site)
        with pool.borrow(TASK, "site", "main"):
            pass
        write(site / "page.md", "later\n")
        git(site, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--all", "-m", "Later")

        with pool.borrow(TASK, "site", git(site, "rev-parse", "HEAD").strip()) as copy:
            assert (copy.path / "page.md").read_text() == "later\n"

    def test_a_setup_that_fails_says_so(self, repository: GitRepository, tmp_path: Path, site: Path) -> None:
        code = "import sys; sys.exit('no registry')"
        pool = self.pool(repository, tmp_path, site, sys.executable, "-c", code)

        with pytest.raises(Expected, match=r"setup of site failed.*no registry"), pool.borrow(TASK, "site", "main"):
            pytest.fail("borrowed")

    def test_a_setup_ends_at_the_limit_that_its_repository_sets(
        self, repository: GitRepository, tmp_path: Path, site: Path
    ) -> None:
        code = "import time; time.sleep(60)"
        pool = self.pool(repository, tmp_path, site, sys.executable, "-c", code, setup_timeout="200ms")

        said = r"not done after 0\.2 s \(\[repos\.site\] setup_timeout\)"
        with pytest.raises(Expected, match=said), pool.borrow(TASK, "site", "main"):
            pytest.fail("borrowed")

    def test_an_unknown_repository_is_named(self, copies: PooledCopies) -> None:
        with pytest.raises(Expected, match="no repository shop"), copies.borrow(TASK, "shop", "main"):
            pytest.fail("borrowed")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Do it", "Do it\n\nHqd-Work: t\n"),
        ("Do it\n\nWhy: because\n", "Do it\n\nWhy: because\nHqd-Work: t\n"),
        ("Do it\n\nSome prose here.", "Do it\n\nSome prose here.\n\nHqd-Work: t\n"),
        ("Do it\n\nHqd-Work: t\n", "Do it\n\nHqd-Work: t\n"),
        ("", "Work of an agent\n\nHqd-Work: t\n"),
    ],
)
def test_the_trailer_of_work_stands_among_the_trailers(message: str, expected: str) -> None:
    assert with_trailer(message, "t") == expected


def test_cone_patterns_name_parents_and_folders() -> None:
    assert cone(["playbooks", "workspace/context"]).splitlines() == [
        "/*", "!/*/", "/workspace/", "!/workspace/*/", "/playbooks/", "/workspace/context/",
    ]  # fmt: skip
