"""Locks on branches after a kill: hqd's own stale ones are healed, everybody else's stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.adapters.branches import GitBranches
from hqd.adapters.branches.leftovers import clear
from hqd.adapters.repository import GitRepository
from hqd.errors import HqdError

TASK = "20261122-piece-d25a98"


@pytest.fixture
def repository(hq_repo: Path) -> Iterator[GitRepository]:
    found = GitRepository.open(hq_repo, dict(os.environ))
    yield found
    found.close()


def killed_in_the_middle(repository: GitRepository, age: float) -> tuple[Path, Path]:
    """The mark and the locks as a killed hqd leaves them."""
    (repository.private / "branches-change").touch()
    locks = (repository.common_dir / "packed-refs.lock", repository.common_dir / f"refs/heads/hqd/{TASK}.lock")
    for lock in locks:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text("")
    for path in (*locks, repository.private / "branches-change"):
        os.utime(path, (time.time() - age,) * 2)
    return locks


def test_stale_locks_of_a_killed_hqd_are_removed_and_branches_can_be_set(repository: GitRepository) -> None:
    branches, tip = GitBranches(repository), repository.tip()
    locks = killed_in_the_middle(repository, age=60)
    with pytest.raises(HqdError):
        branches.point(TASK, tip)
    killed_in_the_middle(repository, age=60)
    clear(repository)
    assert not any(lock.exists() for lock in locks)
    branches.point(TASK, tip)
    assert branches.tip(TASK) == tip
    assert not (repository.private / "branches-change").exists()


def test_a_lock_that_moves_on_belongs_to_somebody_alive(repository: GitRepository) -> None:
    locks = killed_in_the_middle(repository, age=0)

    def meanwhile(_seconds: float) -> None:
        for lock in locks:
            lock.write_text("a living git writes")

    clear(repository, sleep=meanwhile)
    assert all(lock.exists() for lock in locks)


def test_locks_older_than_the_kill_and_locks_without_one_stay(repository: GitRepository) -> None:
    locks = killed_in_the_middle(repository, age=60)
    (repository.private / "branches-change").unlink()
    clear(repository)
    assert all(lock.exists() for lock in locks)
    (repository.private / "branches-change").touch()
    clear(repository)
    assert all(lock.exists() for lock in locks)
