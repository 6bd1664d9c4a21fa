"""`hqd demo`: what it tells has happened, what has not happened it does not tell, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hqd.cli.demo import stage as demo_stage
from hqd.cli.demo.tour import demo
from tests.conftest import Git

ARGV = (sys.executable, "-m", "hqd", "demo")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60


@pytest.fixture
def env(isolated_environment: None, tmp_path: Path) -> dict[str, str]:
    """Temporary folders are made where the test can see them."""
    (tmp_path / "tmp").mkdir()
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "USER": "ada", "PYTHONPATH": str(ROOT), "TERM": "xterm"}


def gone(pid: int) -> bool:
    """Not there any more, or a zombie that nobody has waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def eventually(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


def daemon_pid(folder: Path) -> int | None:
    for path in folder.glob("hqd-demo-*/hq/.git/hqd/daemon.json"):
        try:
            return int(json.loads(path.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None
    return None


TOLD = [
    "write failed -> write",
    'Must not be in the text: "money back"',
    "with the finding in its prompt",
    "sent back: It does not say from which day",
    "review_opened -> review",
    "$ hqd approve spring-prices",
    "approved; landed as",
    "resumed -> facts",
    "$ hqd lessons new --from spring-prices/write/2",
    "red on 1 of 1 failed outputs",
    "in force as of",
    "gate lesson:L-",
    "has stopped it before any person saw it",
    "Four tasks done",
]


def test_the_tour_ends_by_itself_and_what_it_told_is_so(env: dict[str, str], tmp_path: Path, git: Git) -> None:
    """Looked at with git alone: caught, sent back, landed; whole, clean, and no daemon left."""
    keep = tmp_path / "kept"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ARGV, "--keep", str(keep)],
            env=env,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    places = [done.stdout.find(line) for line in TOLD]
    assert -1 not in places, [line for line, place in zip(TOLD, places, strict=True) if place < 0]
    assert places == sorted(places)
    root = keep / "hq"
    assert [path.name for path in keep.iterdir()] == ["hq"]
    subjects = git(root, "log", "--reverse", "--format=%s", "main").splitlines()
    for wanted in ("write failed -> write", "write routed -> write", "approve landed -> done"):
        assert subjects.count(f"hqd: spring-prices: {wanted}") == 1
    assert "1 March" in git(root, "show", "main:announcements/spring-prices.md")
    assert "1 March" not in git(root, "show", "main~1:playbooks/announce.toml")
    files = git(root, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert len([path for path in files if path.startswith("workspace/done/") and path.endswith(".result.md")]) == 4
    git(root, "fsck", "--strict", "--no-dangling")
    assert git(root, "status", "--porcelain") == ""
    assert list(root.glob(".git/**/*.lock")) == []
    assert not (root / ".git/hqd/daemon.json").exists()
    again = run()
    assert again.returncode == 2
    assert "not empty" in again.stderr


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the demo's data, to be spoilt."""
    shutil.copytree(demo_stage.DATA, tmp_path / "hqd" / "demo")
    monkeypatch.setattr(demo_stage, "DATA", tmp_path / "hqd" / "demo")
    monkeypatch.setattr("hqd.cli.demo.tour.DATA", tmp_path / "hqd" / "demo")
    return tmp_path / "hqd" / "demo"


def checkout_env(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The child has to import this checkout, wherever the data were taken from."""
    real = demo_stage._child_env
    monkeypatch.setattr(
        demo_stage, "_child_env", lambda given, folder: {**real(given, folder), "PYTHONPATH": str(ROOT)}
    )
    return env


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("recorded.jsonl", "your money back", "a good bye", "write failed, passed, passed"),
        ("tasks/late-parcel.md", "## Question", "## Order\nNo. 1\n\n## Question", "late-parcel in blocked/"),
        ("hqd.toml", "format = 1", "format = 99", "the daemon ended with 78"),
    ],
)
def test_what_does_not_happen_is_not_told(
    file: str,
    old: str,
    new: str,
    said: str,
    script: Path,
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With other answers or a daemon that cannot run, the tour ends with 1, says what is missing, and shows its log."""
    monkeypatch.setattr(demo_stage, "PATIENCE", 8.0)
    text = (script / file).read_text()
    assert old in text
    (script / file).write_text(text.replace(old, new))
    assert demo(checkout_env(env, monkeypatch)) == 1
    out = capsys.readouterr().out
    assert "This did not go as it should." in out
    assert said in out
    shown = out.partition("The daemon said:")[2]
    assert "format 99" in shown if file == "hqd.toml" else "event=" in shown
    assert "Your own:" not in out


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.crash)])
def test_an_interrupt_ends_it_cleanly(number: signal.Signals, env: dict[str, str], tmp_path: Path) -> None:
    """In the middle of the work: its daemon is stopped, its folder is gone."""
    folder = tmp_path / "tmp"
    process = subprocess.Popen(
        ARGV, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: daemon_pid(folder) is not None or process.poll() is not None, "the daemon runs")
        pid = daemon_pid(folder)
        assert pid is not None
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, out + err
    assert "Stopped" in out
    assert err == ""
    assert gone(pid)
    assert list(folder.iterdir()) == []


def test_on_a_terminal_it_waits_for_the_person(env: dict[str, str], tmp_path: Path) -> None:
    """Enter by Enter; and who approves in another terminal is not made to do it twice."""
    own, child = pty.openpty()
    folder = tmp_path / "tmp"
    process = subprocess.Popen(ARGV, env=env, stdin=child, stdout=child, stderr=child)
    os.close(child)
    try:
        read_until(own, "drop 3 of them")
        os.write(own, b"\n")
        read_until(own, "run it yourself")
        [root] = folder.glob("hqd-demo-*/hq")
        word = subprocess.run(
            [sys.executable, "-m", "hqd", "--hq", str(root), "approve", "spring-prices"],
            env=env, check=False, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert word.returncode == 0, word.stdout + word.stderr
        os.write(own, b"\n")
        seen = read_until(own, "add the section")
        assert "$ hqd approve" not in seen
        os.write(own, b"\n")
        read_until(own, "put it in force")
        os.write(own, b"\n")
        read_until(own, "Your own")
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(own)
    assert list(folder.iterdir()) == []


def read_until(terminal: int, wanted: str) -> str:
    """What a terminal showed, until it showed `wanted`."""
    seen, until = b"", time.monotonic() + PATIENCE
    while wanted not in " ".join(seen.decode("utf-8", "replace").split()):
        ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        assert ready, f"no {wanted!r} in {seen.decode('utf-8', 'replace')}"
        seen += os.read(terminal, 4096)
    return seen.decode("utf-8", "replace")
