"""Main is moved to commits that somebody else made, or that were made anew, under the protections of `append`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.ledger.direct import DirectWriting
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.errors import PathsInUse, StaleHead
from tests.integration.ledger_scenes import Desk, move, write


@pytest.fixture
def desk(hq_repo: Path) -> Iterator[Desk]:
    with Desk.open(hq_repo) as found:
        found.append(*(write(f"workspace/queue/t{n:02}.md", f"# {n}\n") for n in range(4)))
        yield found


def elsewhere(desk: Desk, tmp_path: Path, changes: dict[str, str | None], base: str | None = None) -> str:
    """A commit by somebody else on `base`, whose objects are here; main is not moved."""
    clone = tmp_path / "elsewhere"
    if not clone.exists():
        desk.git("clone", "-q", str(desk.root), str(clone))
    other = Desk(clone, desk.repo, desk.writer, desk.ledger, desk.checkout, desk.history)
    other.git("checkout", "-q", "--detach", base or "origin/main")
    for path, text in changes.items():
        if text is None:
            other.git("rm", "-q", path)
        else:
            other.put(path, text)
    other.git("add", "-A")
    other.git("-c", "user.name=Else", "-c", "user.email=else@example.org", "commit", "-qm", "theirs")
    commit = other.git("rev-parse", "HEAD").strip()
    desk.git("fetch", "-q", str(clone), f"{commit}:refs/hqd/remote/test/main", "--force")
    return commit


CHANGES = {
    "workspace/queue/t00.md": None,
    "workspace/done/2026/11/22/t00.md": "# 0\n",
    "workspace/inbox/new.md": "# New\n",
    "playbooks/p.toml": 'name = "p"\n',
    "docs/readme.md": "words\n",
}


def test_index_and_files_follow_and_a_persons_work_elsewhere_stays(desk: Desk, tmp_path: Path) -> None:
    base = desk.repo.tip()
    to = elsewhere(desk, tmp_path, CHANGES)
    desk.put("mine.md", "staged")
    desk.git("add", "mine.md")
    desk.put("hqd.toml", "format = 1\n# edited\n")
    desk.put("notes.md", "untracked")
    desk.ledger.advance(base, to, base)
    assert desk.repo.tip() == to
    assert desk.path("workspace/inbox/new.md").read_text() == "# New\n"
    assert not desk.path("workspace/queue/t00.md").exists()
    assert desk.status().splitlines() == [" M hqd.toml", "A  mine.md", "?? notes.md"]
    assert set(desk.look()) == {"hqd.toml"}
    assert desk.ledger.last_seen() == base, "what came is still to be looked at"


@pytest.mark.parametrize("how", ["edited", "staged", "untracked", "deleted"])
def test_a_persons_work_on_a_path_of_the_move_stops_it(desk: Desk, tmp_path: Path, how: str) -> None:
    base = desk.repo.tip()
    to = elsewhere(desk, tmp_path, {**CHANGES, "workspace/queue/t01.md": "# theirs\n"})
    path = "workspace/inbox/new.md" if how == "untracked" else "workspace/queue/t01.md"
    if how == "deleted":
        desk.path(path).unlink()
    else:
        desk.put(path, "# mine\n")
    if how == "staged":
        desk.git("add", path)
    before = desk.status()
    with pytest.raises(PathsInUse) as fault:
        desk.ledger.advance(base, to, base)
    assert fault.value.paths == (path,)
    assert (desk.repo.tip(), desk.status()) == (base, before)


def test_a_person_who_committed_first_is_seen(desk: Desk, tmp_path: Path) -> None:
    base = desk.repo.tip()
    to = elsewhere(desk, tmp_path, CHANGES)
    desk.git("commit", "-q", "--allow-empty", "-m", "mine")
    with pytest.raises(StaleHead):
        desk.ledger.advance(base, to, base)


def test_what_was_built_beside_main_takes_its_place_in_one_step(desk: Desk, tmp_path: Path) -> None:
    common = desk.repo.tip()
    theirs = elsewhere(desk, tmp_path, CHANGES)
    desk.append(move("t02", "queue", "active"))
    old = desk.repo.tip()
    (new,) = desk.ledger.build(theirs, [move("t02", "queue", "active")])
    assert desk.repo.tip() == old
    desk.ledger.advance(old, new, common)
    assert desk.git("log", "--format=%s", f"{common}..main").splitlines() == ["hqd: t02: queue -> active", "theirs"]
    assert desk.path("workspace/active/t02.md").exists()
    assert desk.path("playbooks/p.toml").exists()
    desk.assert_sound()
    desk.append(move("t03", "queue", "active"))
    desk.assert_sound()


class Killed(BaseException):
    """Stands for SIGKILL inside this process."""


@pytest.mark.parametrize("point", ["before main moves", "after main moved", "files, not the index", "journal"])
def test_cut_off_at_each_step_the_next_start_finishes(
    hq_repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    desk = Desk.open(hq_repo)
    desk.append(*(write(f"workspace/queue/t{n:02}.md", f"# {n}\n") for n in range(4)))
    common = desk.repo.tip()
    theirs = elsewhere(desk, tmp_path, CHANGES)
    desk.append(move("t02", "queue", "active"))
    old = desk.repo.tip()
    (new,) = desk.ledger.build(theirs, [move("t02", "queue", "active")])

    def killed(*_: object, **__: object) -> None:
        raise Killed

    places: dict[str, tuple[Any, str]] = {
        "before main moves": (desk.ledger._refs, "move"),
        "after main moved": (DirectWriting, "write"),
        "files, not the index": (IndexLock, "publish"),
        "journal": (desk.writer.journal, "end"),
    }
    monkeypatch.setattr(*places[point], killed)
    with pytest.raises(Killed):
        desk.ledger.advance(old, new, common)
    monkeypatch.undo()
    desk.ledger.close()
    os.close(desk.writer._handle)
    desk.repo.close()
    with Desk.open(hq_repo) as again:
        assert again.repo.tip() == (old if point == "before main moves" else new)
        assert again.path("workspace/active/t02.md").exists()
        assert again.path("docs/readme.md").exists() == (point != "before main moves")
        assert again.ledger.last_seen() == common
        again.assert_sound()
