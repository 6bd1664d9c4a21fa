"""Agents that misbehave, and a disk that is full or read-only: hqd stays master of the house."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import Shop
from tests.acceptance.oracle import all_records, judge
from tests.acceptance.processes import ROOT, attempts, drop, in_state, run, start, stop, task_of, until
from tests.daemon.headquarters import SETTINGS as BASE
from tests.daemon.headquarters import make

SETTINGS = BASE + (
    '[agents.program]\nprovider = "command"\n'
    f'argv = [{sys.executable!r}, {str(ROOT / "tests/programs/agent.py")!r}]\ntimeout = "3s"\n'
)
PLAYBOOKS = {
    "program": """
name = "program"
on_fail = ["human"]
[[steps]]
name = "work"
agent = "program"
"""
}


def parked(shop: Shop, name: str, words: str) -> tuple[str, str]:
    """(reason, note) of a task whose agent does what `words` say."""
    shop.drop(f"program/{name}.md", f"# {name}\n\n{words}\n")
    task = shop.reaches(name, "blocked", seconds=60)
    record = all_records(shop.hq)[task][-1]
    assert record.reason is not None
    return record.reason.value, shop.hq.git("show", f"main:workspace/blocked/{task}.note.md")


@pytest.mark.parametrize(
    "path", ["playbooks/general.toml", "hqd.toml", "workspace/done/x.md", "lessons/L-1-x.md", ".gitattributes"]
)
def test_an_agent_that_changes_what_no_agent_may_touch_is_stopped_at_once(shop: Shop, path: str) -> None:
    name = "policy-" + "".join(char if char.isalnum() else "-" for char in path.lower()).strip("-")
    before = shop.hq.git("rev-parse", "main:playbooks", "main:hqd.toml")
    reason, note = parked(shop, name, f"!write {path} mine\n!say done")
    assert reason == "policy"
    assert path in note
    assert shop.hq.git("rev-parse", "main:playbooks", "main:hqd.toml") == before
    shop.still_works(f"after-{name}")


def test_what_an_agent_does_to_the_refs_of_its_copy_stays_there(shop: Shop) -> None:
    tip = shop.hq.git("rev-list", "--max-parents=0", "main")
    words = [
        f"update-ref refs/heads/main {tip}",
        f"update-ref refs/heads/hqd/evil {tip}",
        f"push -q --force origin {tip}:refs/heads/main",
        "config core.hooksPath /tmp",
        "update-ref -d refs/heads/main",
    ]
    before = shop.hq.git("rev-list", "--count", "main")
    shop.drop("program/refs.md", "# refs\n\n" + "".join(f"!git {each}\n" for each in words) + "!say done\n")
    shop.reaches("refs", "done", "blocked", seconds=60)
    assert shop.hq.git("merge-base", "--is-ancestor", tip, "main") == ""
    assert int(shop.hq.git("rev-list", "--count", "main")) > int(before)
    assert shop.hq.git("for-each-ref", "refs/heads/hqd/evil") == ""
    assert shop.hq.git("config", "--get", "core.hooksPath", check=False) == ""
    shop.still_works("after-refs")


def test_an_agent_that_forks_and_never_ends_is_killed_with_all_it_started(shop: Shop) -> None:
    reason, note = parked(shop, "forks", "!fork\n!fork\n!hang")
    assert reason == "ladder_exhausted"
    assert "3" in note
    (task,) = [task for task in all_records(shop.hq) if "-forks-" in task]
    record = next(record for record in all_records(shop.hq)[task] if record.outcome is not None)
    assert record.failure is not None
    assert record.failure.value == "timeout"
    said = shop.hq.git("show", f"main:{record.raw or record.output}")
    children = [int(word) for word in said.split() if word.isdigit()]
    assert len(children) == 2, said
    assert not [child for child in children if alive(child)]


def test_an_agent_that_prints_without_end_is_cut_off_and_costs_no_memory(shop: Shop) -> None:
    before = resident(shop.daemon.pid)
    reason, _note = parked(shop, "flood", "!print 1000000000")
    assert reason == "ladder_exhausted"
    (story,) = [story for task, story in all_records(shop.hq).items() if "-flood-" in task]
    assert attempts(story)[0][1] == "truncated"
    assert resident(shop.daemon.pid) - before < 60_000_000
    shop.still_works("after-flood")


def test_a_crashing_agent_and_one_that_is_not_there_are_told_apart(shop: Shop) -> None:
    reason, note = parked(shop, "segfault", "!raise")
    assert reason == "ladder_exhausted"
    assert "signal" in note.lower() or "SIGSEGV" in note, note
    shop.still_works("after-segfault")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be buried by its parent has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    words = Path(f"/proc/{pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def small_disk(where: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, so small that it can be filled."""
    where.mkdir()
    size = f"size={megabytes}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "hqd-test", str(where)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(place: Path) -> Path:
    """Leaves not one block free."""
    filler = place / "filler"
    size = 1 << 20
    with filler.open("ab", buffering=0) as file:
        while size >= 1:
            try:
                if file.write(b"x" * size) < size:
                    size //= 2
            except OSError:
                size //= 2
    return filler


@pytest.mark.root
def test_a_full_disk_holds_everything_and_what_ran_is_kept(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        hq = make(disk, SETTINGS, **PLAYBOOKS)
        hq.env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        with run(hq) as daemon:
            drop(hq, "before.md")
            in_state(hq, "before", "done", daemon=daemon)
            drop(hq, "program/running.md", f"# running\n\n!sleep 1.5\n!say kept {'x' * 2000}\n")
            task = in_state(hq, "running", "active", daemon=daemon)
            until(lambda: daemon.said().get("running"), "it runs")
            filler = fill(disk)
            until(lambda: "cannot commit" in daemon.output(), "hqd says that it cannot commit", 30)
            assert daemon.alive
            assert task_of(hq, "running") == ("active", task)
            filler.unlink()
            in_state(hq, "running", "done", seconds=30, daemon=daemon)
            drop(hq, "after.md")
            in_state(hq, "after", "done", daemon=daemon)
        story = judge(hq, ["before", "running", "after"])[task]
        assert attempts(story) == [("passed", None)], "what ran while the disk was full was paid for once"


@contextmanager
def unwritable(*folders: Path) -> Iterator[None]:
    """Folders in which not even root can make, change or remove an entry."""
    names = [str(folder) for folder in folders]
    done = subprocess.run(["chattr", "+i", *names], capture_output=True, check=False)
    try:
        if done.returncode != 0:
            pytest.skip("this file system knows no immutable folders")
        yield
    finally:
        subprocess.run(["chattr", "-i", *names], check=False)


@pytest.mark.root
def test_a_read_only_repository_is_held_and_goes_on_when_it_can_be_written(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS, **PLAYBOOKS)
    git = hq.root / ".git"
    with run(hq) as daemon:
        drop(hq, "program/running.md", "# running\n\n!sleep 1\n!say kept\n")
        task = in_state(hq, "running", "active", daemon=daemon)
        with unwritable(git, git / "objects/pack", git / "refs/heads", hq.root / "workspace/active"):
            until(lambda: "cannot commit" in daemon.output() or not daemon.alive, "hqd says so", 30)
            assert daemon.alive, daemon.output()
            assert task_of(hq, "running") == ("active", task)
            drop(hq, "during.md")
        in_state(hq, "running", "done", seconds=30, daemon=daemon)
        in_state(hq, "during", "done", seconds=30, daemon=daemon)
    assert attempts(judge(hq, ["running", "during"])[task]) == [("passed", None)]


def test_a_start_on_a_read_only_repository_says_so_and_ends(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    hq = make(tmp_path)
    (hq.root / ".git").chmod(0o500)
    try:
        daemon = start(hq)
        try:
            assert daemon.wait() != 0
        finally:
            stop(daemon)
        assert "Traceback" not in daemon.output()
    finally:
        (hq.root / ".git").chmod(0o700)
