"""A second process reads half of a long history: the same is found, and nothing of it is left, however it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.lessons_history import Made, git, make
from hqd.adapters import process
from hqd.adapters.archive import FILE, GitArchive, second, silent
from hqd.adapters.archive.streams import Cut
from hqd.adapters.repository import GitRepository
from hqd.model.corpus import Corpus, Past

EVERY, NONE = 1, 1 << 60  # how many records a second process is worth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "hq", tasks=40)


@pytest.fixture
def hq(made: Made, tmp_path: Path) -> Path:
    root = tmp_path / "hq"
    shutil.copytree(made.root, root, symlinks=True)
    return root


@contextmanager
def archive(root: Path, least: int, progress: Callable[[str], None] = silent) -> Iterator[GitArchive]:
    repository = GitRepository.open(root, dict(os.environ))
    try:
        yield GitArchive(repository, progress, least=least)
    finally:
        repository.close()


def both(root: Path, least: int) -> tuple[Past, Corpus]:
    (root / ".hqd" / FILE).unlink(missing_ok=True)
    with archive(root, least) as found:
        return found.both()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The second processes that were started."""
    found: list[subprocess.Popen[bytes]] = []
    real = process.beside

    @contextmanager
    def noted(argv: tuple[str, ...], **how: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        with real(argv, **how) as child:
            found.append(child)
            yield child

    monkeypatch.setattr(process, "beside", noted)
    return found


def test_two_processes_find_what_one_finds(hq: Path, begun: list[subprocess.Popen[bytes]]) -> None:
    git(hq, "reset", "-q", "--hard")
    ends = sorted((hq / "workspace" / "runs").rglob("*-finished.toml"))
    for broken in (ends[0], ends[-1]):  # one on each side
        broken.write_bytes(b"not a record")
    git(hq, "commit", "-qam", "by hand")
    alone = both(hq, NONE)
    assert not begun
    assert alone == both(hq, EVERY)
    with archive(hq, NONE) as index:
        assert alone == index.both()  # what the two have put into the index
    assert len(begun) == 1
    assert [remark.code for remark in alone[0].remarks].count("unreadable_record") == 2
    assert sum(case.label.decided for case in alone[1].cases) > 20


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import sys; sys.stdin.readline(); print()", "0/0"])
def test_what_the_second_process_does_not_do_is_done_here(
    hq: Path, begun: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    expected = both(hq, NONE)
    monkeypatch.setattr(second, "_PROGRAM", program)
    assert expected == both(hq, EVERY)
    assert len(begun) == 1


def test_labels_of_a_second_process_that_was_killed_are_made_here(
    hq: Path, begun: list[subprocess.Popen[bytes]]
) -> None:
    expected = both(hq, NONE)
    (hq / ".hqd" / FILE).unlink()

    def kill(text: str) -> None:
        if text == "labels":
            begun[0].kill()
            begun[0].wait()

    with archive(hq, EVERY, kill) as found:
        assert expected == found.both()


@pytest.mark.parametrize("moment", ["history", "records", "labels"])
def test_an_interrupted_reading_leaves_no_process_no_folder_and_no_half_index(
    hq: Path, begun: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    expected = both(hq, NONE)
    (hq / ".hqd" / FILE).unlink()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "aside"))
    (tmp_path / "aside").mkdir()

    def interrupt(text: str) -> None:
        if text.endswith(moment):
            raise KeyboardInterrupt

    with archive(hq, EVERY, interrupt) as found, pytest.raises(KeyboardInterrupt):
        found.both()
    assert all(child.poll() is not None for child in begun)
    assert len(begun) == (moment == "labels")
    assert list((tmp_path / "aside").iterdir()) == []
    with archive(hq, NONE) as found:
        assert expected == found.both()


def test_a_starter_that_was_killed_before_it_asked_leaves_no_folder(
    hq: Path, begun: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    repository = GitRepository.open(hq, dict(os.environ))
    try:
        with second.Second(repository.git, EVERY) as started:
            started.prepare(EVERY)
            assert len(list(aside.iterdir())) == 1
            child = begun[0]
            assert child.stdin is not None
            child.stdin.close()  # as when its starter ends
            child.wait(60)
            assert list(aside.iterdir()) == []
    finally:
        repository.close()


@pytest.mark.parametrize("told", [b"", b"."])
def test_a_second_process_that_was_told_no_folder_removes_none(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "kept").write_text("kept")
    argv = (sys.executable, "-c", second._PROGRAM)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(argv, cwd=tmp_path, env=env, input=told, check=True, timeout=60)
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("early", [True, False])
def test_git_that_was_asked_ahead_ends_when_it_is_given_up(hq: Path, early: bool) -> None:
    repository, cut = GitRepository.open(hq, dict(os.environ)), Cut()
    try:
        with repository.git.start("cat-file", "--batch") as reader:
            if early:
                cut.now()
            cut.watch(reader)
            cut.now()
            assert reader.wait() < 0
    finally:
        repository.close()
