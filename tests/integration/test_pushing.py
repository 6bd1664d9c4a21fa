"""Landing in a target repository by push: races, refusals, remotes that are away; and what a mirror keeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from hqd.adapters.local_forge import LocalForge
from hqd.adapters.mirror import Mirror, Mirrors
from hqd.daemon.repositories.places import Place
from hqd.daemon.repositories.pushing import push_merge, show
from hqd.errors import Expected, RemoteRefused, RemoteUnavailable
from hqd.model.record import Person
from hqd.model.remote import Pushed, RefUpdate
from hqd.model.settings import Repository
from tests.daemon.target_repository import GREEN, Site, site

TASK = "20261122-mend-aaaaaa"
ADA = Person(name="Ada", email="ada@example.org")
ENV = {
    **os.environ,
    **{
        f"GIT_{role}_{key}": f"ada{'@example.org' * (key == 'EMAIL')}"
        for role in ("AUTHOR", "COMMITTER")
        for key in ("NAME", "EMAIL")
    },
}


@pytest.fixture
def target(tmp_path: Path) -> Site:
    return site(tmp_path, ENV)


@pytest.fixture
def mirror(tmp_path: Path, target: Site) -> Mirror:
    found = Mirrors(tmp_path / "repos", ENV, lambda: {"site": Repository(url=str(target.remote))}).get("site")
    found.fetch()
    return found


class Busy:
    """Port Target: people push to main between hqd's fetch and its push."""

    def __init__(self, mirror: Mirror, meanwhile: Callable[[], object]) -> None:
        self._mirror, self._meanwhile = mirror, meanwhile
        self.url, self.main, self.pushes = mirror.url, mirror.main, 0

    def fetch(self) -> Mapping[str, str]:
        return self._mirror.fetch()

    def there(self, task: str) -> str | None:
        return self._mirror.there(task)

    def unfilled(self) -> tuple[str, ...]:
        return self._mirror.unfilled()

    def push(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        self.pushes += 1
        self._meanwhile()
        return self._mirror.push(updates)


def place(mirror: Mirror, target: Busy | None = None) -> Place:
    branches = mirror.branches
    return Place("site", branches, LocalForge(branches, mirror), branches.updates, target or mirror)


def work(mirror: Mirror) -> tuple[str, str]:
    base = mirror.branches.main() or ""
    head = mirror.branches.commit_files(TASK, base, {"calc.py": GREEN.encode()}, "Mend", overwrite=True)
    mirror.branches.point(TASK, head)
    return base, head


def test_who_was_faster_is_merged_with(target: Site, mirror: Mirror) -> None:
    pushed = iter(range(2))
    busy = Busy(mirror, lambda: target.commit({f"new{next(pushed, 9)}.py": "x\n"}) if busy.pushes < 3 else None)
    looked: list[str] = []
    base, head = work(mirror)
    commit = push_merge(
        place(mirror, busy), TASK, base, head, "Mend", ADA, lambda: looked.append(mirror.branches.main() or "")
    )
    assert (busy.pushes, len(set(looked))) == (3, 3)
    assert target.tip() == commit == mirror.branches.main()
    assert target.git("ls-tree", "--name-only", "main", where=target.remote).split() == [
        "README.md", "calc.py", "new0.py", "new1.py", "test_calc.py",
    ]  # fmt: skip


def test_a_main_that_never_stands_still_ends_the_tries(target: Site, mirror: Mirror) -> None:
    busy = Busy(mirror, lambda: target.commit({"calc.txt": f"{busy.pushes}\n"}))
    base, head = work(mirror)
    with pytest.raises(RemoteUnavailable, match="moved 5 times"):
        push_merge(place(mirror, busy), TASK, base, head, "Mend", ADA, lambda: None)


def test_what_a_person_has_landed_meanwhile_is_not_landed_again(target: Site, mirror: Mirror) -> None:
    base, head = work(mirror)
    theirs = target.commit({"calc.py": GREEN}, "Mend it myself")
    assert push_merge(place(mirror), TASK, base, head, "Mend", ADA, lambda: None) == theirs
    assert target.tip() == theirs


def test_a_remote_that_is_away_lands_nothing_and_says_so(target: Site, mirror: Mirror) -> None:
    base, head = work(mirror)
    target.remote.rename(target.remote.with_name("away"))
    with pytest.raises(RemoteRefused, match=r"site\.git"):
        push_merge(place(mirror), TASK, base, head, "Mend", ADA, lambda: None)


def test_what_look_refuses_is_not_pushed(target: Site, mirror: Mirror) -> None:
    base, head = work(mirror)
    before = target.tip()

    def look() -> None:
        raise Expected("red")

    with pytest.raises(Expected, match="red"):
        push_merge(place(mirror), TASK, base, head, "Mend", ADA, look)
    assert target.tip() == before


def test_branches_under_review_are_shown_once_and_refusals_come_back(target: Site, mirror: Mirror) -> None:
    _, head = work(mirror)
    target.hook("grep -q hqd/ && exit 1; exit 0")
    assert show(place(mirror), {TASK: head}) == {TASK: head}
    target.hook("exit 0")
    assert show(place(mirror), {TASK: head}) == {}
    assert target.tip(f"hqd/{TASK}") == head == mirror.there(TASK)


def test_nothing_that_a_person_takes_away_is_lost(target: Site, mirror: Mirror) -> None:
    _, head = work(mirror)
    show(place(mirror), {TASK: head})
    target.git("push", "--quiet", "origin", "--delete", f"hqd/{TASK}")
    mirror.fetch()
    assert (mirror.branches.tip(TASK), mirror.there(TASK)) == (None, None)
    kept = mirror.repository.git.quick("for-each-ref", "--format=%(objectname)", "refs/hqd/gone", "refs/hqd/review")
    assert kept.text.split() == [head, head]


def test_a_mirror_follows_its_settings_and_names_of_any_kind_have_one_of_their_own(
    tmp_path: Path, target: Site
) -> None:
    repos = {"site": Repository(url=str(target.remote)), "a/../b": Repository(url=str(target.remote), branch="trunk")}
    mirrors = Mirrors(tmp_path / "repos", ENV, lambda: repos)
    first = mirrors.get("site")
    assert mirrors.get("site") is first
    repos["site"] = Repository(url=str(target.remote), protected=("x",))
    assert mirrors.get("site") is not first
    odd = mirrors.path("a/../b")
    assert odd.parent == tmp_path / "repos"
    with pytest.raises(RemoteRefused, match="no branch trunk"):
        mirrors.get("a/../b").fetch()
    with pytest.raises(Expected, match="no repository sites") as unknown:
        mirrors.get("sites")
    assert "did you mean site?" in unknown.value.remedy
