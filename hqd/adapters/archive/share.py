"""Half of many records, read by a second hqd: one thread of Python uses one core, and history is long.

The two speak by files in a folder of their own, not by pipes: whoever moves much through a pipe in a thread waits for
the other thread at every piece.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from hqd.adapters import process
from hqd.adapters.archive.records import Fault, Placed, Row, tell
from hqd.adapters.archive.store import pack_events
from hqd.adapters.environment import for_oneself
from hqd.adapters.git import Git

LEAST = 12_000
"""Of fewer records the start of a second process costs more than it saves."""
PATIENCE = 900.0
"""Seconds that it may take; then all is read here."""

_PROGRAM = "from hqd.adapters.archive.share import main; main()"
_ASKED, _ANSWER = "asked", "answer"
_FORMAT = 2  # of marshal


class Part(NamedTuple):
    """What some records say. `packed`: events by task, as the index keeps them."""

    packed: list[tuple[str, bytes]]
    faults: list[Fault]


def read(git: Git, placed: Sequence[Placed], *, least: int = LEAST) -> Part:
    """What all these records say. Raises GitFailed."""
    if len(placed) < least or _cores() < 2:
        return _here(git, placed)
    mine, others = _halves(placed)
    with _Other(git, others) as other:
        part = _here(git, mine)
        more = other.answer() or _here(git, others)
    return Part(part.packed + more.packed, part.faults + more.faults)


def main() -> None:
    """What the second process does: its folder is what it is told on standard input."""
    folder = Path(sys.stdin.read())
    cwd, env, place, placed = marshal.loads((folder / _ASKED).read_bytes())  # noqa: S302 - of the hqd that started it
    part = _here(Git(Path(cwd), env, place), [Placed._make(each) for each in placed])
    told = (part.packed, [tuple(each) for each in part.faults])
    (folder / _ANSWER).write_bytes(marshal.dumps(told, _FORMAT))
    sys.stdout.flush()
    os._exit(0)  # nothing is open: taking a million values apart would keep who waits


def _here(git: Git, placed: Sequence[Placed]) -> Part:
    rows, faults = tell(git, placed, {})
    return Part(pack_events(rows), faults)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _halves(placed: Sequence[Placed]) -> tuple[list[Placed], list[Placed]]:
    """All of a task on one side: a result needs its claim. Neighbours together: one is stored by the other."""
    ordered = sorted(placed, key=attrgetter("task"))
    middle = len(ordered) // 2
    task = ordered[middle].task
    while middle < len(ordered) and ordered[middle].task == task:
        middle += 1
    return ordered[:middle], ordered[middle:]


class _Other:
    """The second process, at work. Ended with its `with`."""

    def __init__(self, git: Git, placed: Sequence[Placed]) -> None:
        self._git = git
        self._placed = placed
        self._stop = threading.Event()
        self._told: tuple[list[tuple[str, bytes]], list[Row]] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._all = contextlib.ExitStack()

    def __enter__(self) -> _Other:
        self._folder = Path(self._all.enter_context(tempfile.TemporaryDirectory(prefix="hqd-")))
        asked = (str(self._git.cwd), dict(self._git.env), dict(self._git.place), list(map(tuple, self._placed)))
        (self._folder / _ASKED).write_bytes(marshal.dumps(asked, _FORMAT))
        self._all.callback(self._end)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    def _end(self) -> None:
        self._stop.set()
        self._thread.join()

    def answer(self) -> Part | None:
        """None: it could not, for whatever reason; the records have to be read here."""
        self._thread.join()
        if self._told is None:
            return None
        return Part(self._told[0], [Fault._make(each) for each in self._told[1]])

    def _run(self) -> None:
        with contextlib.suppress(process.CannotStart, OSError, ValueError, EOFError):
            done = process.run(
                (sys.executable, "-P", "-c", _PROGRAM),
                env={**for_oneself(self._git.env), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                timeout=PATIENCE,
                stdin=os.fsencode(self._folder),
                stop=self._stop,
            )
            if done.ok:
                self._told = marshal.loads((self._folder / _ANSWER).read_bytes())  # noqa: S302 - of that process
