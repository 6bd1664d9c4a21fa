"""The file watcher: says that something changed, and which files arrived whole. Only a hint; the rescan is the net."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from watchdog.events import FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

_PLATFORM: str = sys.platform
_QUIET = frozenset({"opened", "closed_no_write"})
"""Reading a file changes nothing; hqd's own looks would wake it for ever."""


logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it warns about events that come while it is being closed


class Watch:
    """Watches folders, not their sub-folders. `wake(path)`: the path that arrived whole, or None.

    Runs `wake` on the watcher's thread. A folder that cannot be watched (limits, network file systems) is left to
    the rescan; `unwatched` names it. A folder that is made in `grows` is watched from then on.
    """

    def __init__(
        self, root: Path, folders: Sequence[str], wake: Callable[[str | None], None], grows: str | None = None
    ) -> None:
        self._root = root
        self._wake = wake
        self._grows = grows
        self._observer = _observer()
        self._watched: dict[str, ObservedWatch] = {}
        self.unwatched: set[str] = set()
        for folder in folders:
            self.add(folder)
        self._observer.start()

    def add(self, folder: str) -> None:
        """Also watches `folder`, if it is there and is not watched yet."""
        path = self._root / folder
        if folder in self._watched or not path.is_dir():
            return
        try:
            self._watched[folder] = self._observer.schedule(_Handler(self._seen), str(path), recursive=False)
        except OSError:
            self.unwatched.add(folder)

    def close(self) -> None:
        self._observer.stop()
        self._observer.join(timeout=5)

    def _seen(self, event: FileSystemEvent) -> None:
        if event.event_type in _QUIET:
            return
        if event.is_directory and event.event_type in ("created", "deleted", "moved"):
            self._grow(event)
        if isinstance(event, FileMovedEvent) and event.dest_path:
            self._wake(os.path.relpath(os.fsdecode(event.dest_path), self._root))
        else:
            self._wake(None)

    def _grow(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            folder = os.path.relpath(os.fsdecode(path), self._root) if path else ""
            if os.path.dirname(folder) == self._grows:  # noqa: PTH120 - a name, not a path of ours
                gone = self._watched.pop(folder, None)
                if gone is not None:
                    self._observer.unschedule(gone)
                self.add(folder)


_PAIRING = (
    ("watchdog.observers.inotify_move_event_grouper", "InotifyMoveEventGrouper"),
    ("watchdog.observers.inotify_buffer", "InotifyBuffer"),  # before watchdog 7
)


def _without_pairing() -> None:
    """After a file was moved out of a folder, watchdog holds back all events of that folder for half a second.

    It waits for the other half of a move within what it watches. hqd itself moves every accepted file out of the
    inbox, and needs no pairs: each drop would be seen half a second after the one before.
    """
    for module, name in _PAIRING:
        try:
            importlib.import_module(module).__dict__[name].delay = 0.0
        except (ImportError, KeyError):
            continue


def _observer() -> BaseObserver:
    """On Linux one that tells a file moved in from one written in place; elsewhere files wait to settle."""
    full = {"generate_full_events": True} if _PLATFORM == "linux" else {}
    if _PLATFORM == "linux":
        _without_pairing()
    observer: BaseObserver = cast(Any, Observer)(**full)
    return observer


class _Handler(FileSystemEventHandler):
    def __init__(self, seen: Callable[[FileSystemEvent], None]) -> None:
        self._seen = seen

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._seen(event)
