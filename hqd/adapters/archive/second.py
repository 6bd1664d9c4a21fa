"""A second process that takes half of a long history: one thread of Python uses one core.

The two say to each other by pipes that something is there, and put what it is into files of a folder of their own: a
pipe holds so little that the one would wait for the other all the time.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, cast

from hqd.adapters import process
from hqd.adapters.archive.labelled import Spoken, spoken
from hqd.adapters.archive.records import Fault, Placed, Row, tell
from hqd.adapters.archive.store import pack_events, unpack_events
from hqd.adapters.environment import for_oneself
from hqd.adapters.git import Git
from hqd.model.corpus import Change, PastEvent

LEAST = 12_000
"""Of fewer records the start of a second process costs more than it saves."""
PATIENCE = 900.0
"""Seconds that an answer may take; then the work is done here."""

_PROGRAM = "from hqd.adapters.archive.second import main; main()"
_ASKED, _ANSWER = "asked", "answer"
_FORMAT = 2  # of marshal


class Part(NamedTuple):
    """What some records say: events by task, also as the index keeps them."""

    rows: list[Row]
    packed: list[tuple[str, bytes]]
    faults: list[Fault]


class Second:
    """The second process, begun with the first piece of work that is worth it, and ended with its `with`.

    Whatever goes wrong with it, its work is done here.
    """

    def __init__(self, git: Git, least: int | None = None) -> None:
        """`least`: of how many records on it is worth it; None: by this machine."""
        self._git = git
        self._least = least if least is not None else LEAST if _cores() > 1 else sys.maxsize
        self._all = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path()
        self.tip: str | None = None
        """Where the line ended when it was last given something to read."""
        self.tasks: frozenset[str] = frozenset()
        """Those whose events it has, up to there."""

    def __enter__(self) -> Second:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process = None
        self._all.__exit__(kind, fault, where)

    def prepare(self, count: int) -> None:
        """Has it there when so many records come to be read: it takes a while to start."""
        if count >= self._least and self._process is None:
            self._start()

    def read(self, placed: Sequence[Placed], tip: str) -> Part:
        """What all these records say, which are all there are at `tip`. Raises GitFailed."""
        self.tasks, self.tip = frozenset(), tip
        if len(placed) < self._least:
            return _read(self._git, placed)
        self.prepare(len(placed))
        mine, others = _halves(placed)
        self._ask("read", list(map(tuple, others)))
        part = _read(self._git, mine)
        told = self._answer()
        if told is None:
            more = _read(self._git, others)
        else:
            self.tasks = frozenset(each.task for each in others)
            more = Part(unpack_events(told[0]), told[0], [Fault._make(each) for each in told[1]])
        return Part(part.rows + more.rows, part.packed + more.packed, part.faults + more.faults)

    def label(self, changes: Sequence[Change], landings: Iterable[str], days: float) -> None:
        """Lets it label the outputs of its tasks; `labelled` gives what it found."""
        self._ask("label", list(map(tuple, changes)), sorted(landings), days)

    def labelled(self) -> list[Spoken] | None:
        """None: it could not."""
        told = self._answer()
        return [Spoken._make(each) for each in told] if told is not None else None

    def _start(self) -> None:
        with contextlib.suppress(process.CannotStart, OSError):
            self._folder = Path(self._all.enter_context(tempfile.TemporaryDirectory(prefix="hqd-")))
            argv = (sys.executable, "-P", "-c", _PROGRAM)
            env = {**for_oneself(self._git.env), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            child = self._all.enter_context(process.beside(argv, env=env))
            cast(IO[bytes], child.stdin).write(os.fsencode(self._folder) + b"\n")  # first of all: it tidies it up
            self._process = child

    def _ask(self, word: str, *what: Any) -> None:
        if self._process is None:
            return
        place = (str(self._git.cwd), dict(self._git.env), dict(self._git.place))
        try:
            (self._folder / _ASKED).write_bytes(marshal.dumps((word, place, what), _FORMAT))
            cast(IO[bytes], self._process.stdin).write(b"\n")
        except OSError:
            self._process = None

    def _answer(self) -> Any:
        """None: there is none, and none will come."""
        asked, self._process = self._process, None
        if asked is None:
            return None
        out = cast(IO[bytes], asked.stdout)
        with contextlib.suppress(OSError, ValueError, EOFError):
            if select.select([out], [], [], PATIENCE)[0] and out.read(1) == b"\n":
                self._process = asked
                return marshal.loads((self._folder / _ANSWER).read_bytes())  # noqa: S302 - of that process
        return None


def main() -> None:
    """What the second process does, until its standard input ends: the first line names the folder by which the two
    exchange what they have, each other one says that a piece of work is there."""
    told = sys.stdin.buffer.readline()
    if not told.endswith(b"\n"):
        return  # whoever started it has ended: there is nothing to be tidied up
    desk, folder = _Desk(), Path(os.fsdecode(told[:-1]))
    try:
        for _line in sys.stdin.buffer:
            word, (cwd, env, place), what = marshal.loads((folder / _ASKED).read_bytes())  # noqa: S302 - of its starter
            git = Git(Path(cwd), env, place)
            answer = desk.read(git, *what) if word == "read" else desk.label(git, *what)
            (folder / _ANSWER).write_bytes(marshal.dumps(answer, _FORMAT))
            sys.stdout.write("\n")
            sys.stdout.flush()
    finally:  # whoever started it may have been killed, and tidies nothing up
        shutil.rmtree(folder, ignore_errors=True)


class _Desk:
    """The work of the second process, and what it keeps for the next piece."""

    def __init__(self) -> None:
        self._rows: list[list[Row]] = []

    def read(self, git: Git, placed: list[Any]) -> tuple[list[tuple[str, bytes]], list[Any]]:
        rows, faults = tell(git, [Placed._make(each) for each in placed], {})
        self._rows = list(rows.values())
        return pack_events(rows), [tuple(each) for each in faults]

    def label(self, git: Git, changes: list[Any], landings: list[str], days: float) -> list[Any]:
        tasks = [list(map(PastEvent._make, each)) for each in self._rows]
        known = [Change._make(each) for each in changes]
        return [tuple(each) for each in spoken(git, tasks, known, frozenset(landings), days)]


def _read(git: Git, placed: Sequence[Placed]) -> Part:
    rows, faults = tell(git, placed, {})
    return Part([row for each in rows.values() for row in each], pack_events(rows), faults)


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
