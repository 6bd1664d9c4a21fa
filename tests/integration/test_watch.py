"""The watcher: a hint within moments, and the difference between a file moved in and one written in place."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hqd.adapters.timers import Timers
from hqd.adapters.watch import Watch


class Heard:
    def __init__(self) -> None:
        self.paths: list[str | None] = []
        self.some = threading.Event()

    def __call__(self, path: str | None) -> None:
        self.paths.append(path)
        self.some.set()

    def until(self, path: str | None) -> None:
        for _ in range(500):
            if path in self.paths:
                return
            self.some.wait(0.02)
            self.some.clear()
        raise AssertionError(f"{path!r} was not heard; heard: {self.paths}")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "hq" / "inbox"
    folder.mkdir(parents=True)
    return folder


def test_a_file_moved_in_is_named_and_one_written_in_place_only_wakes(tmp_path: Path, inbox: Path) -> None:
    heard = Heard()
    watch = Watch(tmp_path / "hq", ["inbox"], heard)
    try:
        outside = tmp_path / "x.md"
        outside.write_text("whole")
        outside.rename(inbox / "moved.md")
        heard.until("inbox/moved.md")
        (inbox / "written.md").write_text("bit by bit")
        heard.until(None)
        assert "inbox/written.md" not in heard.paths
    finally:
        watch.close()


def test_reading_a_file_wakes_nobody(tmp_path: Path, inbox: Path) -> None:
    """Two marks are set in the same way; reading between them adds nothing to what the second one makes heard."""
    outside = tmp_path / "mark"
    heard = Heard()
    (inbox / "x.md").write_text("text")
    watch = Watch(tmp_path / "hq", ["inbox"], heard)
    try:
        outside.write_text("1")
        outside.rename(inbox / "one.md")
        heard.until("inbox/one.md")
        for _ in range(20):
            (inbox / "x.md").read_text()
        outside.write_text("2")
        outside.rename(inbox / "two.md")
        heard.until("inbox/two.md")
        between = heard.paths[heard.paths.index("inbox/one.md") + 1 : heard.paths.index("inbox/two.md")]
        assert len(between) <= 2, heard.paths
    finally:
        watch.close()


def test_a_folder_that_is_not_there_is_no_error_and_can_be_added_later(tmp_path: Path, inbox: Path) -> None:
    heard = Heard()
    watch = Watch(tmp_path / "hq", ["later"], heard)
    try:
        later = tmp_path / "hq" / "later"
        later.mkdir()
        watch.add("later")
        (inbox / "y.md").write_text("y")
        (inbox / "y.md").rename(later / "y.md")
        heard.until("later/y.md")
    finally:
        watch.close()


def test_timers_call_again_and_again_until_closed() -> None:
    calls = threading.Semaphore(0)
    timers = Timers()
    timers.every("tick", 0.05, lambda: bool(calls.release()))
    try:
        assert all(calls.acquire(timeout=10) for _ in range(3))
    finally:
        timers.close()
