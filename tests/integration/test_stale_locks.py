"""Locks that the git of a killed hqd has left in the way: the next hqd clears its own, and nobody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hqd.adapters.ledger import Writer, stale_locks
from hqd.adapters.repository import MIRRORS, GitRepository
from tests.integration.ledger_scenes import Desk
from tests.integration.test_ledger_crash import abandon


def test_a_branch_can_be_deleted_again_after_a_git_that_was_killed_while_it_deleted_one(hq_repo: Path) -> None:
    desk = Desk.open(hq_repo)
    desk.git("branch", "hqd/a")
    desk.git("branch", "hqd/b")
    desk.git("pack-refs", "--all")
    mirror = desk.repo.private / MIRRORS / "site"
    mirror.mkdir(parents=True)
    locks = [hq_repo / ".git/packed-refs.lock", hq_repo / ".git/refs/heads/hqd/b.lock", mirror / "packed-refs.lock"]
    abandon(desk)
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    with pytest.raises(AssertionError, match=r"packed-refs\.lock"):
        desk.git("branch", "-D", "hqd/a")
    with Desk.open(hq_repo) as later:
        assert [lock for lock in locks if lock.exists()] == []
        later.git("branch", "-D", "hqd/a", "hqd/b")


def test_after_a_clean_end_a_lock_is_a_persons(hq_repo: Path) -> None:
    repo = GitRepository.open(hq_repo, dict(os.environ))
    Writer(repo).close()
    lock = hq_repo / ".git/packed-refs.lock"
    lock.touch()
    Writer(repo).close()
    assert lock.exists()
    repo.close()


@pytest.mark.parametrize("grows", ["packed-refs.lock", "packed-refs.new"])
def test_a_lock_of_a_git_that_still_writes_is_left_alone(tmp_path: Path, grows: str) -> None:
    lock = tmp_path / "packed-refs.lock"
    lock.touch()
    assert stale_locks.clear([tmp_path], 0.0, _writes(tmp_path / grows)) == []
    assert lock.exists()


def test_a_lock_older_than_the_hqd_that_was_killed_is_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "packed-refs.lock"
    lock.touch()
    os.utime(lock, (1_000, 1_000))
    assert stale_locks.clear([tmp_path], 2_000.0, _writes(tmp_path / "elsewhere")) == []
    assert lock.exists()


def _writes(path: Path) -> Callable[[float], None]:
    """Somebody writes while hqd waits."""

    def sleep(_seconds: float) -> None:
        with path.open("a") as file:
            file.write("line\n")

    return sleep
