"""The file watcher on a real file system: which files arrived whole, how soon, and folders that come and go."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.adapters.watch import Watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify")


class Seen:
    """What the watcher said, with the time."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[str | None, float]] = queue.SimpleQueue()

    def __call__(self, path: str | None) -> None:
        self.calls.put((path, time.monotonic()))

    def until(self, wanted: str, seconds: float = 5.0) -> float:
        """When the file was said to have arrived whole."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                path, at = self.calls.get(timeout=left)
            except queue.Empty:
                break
            if path == wanted:
                return at
        raise AssertionError(f"{wanted} was not seen within {seconds} s")


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watch(tmp_path: Path, seen: Seen) -> Iterator[Watch]:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "outside").mkdir()
    found = Watch(tmp_path, ["inbox"], seen, grows="inbox")
    yield found
    found.close()


def arrive(root: Path, name: str) -> None:
    draft = root / "outside/draft"
    draft.write_text("whole")
    draft.rename(root / name)


def test_a_file_that_was_moved_out_does_not_hold_back_the_next_one(tmp_path: Path, watch: Watch, seen: Seen) -> None:
    """hqd moves every accepted file out of the inbox; watchdog by itself would wait half a second for its other end."""
    arrive(tmp_path, "inbox/first.md")
    seen.until("inbox/first.md")
    late = []
    for number in range(5):
        (tmp_path / "inbox").joinpath("first.md" if number == 0 else f"{number - 1}.md").rename(
            tmp_path / "outside/gone"
        )
        began = time.monotonic()
        arrive(tmp_path, f"inbox/{number}.md")
        late.append(seen.until(f"inbox/{number}.md") - began)
    assert sorted(late)[2] < 0.25, late


def test_a_folder_made_in_the_inbox_is_watched_again_and_again(tmp_path: Path, watch: Watch, seen: Seen) -> None:
    for _ in range(2):
        (tmp_path / "inbox/letters").mkdir()
        end = time.monotonic() + 5
        arrived = False
        while not arrived and time.monotonic() < end:  # the folder's own watch begins a moment after it was made
            arrive(tmp_path, "inbox/letters/x.md")
            try:
                seen.until("inbox/letters/x.md", 0.2)
                arrived = True
            except AssertionError:
                continue
        assert arrived
        (tmp_path / "inbox/letters/x.md").unlink()
        (tmp_path / "inbox/letters").rmdir()
