"""What a killed hqd leaves, and that the next one mends it: nothing reported is lost, nothing is half done."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.git import GitFailed
from hqd.adapters.ledger import Writer
from hqd.adapters.ledger.direct import DirectWriting
from hqd.adapters.ledger.index_lock import IndexLock
from hqd.adapters.ledger.moving import Mover
from hqd.adapters.repository import GitRepository
from hqd.errors import AlreadyRunning, CannotCommit
from hqd.model.change import Transition
from tests.integration.ledger_scenes import Desk, consume, move, write

ROOT = Path(__file__).resolve().parents[2]
CHILD = ROOT / "tests/integration/ledger_child.py"
STRACE = shutil.which("strace")


@pytest.fixture
def hq(hq_repo: Path) -> Path:
    with Desk.open(hq_repo) as desk:
        desk.append(*(write(f"workspace/queue/t{n:02}.md", f"# {n}\n") for n in range(20)))
    return hq_repo


def child(hq: Path, oracle: Path, seed: int, *more: str, path: str = "") -> subprocess.Popen[bytes]:
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | ({"PATH": path} if path else {})
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(hq), str(oracle), str(seed), *more],
        env=env, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def reported(oracle: Path) -> dict[str, tuple[str, int]]:
    """batch -> (commit, number of transitions), as the child wrote it down; a torn last line counts for nothing."""
    found = {}
    for line in oracle.read_text().splitlines() if oracle.exists() else ():
        words = line.split()
        if len(words) == 3:
            found[words[0]] = (words[1], int(words[2]))
    return found


def assert_nothing_lost(desk: Desk, oracle: Path) -> None:
    desk.assert_sound()
    assert desk.look().keys() <= {"workspace/inbox"} | {
        path for path in desk.look() if path.startswith("workspace/inbox/")
    }
    in_history = Counter(
        line.removeprefix("Batch: ") for line in desk.git("log", "--format=%B").splitlines() if line.startswith("Batch")
    )
    for batch, (commit, count) in reported(oracle).items():
        assert in_history[batch] == count, f"batch {batch} is not whole"
        desk.git("merge-base", "--is-ancestor", commit, "HEAD")
    tasks = Counter(
        path.name for state in ("queue", "active", "blocked") for path in desk.path(f"workspace/{state}").glob("*.md")
    )
    assert all(count == 1 for count in tasks.values()), "a task is in two folders"
    assert len([name for name in tasks if name.startswith("t")]) == 20


@pytest.mark.parametrize("group", [False, True], ids=["the process alone", "its children too"])
def test_killed_at_random_moments_nothing_reported_is_lost(hq: Path, tmp_path: Path, group: bool) -> None:
    rng = random.Random(7 + group)
    oracle = tmp_path / "oracle"
    for round_ in range(10):
        already = len(reported(oracle))
        process = child(hq, oracle, round_)
        wait_until(
            lambda process=process, already=already: len(reported(oracle)) > already or process.poll() is not None
        )
        time.sleep(rng.random() * 0.08)
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
        if round_ % 3 == 0:
            with Desk.open(hq) as desk:
                assert_nothing_lost(desk, oracle)
    assert len(reported(oracle)) >= 10


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nothing of ours catches it."""


POINTS = [
    "before main moves",
    "after main moved",
    "half of the files",
    "files, not the index",
    "index, not the journal",
]


@pytest.mark.parametrize("way", ["direct", "git"])
@pytest.mark.parametrize("point", POINTS)
def test_cut_off_at_each_step_the_next_start_finishes(
    hq: Path, monkeypatch: pytest.MonkeyPatch, point: str, way: str
) -> None:
    desk = Desk.open(hq)
    before = desk.repo.tip()
    desk.put("workspace/inbox/x.md", "x")
    desk.put("mine.md", "staged by a person")
    desk.git("add", "mine.md")
    batch = [
        move("t00", "queue", "active"),
        move("t01", "queue", "blocked"),
        consume("workspace/inbox/x.md", "x", "x-1"),
    ]

    def killed(*_: object, **__: object) -> None:
        raise Killed

    def half(*_: object, **__: object) -> None:
        desk.path("workspace/queue/t00.md").unlink()
        desk.path("workspace/active/t00.md").write_text("#")  # what git was writing
        raise Killed

    if way == "git":
        monkeypatch.setattr(DirectWriting, "write", lambda *_: None)
    writing: tuple[Any, str] = (DirectWriting, "write") if way == "direct" else (Mover, "write")
    if point == "before main moves":
        monkeypatch.setattr(desk.ledger._refs, "move", killed)
    elif point == "after main moved":
        monkeypatch.setattr(*writing, killed)
    elif point == "half of the files":
        monkeypatch.setattr(*writing, half)
    elif point == "files, not the index":
        monkeypatch.setattr(IndexLock, "publish", killed)
    else:
        monkeypatch.setattr(desk.writer.journal, "end", killed)
    with pytest.raises(Killed):
        desk.append(*batch)
    monkeypatch.undo()
    abandon(desk)
    with Desk.open(hq) as again:
        committed = point != "before main moves"
        assert (again.repo.tip() != before) == committed
        assert again.path("workspace/active/t00.md").exists() == committed
        assert again.path("workspace/queue/t00.md").exists() != committed
        assert again.path("workspace/inbox/x.md").exists() != committed
        assert again.git("diff", "--cached", "--name-only") == "mine.md\n"
        again.git("reset", "-q")
        assert set(again.look()) == (
            set() if committed else {"workspace/inbox", "workspace/inbox/x.md"} & set(again.look())
        )
        if committed:
            again.assert_sound()


def abandon(desk: Desk) -> None:
    """Leaves everything as a killed process does: files and locks stay, the kernel takes the flock back."""
    desk.ledger.close()
    os.close(desk.writer._handle)
    desk.repo.close()


def test_a_token_lock_of_a_dead_hqd_is_removed_and_a_foreign_one_is_not(hq: Path) -> None:
    desk = Desk.open(hq)
    os.link(desk.writer.token, hq / ".git/index.lock")
    abandon(desk)
    with Desk.open(hq) as again:
        again.assert_sound()
    (hq / ".git/index.lock").write_bytes(b"DIRC")
    with Desk.open(hq):
        assert (hq / ".git/index.lock").exists()


@pytest.mark.parametrize("content", ["new", "empty"])
def test_ref_locks_of_our_own_killed_git_are_removed(hq: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    desk = Desk.open(hq)

    def killed(ref: str, new: str, old: str) -> None:
        (hq / ".git/HEAD.lock").write_bytes(b"")
        (hq / ".git/refs/heads/main.lock").write_text(f"{new}\n" if content == "new" else "")
        raise Killed

    monkeypatch.setattr(desk.ledger._refs, "move", killed)
    with pytest.raises(Killed):
        desk.append(move("t00", "queue", "active"))
    abandon(desk)
    with Desk.open(hq) as again:
        again.append(move("t00", "queue", "active"))
        again.assert_sound()


def test_a_persons_ref_lock_is_not_removed(hq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = hq / ".git/refs/heads/main.lock"
    desk = Desk.open(hq)

    def killed(*_: object) -> None:
        lock.write_text("0" * 40 + "\n")
        raise Killed

    monkeypatch.setattr(desk.ledger._refs, "move", killed)
    with pytest.raises(Killed):
        desk.append(move("t00", "queue", "active"))
    abandon(desk)
    with Desk.open(hq):
        assert lock.exists()


def test_a_second_writer_is_refused_and_waits_for_orphans(hq: Path) -> None:
    desk = Desk.open(hq)
    repo = GitRepository.open(hq, dict(os.environ))
    with pytest.raises(AlreadyRunning):
        Writer(repo, orphan_wait=0.1)
    orphan = subprocess.Popen(["sleep", "0.3"], pass_fds=desk.writer.inherited)
    abandon(desk)
    started = time.monotonic()
    Writer(repo).close()
    assert orphan.poll() is not None or time.monotonic() - started >= 0.2
    orphan.wait()
    repo.close()


def test_a_full_disk_pauses_and_the_ledger_goes_on_afterwards(hq: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index and files cannot be written after main moved: reported as done, finished later, lock kept until then."""
    with Desk.open(hq) as desk:

        def full(self: Mover, *rest: Any, **more: Any) -> None:
            raise GitFailed(("read-tree",), 128, "fatal: unable to write new index file: No space left on device")

        monkeypatch.setattr(DirectWriting, "write", lambda *_: None)
        monkeypatch.setattr(Mover, "write", full)
        monkeypatch.setattr(Mover, "move_index", full)
        (tip,) = desk.append(move("t00", "queue", "active"))
        assert desk.repo.tip() == tip
        assert (hq / ".git/index.lock").exists(), "a person's commit on the old index would undo the batch"
        assert desk.path("workspace/queue/t00.md").exists()
        monkeypatch.undo()
        assert desk.look() == {}
        assert desk.path("workspace/active/t00.md").exists()
        desk.append(move("t00", "active", "blocked", 2))
        desk.assert_sound()


def test_a_journal_that_is_torn_counts_as_none(hq: Path) -> None:
    (hq / ".git/hqd/journal").write_bytes(b'{"old": "abc", "new"')
    with Desk.open(hq) as desk:
        desk.append(move("t00", "queue", "active"))
        desk.assert_sound()


def test_a_finished_move_that_a_person_committed_on_is_left_alone(hq: Path) -> None:
    """The journal's last word was lost in a power cut; meanwhile a person edited and committed the same path."""
    with Desk.open(hq) as desk:
        old = desk.repo.tip()
        (new,) = desk.append(write("workspace/queue/t00.md", "# by hqd\n"))
        desk.put("workspace/queue/t00.md", "# by a person\n")
        desk.git("commit", "-qam", "mine")
        desk.put("workspace/queue/t01.md", "# edited\n")
        journal = (hq / ".git/hqd/journal").read_bytes()
    body = json.dumps({"old": old, "new": new, "at": 0.0, "nonce": "x", "acts": []}).encode()
    (hq / ".git/hqd/journal").write_bytes(body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n")
    assert journal != (hq / ".git/hqd/journal").read_bytes()
    with Desk.open(hq) as again:
        assert again.path("workspace/queue/t00.md").read_text() == "# by a person\n"
        assert again.git("status", "--porcelain") == " M workspace/queue/t01.md\n"


def test_files_that_a_power_cut_emptied_are_written_again(hq: Path) -> None:
    """git never syncs working files; an empty task after a reboot is no person's edit."""
    desk = Desk.open(hq)
    desk.append(move("t00", "queue", "active"))
    desk.path("workspace/active/t00.md").write_bytes(b"")
    desk.path("workspace/queue/t01.md").unlink()
    desk.writer.token.write_text("hqd 1 another-boot abcdef\n")
    abandon(desk)
    with Desk.open(hq) as again:
        assert again.path("workspace/active/t00.md").read_text() == "# 0\n"
        assert again.look() == {}
        again.assert_sound()


def test_after_a_clean_end_an_emptied_file_is_an_edit(hq: Path) -> None:
    with Desk.open(hq) as desk:
        desk.append(move("t00", "queue", "active"))
    (hq / "workspace/active/t00.md").write_bytes(b"")
    with Desk.open(hq) as again:
        assert set(again.look()) == {"workspace/active/t00.md"}


def test_a_dead_git_child_is_replaced(hq: Path) -> None:
    with Desk.open(hq) as desk:
        desk.append(move("t00", "queue", "active"))
        for process in (desk.ledger._fast._process, desk.ledger._refs._process, desk.repo.objects._process):
            assert process is not None
            process.kill()
            process.wait()
        desk.append(move("t01", "queue", "active"))
        desk.assert_sound()


CALLS = ["openat", "write", "pwrite64", "link", "unlink", "rename", "fsync", "fdatasync", "ftruncate", "close"]


def traced(call: str, n: int) -> list[str]:
    return [
        str(STRACE),
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=SIGKILL:when={n}",
    ]


def fresh(hq: Path, root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(hq, root, symlinks=True)
    return root


def assert_mended(root: Path, oracle: Path) -> None:
    with Desk.open(root) as desk:
        assert_nothing_lost(desk, oracle)
        desk.append(write("workspace/files/after", "x"))


@pytest.mark.crash
@pytest.mark.skipif(STRACE is None, reason="needs strace")
@pytest.mark.parametrize("call", CALLS)
def test_hqd_killed_at_every_system_call_of_two_batches(hq: Path, tmp_path: Path, call: str) -> None:
    """SIGKILL at the N-th call of a kind in hqd itself, N rising until it ends unharmed; its gits live on."""
    for n in range(1, 500):
        root, oracle = fresh(hq, tmp_path / "hq-n"), tmp_path / f"oracle-{n}"
        process = child(root, oracle, 1, "2", "--wait")
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        tracer = subprocess.Popen([*traced(call, n), "-p", str(process.pid)], stderr=subprocess.DEVNULL)
        wait_until(lambda process=process: "TracerPid:\t0" not in Path(f"/proc/{process.pid}/status").read_text())
        process.communicate(b"go\n", timeout=60)
        tracer.wait(timeout=60)
        assert_mended(root, oracle)
        if process.returncode == 0:
            return
        assert process.returncode == -signal.SIGKILL
    raise AssertionError("it never ended unharmed")


@pytest.mark.crash
@pytest.mark.skipif(STRACE is None, reason="needs strace")
@pytest.mark.parametrize("command", ["fast-import", "update-ref", "read-tree"])
@pytest.mark.parametrize("call", [call for call in CALLS if not call.startswith("p")])
def test_a_git_of_ours_killed_at_every_system_call(hq: Path, tmp_path: Path, call: str, command: str) -> None:
    """SIGKILL at the N-th call of a kind in one git command, and of the hqd that started it a moment later."""
    real, bin_ = shutil.which("git"), tmp_path / "bin"
    bin_.mkdir()
    for n in range(1, 500):
        root, oracle, mark = fresh(hq, tmp_path / "hq-n"), tmp_path / f"oracle-{n}", tmp_path / f"killed-{n}"
        wrapper = bin_ / "git"
        strace = " ".join(traced(call, n))
        wrapper.write_text(
            f'#!/bin/sh\nfor word; do case "$word" in {command})\n'
            f'{strace} {real} "$@"\ncode=$?\n[ $code = 137 ] && touch {mark}\nexit $code;; esac; done\n'
            f'exec {real} "$@"\n'
        )
        wrapper.chmod(0o755)
        process = child(root, oracle, 1, "2", path=f"{bin_}:{os.environ['PATH']}")
        wait_until(lambda process=process, mark=mark: process.poll() is not None or mark.exists())
        process.kill()
        process.communicate()
        assert_mended(root, oracle)
        if not mark.exists():
            return
    raise AssertionError("it was always killed")


def refusal(desk: Desk, *transitions: Transition) -> CannotCommit | None:
    try:
        desk.append(*transitions)
    except CannotCommit as fault:
        return fault
    return None


def fill(ballast: Path, leave: int) -> None:
    """Takes all the space of a file system but `leave` bytes."""
    space = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, space.f_bavail * space.f_frsize - leave))


@pytest.mark.root
def test_a_really_full_file_system(tmp_path: Path, git: Any) -> None:
    """On a tmpfs of 3 MB: CannotCommit while it is full, nothing lost, and on it goes when there is space again."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        hq = place / "hq"
        hq.mkdir()
        git(hq, "init", "-q", "-b", "main")
        git(hq, "config", "user.name", "p")
        git(hq, "config", "user.email", "p@example.org")
        (hq / "hqd.toml").write_text("format = 1\n")
        git(hq, "add", "-A")
        git(hq, "commit", "-qm", "first")
        with Desk.open(hq) as desk:
            desk.append(*(write(f"workspace/queue/t{n:02}.md", f"# {n}\n") for n in range(20)))
            ballast = place / "ballast"
            refused = 0
            for n in range(20):
                fill(ballast, leave=4096 * n if n % 2 else 0)
                before = desk.repo.tip()
                fault = refusal(desk, move(f"t{n:02}", "queue", "active", n))
                refused += fault is not None
                assert fault is None or (fault.cause, desk.repo.tip()) == ("disk", before)
                ballast.unlink()
                assert desk.look() == {}
                assert git(hq, "status", "--porcelain") == ""
            assert refused > 0
            assert len(list((hq / ".git/objects/pack").glob("tmp_*"))) <= 1, "torn packs take the space"
            assert not list((hq / ".git").glob("fast_import_crash_*"))
            desk.append(write("workspace/queue/last.md", "x"))
            desk.assert_sound()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_read_only_repository_is_reported_and_recovers(hq: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    with Desk.open(hq) as desk:
        pack = hq / ".git/objects/pack"
        pack.chmod(0o500)
        with pytest.raises(CannotCommit) as fault:
            desk.append(move("t00", "queue", "active"))
        assert fault.value.cause == "read_only"
        pack.chmod(0o700)
        desk.append(move("t00", "queue", "active"))
        desk.assert_sound()


def test_appends_from_two_threads_are_in_turn(hq: Path) -> None:
    """The loop alone writes; but upkeep and readers share the repository with it."""
    with Desk.open(hq) as desk:
        faults: list[BaseException] = []

        def read() -> None:
            try:
                for _ in range(30):
                    tree = desk.ledger.snapshot()
                    assert tree.entries("workspace/queue")
                    desk.look()
            except BaseException as fault:  # noqa: BLE001  # shown below
                faults.append(fault)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for n in range(20):
            desk.append(move(f"t{n:02}", "queue", "active"))
        for reader in readers:
            reader.join()
        assert faults == []
        desk.assert_sound()
