"""A person works in the same clone at the same time: nothing of theirs is lost, nothing swept up, every task ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shop
from tests.acceptance.oracle import judge
from tests.acceptance.processes import in_state, places, run, task_of, until
from tests.daemon.headquarters import SETTINGS as BASE
from tests.daemon.headquarters import Headquarters, make

SETTINGS = BASE
PLAYBOOKS = {
    "steps": """
name = "steps"
[[steps]]
name = "one"
agent = "worker"
[[steps]]
name = "two"
agent = "strong"
[[steps]]
name = "three"
agent = "worker"
"""
}
ANSWERS = [{"step": "two", "answer": "the second step says this", "delay": "40ms"}, {"answer": "three good words"}]


LATER = ("index.lock", "cannot lock ref", "could not write index", "outside of your sparse-checkout")


def person(hq: Headquarters, *words: str, tries: int = 60, **env: str) -> str:
    """A person's git, tried again for as long as another git holds a lock, as people do.

    The same for a folder made this very moment: hqd takes it into the sparse checkout as soon as it sees it.
    """
    for _ in range(tries):
        done = subprocess.run(
            ["git", *words], cwd=hq.root, env={**hq.env, **env}, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode == 0:
            return done.stdout.strip()
        silent = words[0] == "stash" and not done.stderr  # how git stash says that index.lock is held
        if not silent and not any(lock in done.stderr for lock in LATER):
            raise AssertionError(f"git {' '.join(words)}: {done.stdout}{done.stderr}")
        time.sleep(0.05)
    raise AssertionError(f"git {' '.join(words)} never got its turn: {done.stderr}")


def burst(shop: Shop, name: str, count: int) -> list[str]:
    """So many three-step tasks at once."""
    return [shop.drop(f"steps/{name}{number}.md") for number in range(count)]


def all_done(shop: Shop, slugs: list[str]) -> None:
    for slug in slugs:
        shop.reaches(slug, "done", seconds=60)


def hqd_wrote_only_state(hq: Headquarters, since: str) -> None:
    """No commit of hqd's holds a path that is not the state of tasks."""
    found = person(hq, "log", "--committer=hqd", "--format=%x01%H", "--name-only", f"{since}..main")
    for commit in found.split("\x01")[1:]:
        _id, *paths = commit.split("\n")
        assert not [path for path in paths if path and not path.startswith("workspace/")], commit


def test_a_person_commits_while_tasks_move(shop: Shop) -> None:
    since = person(shop.hq, "rev-parse", "main")
    slugs = burst(shop, "commits", 8)
    for number in range(6):
        shop.hq.write(f"notes/commit-{number}.md", f"{number}\n")
        person(shop.hq, "add", f"notes/commit-{number}.md")
        person(shop.hq, "commit", "-qm", f"note {number}")
    all_done(shop, slugs)
    hqd_wrote_only_state(shop.hq, since)
    for number in range(6):
        by = person(shop.hq, "log", "--format=%cn", "--name-only", "--", f"notes/commit-{number}.md").split()
        assert by == ["Ada", f"notes/commit-{number}.md"]


def test_a_new_folder_of_a_person_can_be_added_at_once(shop: Shop) -> None:
    """git refuses to add what lies outside the sparse checkout: a new folder is taken into it when it appears."""
    hq = shop.hq
    hq.write("plans/2027/first.md", "a plan\n")
    began = time.monotonic()
    person(hq, "add", "plans")
    assert time.monotonic() - began < 1.5
    person(hq, "commit", "-qm", "plans")
    assert person(hq, "show", "main:plans/2027/first.md") == "a plan"


def test_staged_unstaged_and_untracked_work_stays_as_it_is(shop: Shop) -> None:
    hq, since = shop.hq, person(shop.hq, "rev-parse", "main")
    hq.write("notes/readme.md", "first\n")
    person(hq, "add", "notes/readme.md")
    person(hq, "commit", "-qm", "readme")
    hq.write("notes/staged.md", "staged\n")
    person(hq, "add", "notes/staged.md")
    hq.write("notes/staged.md", "staged, and edited since\n")
    hq.write("notes/readme.md", "first\nunstaged\n")
    hq.write("notes/untracked.md", "untracked\n")
    before = person(hq, "status", "--porcelain", "notes")
    all_done(shop, burst(shop, "staged", 6))
    assert person(hq, "status", "--porcelain", "notes") == before
    assert person(hq, "show", ":notes/staged.md") == "staged"
    assert (hq.root / "notes/staged.md").read_text() == "staged, and edited since\n"
    assert (hq.root / "notes/readme.md").read_text() == "first\nunstaged\n"
    assert (hq.root / "notes/untracked.md").read_text() == "untracked\n"
    hqd_wrote_only_state(hq, since)
    person(hq, "add", "notes")
    person(hq, "commit", "-qm", "tidy")


def test_stash_and_pop_while_tasks_move(shop: Shop) -> None:
    hq = shop.hq
    hq.write("notes/stash.md", "one\n")
    person(hq, "add", "notes")
    person(hq, "commit", "-qm", "to be stashed")
    slugs = burst(shop, "stash", 6)
    for turn in range(3):
        hq.write("notes/stash.md", f"edit {turn}\n")
        hq.write("notes/new.md", f"new {turn}\n")
        person(hq, "stash", "push", "--", "notes/stash.md")
        assert (hq.root / "notes/stash.md").read_text() == "one\n"
        person(hq, "stash", "pop")
        assert (hq.root / "notes/stash.md").read_text() == f"edit {turn}\n"
        person(hq, "checkout", "-q", "--", "notes/stash.md")
    all_done(shop, slugs)
    assert (hq.root / "notes/new.md").read_text() == "new 2\n"
    (hq.root / "notes/new.md").unlink()


def test_a_whole_stash_takes_no_state_with_it(shop: Shop) -> None:
    """`git stash -u` also takes a file that waits in the inbox: it is back after the pop, and becomes a task once.

    In a quiet moment: `git stash -u` reads index and files without a lock, so a file that hqd writes out in that
    very moment looks untracked to it (docs/operations.md says to pause first).
    """
    hq = shop.hq
    hq.write("notes/whole.md", "work\n")
    person(hq, "add", "notes/whole.md")
    all_done(shop, burst(shop, "whole", 4))
    waits = hq.write("workspace/inbox/waits.md", "---\ndraft: true\n---\n# It waits\n")
    person(hq, "stash", "push", "-u")
    assert not waits.exists()
    person(hq, "stash", "pop", "--index")
    assert waits.exists()
    all_done(shop, [shop.drop("waits.md", "# It waits no more\n")])
    assert person(hq, "diff", "--cached", "--name-only") == "notes/whole.md"
    person(hq, "commit", "-qm", "whole")


def test_on_another_branch_hqd_waits_and_says_so(shop: Shop) -> None:
    hq = shop.hq
    slugs = burst(shop, "branch", 4)
    person(hq, "checkout", "-q", "-b", "side")
    shop.said("busy", "branch")
    tip = person(hq, "rev-parse", "main")
    hq.write("notes/side.md", "on the side\n")
    person(hq, "add", "notes/side.md")
    person(hq, "commit", "-qm", "side work")
    late = shop.drop("late.md")
    until(lambda: shop.daemon.said().get("busy") == "branch", "it waits")
    assert person(hq, "rev-parse", "main") == tip
    person(hq, "checkout", "-q", "main")
    all_done(shop, [*slugs, late])
    assert person(hq, "log", "--format=%s", "main..side") == "side work"
    person(hq, "branch", "-qD", "side")


def test_commit_a_takes_the_persons_edits_and_no_state(shop: Shop) -> None:
    hq = shop.hq
    hq.write("notes/all.md", "0\n")
    person(hq, "add", "notes/all.md")
    person(hq, "commit", "-qm", "all 0")
    slugs = burst(shop, "all", 6)
    for number in range(1, 5):
        hq.write("notes/all.md", f"{number}\n")
        person(hq, "commit", "-qam", f"all {number}")
    all_done(shop, slugs)
    for number in range(1, 5):
        listed = person(hq, "log", "--format=", "--name-only", f"--grep=^all {number}$", "main").split()
        assert listed == ["notes/all.md"], listed


@contextmanager
def editor(hq: Headquarters, outside: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A git commit whose editor stays open until the `with` ends."""
    opened, close = outside / "opened", outside / "close"
    script = outside / "editor"
    script.write_text(
        f'#!/bin/sh\ntouch "{opened}"\nwhile [ ! -e "{close}" ]; do sleep 0.05; done\necho by hand > "$1"\n'
    )
    script.chmod(0o755)
    process = subprocess.Popen(
        ["git", *words], cwd=hq.root, env={**hq.env, "GIT_EDITOR": str(script)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        until(opened.exists, "the editor is open")
        yield process
    finally:
        close.touch()
        process.communicate(timeout=30)


def test_an_open_editor_of_commit_a_is_waited_for(shop: Shop, outside: Path) -> None:
    """`commit -a` holds index.lock while the editor is open: hqd waits, and says for whom."""
    hq = shop.hq
    hq.write("notes/all.md", "in the editor\n")
    hq.write("notes/open.md", "x\n")
    person(hq, "add", "notes/open.md")
    person(hq, "commit", "-qm", "open")
    hq.write("notes/open.md", "edited\n")
    with editor(hq, outside, "commit", "-a") as commit:
        slugs = burst(shop, "editor", 3)
        shop.said("busy", "index_lock")
        tip = person(hq, "rev-parse", "main")
        time.sleep(1.5)  # hqd's patience with a lock is one second
        assert person(hq, "rev-parse", "main") == tip
    assert commit.returncode == 0
    all_done(shop, slugs)
    assert "by hand" in person(hq, "log", "--format=%s", "-30", "main").split("\n")
    assert person(hq, "show", "main:notes/open.md") == "edited"


def test_a_plain_commit_with_an_open_editor_loses_nothing_when_main_moves(shop: Shop, outside: Path) -> None:
    """Without -a git holds no lock meanwhile. Whoever is second, the person's staged work is still there."""
    hq = shop.hq
    hq.write("notes/plain.md", "plain\n")
    person(hq, "add", "notes/plain.md")
    with editor(hq, outside, "commit") as commit:
        all_done(shop, burst(shop, "plain", 2))
    if commit.returncode != 0:
        assert person(hq, "diff", "--cached", "--name-only") == "notes/plain.md"
        person(hq, "commit", "-qm", "by hand, again")
    assert person(hq, "show", "main:notes/plain.md") == "plain"


def test_a_rebase_in_progress_is_waited_for(shop: Shop) -> None:
    hq = shop.hq
    for number in (1, 2):
        hq.write(f"notes/rebase-{number}.md", f"{number}\n")
        person(hq, "add", f"notes/rebase-{number}.md")
        person(hq, "commit", "-qm", f"rebase {number}")
    person(hq, "rebase", "-q", "-i", "HEAD~2", GIT_SEQUENCE_EDITOR="sed -i s/^pick/edit/")
    shop.said("busy", "rebase")
    slugs = burst(shop, "rebase", 3)
    tip = person(hq, "rev-parse", "main")
    hq.write("notes/rebase-1.md", "amended\n")
    person(hq, "commit", "-q", "--amend", "-a", "--no-edit")
    person(hq, "rebase", "--continue", GIT_EDITOR="true")
    with contextlib.suppress(AssertionError):  # it stops at the second commit, too
        person(hq, "rebase", "--continue", GIT_EDITOR="true")
    all_done(shop, slugs)
    assert person(hq, "merge-base", "main", tip) != tip
    assert person(hq, "show", "main:notes/rebase-1.md") == "amended"
    assert not shop.daemon.said()["busy"]


def test_an_index_lock_held_for_long_is_waited_for_and_never_taken(shop: Shop) -> None:
    hq, lock = shop.hq, shop.hq.root / ".git/index.lock"
    slugs = burst(shop, "lock", 2)
    until(lambda: _made(lock), "the lock is to be had", pace=0.001)
    shop.said("busy", "index_lock")
    late = shop.drop("after-lock.md")
    time.sleep(2)  # what is proven is that time does not make hqd take a lock that is not its own
    assert lock.read_text() == "not yours"
    assert task_of(hq, late) is None
    lock.unlink()
    all_done(shop, [*slugs, late])


def _made(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return False
    os.write(handle, b"not yours")
    os.close(handle)
    return True


@pytest.mark.parametrize("way", ["adopt", "back"])
def test_a_reset_on_main_is_held_until_a_person_decides(tmp_path: Path, way: str) -> None:
    hq = make(tmp_path)
    with run(hq) as daemon:
        for name in ("one", "two"):
            (hq.root / f"workspace/inbox/{name}.md").write_text("# It\n")
            in_state(hq, name, "done", daemon=daemon)
        tip = person(hq, "rev-parse", "main")
        hq.write("notes/mine.md", "untracked\n")
        person(hq, "reset", "-q", "--hard", "HEAD~5")
        until(lambda: "history_rewritten" in held(hq), "a hold", pace=0.1)
        short = person(hq, "rev-parse", "main")
        (hq.root / "workspace/inbox/three.md").write_text("# Three\n")
        time.sleep(1.5)  # a rescan later nothing has moved
        assert person(hq, "rev-parse", "main") == short
        assert (hq.root / "workspace/inbox/three.md").exists()
        if way == "adopt":
            assert daemon.ask("adopt").ok
        else:
            person(hq, "reset", "-q", "--hard", tip)
        in_state(hq, "three", "done", daemon=daemon)
        until(lambda: all(state == "done" for state, _task in places(hq)), "all done")
        assert (hq.root / "notes/mine.md").read_text() == "untracked\n"
    slugs = {task[9:-7] for _state, task in places(hq)}
    assert {"one", "three"} <= slugs
    judge(hq, sorted(slugs))
    if way == "back":
        assert person(hq, "merge-base", "main", tip) == tip
        assert slugs == {"one", "two", "three"}


def held(hq: Headquarters) -> str:
    """The holds that stand under .git/hqd, where nothing can be committed."""
    try:
        return (hq.root / ".git/hqd/local-holds.json").read_text()
    except FileNotFoundError:
        return ""
