"""Upkeep, the instance lock, and what the ledger knows without asking git."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.adapters.history import GitTree
from hqd.adapters.instance import daemon_alive, host_id, only_instance
from hqd.adapters.ledger import Upkeep, prepare
from hqd.adapters.ledger.known_trees import known_trees
from hqd.adapters.ledger.recover import tree_changes
from hqd.adapters.objects import Objects
from hqd.adapters.sparse import Sparse
from hqd.core.batch import Change, blob_id
from hqd.errors import AlreadyRunning
from hqd.model.change import Transition
from tests.integration.ledger_scenes import AT, Desk, move, write


@pytest.fixture
def desk(hq_repo: Path) -> Iterator[Desk]:
    with Desk.open(hq_repo) as desk:
        desk.append(*(write(f"workspace/queue/t{n:02}.md", f"# {n}\n") for n in range(20)))
        yield desk


def packs(desk: Desk) -> int:
    return len(list((desk.root / ".git/objects/pack").glob("*.pack")))


def test_trees_worked_out_here_are_gits_own(desk: Desk) -> None:
    """Names chosen to sort differently as file and as folder; folders that appear, empty and become files."""
    rng = random.Random(4)
    names = [f"{a}{b}" for a in ("a", "a-", "a.", "a0", "é", "Z\n") for b in ("", "/x", "/y/z")]
    there: dict[str, str] = {}
    for n in range(40):
        change: dict[str, str | None] = {}
        for path in rng.sample(names, 4):
            if path in there:
                change[path] = None
            elif not any(other.startswith(path + "/") or path.startswith(other + "/") for other in {**there, **change}):
                change[path] = f"{n}"
        base = desk.repo.tip()
        desk.append(
            Transition(
                message="x\n", at=AT,
                deletes=tuple(path for path, text in change.items() if text is None),
                writes=tuple((path, text.encode()) for path, text in change.items() if text is not None),
            )
        )  # fmt: skip
        for path, text in change.items():
            there.pop(path, None)
            if text is not None:
                there[path] = text
        planned = [
            Change(path, None, None if text is None else ("100644", blob_id(text.encode())))
            for path, text in change.items()
        ]
        computed, _ = known_trees(desk.repo.objects, desk.repo.objects.root(base), planned, "sha1")
        assert computed == desk.git("rev-parse", "HEAD^{tree}").strip()


def test_an_append_after_the_first_reads_no_object(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.append(move("t00", "queue", "active"))

    def no_reading(*_: object) -> None:
        raise AssertionError("an object was read from git")

    monkeypatch.setattr(Objects, "_ask", no_reading)
    desk.append(move("t01", "queue", "active"), move("t02", "queue", "blocked"))
    assert desk.ledger.snapshot().entry("workspace/active/t01.md") is not None


def test_what_is_known_equals_what_is_read(desk: Desk) -> None:
    for n in range(5):
        desk.append(move(f"t{n:02}", "queue", "active"))
    tip = desk.repo.tip()
    fresh = Objects(desk.repo.git, "sha1")
    learnt, read = desk.ledger.snapshot(), GitTree(fresh, tip)
    assert learnt.root == read.root
    assert [entry.name for entry in learnt.entries("workspace/active")] == [
        entry.name for entry in read.entries("workspace/active")
    ]
    assert list(tree_changes(fresh, learnt.root, read.root)) == []
    fresh.close()


@pytest.mark.parametrize("mode", ["index", "cone", "off"])
def test_the_index_written_here_is_the_one_git_would_write(desk: Desk, mode: str) -> None:
    """Entry by entry, after random moves, writes and deletes, with names that sort badly; dates are git's too."""
    Sparse(desk.writer).apply(mode, AT.date())  # type: ignore[arg-type]
    rng = random.Random(11)
    places = [f"workspace/{folder}" for folder in ("queue", "active", "files/deep/er", "done/2026/11/22", "inbox")]
    files: list[str] = []
    for n in range(40):
        moved = [files.pop(rng.randrange(len(files))) for _ in range(rng.choice((0, 1, 3))) if files]
        gone = [files.pop()] if files and n % 5 == 0 else []
        new = [
            f"{rng.choice(places)}/{rng.choice('aZ-.0é')}{n}{suffix}" for suffix in ("", "-", ".md")[: rng.randrange(4)]
        ]
        moves = tuple((path, f"{rng.choice(places)}/{n}-{path.rpartition('/')[2]}") for path in moved)
        record = (f"workspace/runs/2026/11/22/t/{n:03}.toml", b"x")
        desk.append(
            Transition(
                message="x\n", at=AT, renames=moves, deletes=tuple(gone),
                writes=(*((path, path.encode()) for path in new), record),
            )
        )  # fmt: skip
        files += [*new, *(path for _, path in moves)]
        desk.assert_sound()
        ours = desk.git("ls-files", "--sparse", "--stage", "-t")
        desk.git("update-index", "--really-refresh")
        desk.git("read-tree", "-m", "HEAD")
        assert desk.git("ls-files", "--sparse", "--stage", "-t") == ours
        assert desk.look() == {}


def test_a_lone_transition_starts_no_git(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    Sparse(desk.writer).apply("index", AT.date())
    desk.append(move("t00", "queue", "active"))

    def no_git(*_: object, **__: object) -> None:
        raise AssertionError("a git was started")

    monkeypatch.setattr(type(desk.repo.git), "quick", no_git)
    desk.append(move("t00", "active", "blocked", 2), write("workspace/blocked/t00.note.md", "why"))
    monkeypatch.undo()
    desk.assert_sound()


def test_packs_are_joined_in_the_background_and_appends_go_on(desk: Desk) -> None:
    upkeep = Upkeep(desk.repo, desk.ledger, packs_between=10)
    assert upkeep.tick(0.0)
    upkeep.wait()
    most = 0
    for n in range(60):
        desk.append(move(f"t{n % 20:02}", *("queue", "active") if n // 20 % 2 == 0 else ("active", "queue"), n))
        upkeep.tick(1.0)
        most = max(most, packs(desk))
    upkeep.wait()
    upkeep.tick(2.0)
    upkeep.wait()
    assert upkeep.error is None
    assert packs(desk) < 20
    assert most < 60
    desk.assert_sound()
    upkeep.close()
    assert not upkeep.tick(1e9)


def test_marks_of_a_killed_pack_writer_do_not_stop_the_joining(desk: Desk) -> None:
    for n in range(10):
        desk.append(move(f"t{n:02}", "queue", "active"))
    process = desk.ledger._fast._process
    assert process is not None
    process.kill()
    process.wait()
    kept = list((desk.root / ".git/objects/pack").glob("*.keep"))
    assert len(kept) >= 10
    for mark in kept:
        os.utime(mark, (1, 1))
    upkeep = Upkeep(desk.repo, desk.ledger)
    upkeep.tick(0.0)
    upkeep.wait()
    assert upkeep.error is None
    assert packs(desk) <= 3
    desk.append(move("t10", "queue", "active"))
    desk.assert_sound()


def test_a_large_history_gets_a_commit_graph(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hqd.adapters.ledger.upkeep._LARGE", 5)
    upkeep = Upkeep(desk.repo, desk.ledger)
    upkeep.tick(0.0)
    upkeep.wait()
    assert upkeep.error is None
    assert (desk.root / ".git/objects/info/commit-graphs/commit-graph-chain").exists()
    assert not upkeep.tick(3600.0)
    assert upkeep.tick(86_401.0)
    upkeep.wait()


def test_torn_packs_go_and_those_in_use_stay(desk: Desk) -> None:
    folder = desk.root / ".git/objects/pack"
    torn, used = folder / "tmp_pack_torn", folder / "tmp_pack_used"
    for path in (torn, used):
        path.write_bytes(b"PACK")
        os.utime(path, (time.time() - 3600,) * 2)
    upkeep = Upkeep(desk.repo, desk.ledger)
    with used.open("rb"):
        upkeep.tick(0.0)
        upkeep.wait()
    assert not torn.exists()
    assert used.exists()
    assert upkeep.error is None


def test_prepare_settles_the_configuration_once(desk: Desk) -> None:
    assert prepare(desk.repo)
    assert not prepare(desk.repo)
    assert desk.git("config", "gc.auto").strip() == "0"
    assert desk.git("config", "maintenance.auto").strip() == "false"


def test_one_instance_per_hq(tmp_path: Path) -> None:
    assert daemon_alive(tmp_path) is None
    with only_instance(tmp_path):
        assert daemon_alive(tmp_path) == os.getpid()
        with pytest.raises(AlreadyRunning, match=str(os.getpid())), only_instance(tmp_path):
            raise AssertionError("two at once")
        assert daemon_alive(tmp_path) == os.getpid()
    assert daemon_alive(tmp_path) is None
    with only_instance(tmp_path):
        pass


def test_a_killed_instance_frees_the_hq(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom hqd.adapters.instance import only_instance\n"
        "with only_instance(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert daemon_alive(tmp_path) == process.pid
        process.kill()
    assert daemon_alive(tmp_path) is None
    with only_instance(tmp_path):
        assert daemon_alive(tmp_path) == os.getpid()


def test_the_host_id_is_made_once_per_clone(tmp_path: Path) -> None:
    first = host_id(tmp_path)
    assert first == host_id(tmp_path)
    assert len(first) == 16
    (tmp_path / "other").mkdir()
    assert host_id(tmp_path / "other") != first
