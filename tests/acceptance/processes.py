"""The real hqd as a process of its own, waited for by conditions and stopped by its own id."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hqd.codec import layout
from hqd.daemon.people import spool
from hqd.model.names import slug_of
from hqd.model.record import Record
from tests.daemon.headquarters import PERSON, Headquarters

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = 20.0, pace: float = 0.02) -> T:
    """What `condition` gives as soon as it is true; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(pace)


def environment(hq: Headquarters, **more: str) -> dict[str, str]:
    """The daemon's environment: the HQ's own, and hqd importable from this checkout."""
    return {**hq.env, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


@dataclass
class Daemon:
    """One run of hqd. It leads a process group of its own, so that the whole group can be killed."""

    hq: Headquarters
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> dict[str, Any]:
        """What the daemon says of itself in .git/hqd/daemon.json; empty: nothing yet."""
        try:
            found = json.loads((self.hq.root / ".git/hqd/daemon.json").read_text())
        except (OSError, ValueError):
            return {}
        return dict(found) if found.get("pid") == self.pid else {}

    def ready(self, seconds: float = 20.0) -> Daemon:
        """Waits until it has looked at the HQ once."""
        until(lambda: self.said() or self._ended(), "the daemon is up", seconds)
        assert self.alive, self.output()
        return self

    def problems(self) -> list[dict[str, Any]]:
        return list(self.said().get("problems", ()))

    def problem(self, path: str, *words: str, seconds: float = 20.0) -> dict[str, Any]:
        """The problem of a path, once it stands there and its text has `words`."""

        def look() -> dict[str, Any] | None:
            for each in self.problems():
                text = f"{each['message']} {each['remedy']}"
                if path in each["path"] and all(word in text for word in words):
                    return each
            assert self.alive, self.output()
            return None

        return until(look, f"a problem of {path} with {words}; there are {self.problems()}", seconds)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(timeout=seconds)

    def kill(self, *, group: bool = False) -> None:
        """kill -9: the daemon alone, or with all that it started in its group."""
        if group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.wait(timeout=20)

    def ask(self, word: str, task: str | None = None, **fields: Any) -> spool.Reply:
        """A command's way: a request in the spool, answered by the daemon."""
        where = spool.send(
            self.hq.root / ".git/hqd", spool.Request(f"r{time.monotonic_ns()}", word, task, PERSON, fields)
        )
        until(lambda: where.exists() or self._ended(), f"an answer to {word}")
        reply = spool.take_reply(where)
        assert reply is not None
        return reply

    def _ended(self) -> bool:
        assert self.alive, f"hqd ended with {self.process.returncode}:\n{self.output()}"
        return False


@contextmanager
def run(hq: Headquarters, *, until_idle: bool = False, ready: bool = True, **env: str) -> Iterator[Daemon]:
    """A running daemon; at the end it is told to stop, twice, and killed if it does not."""
    daemon = start(hq, until_idle=until_idle, **env)
    try:
        yield daemon.ready() if ready else daemon
    finally:
        stop(daemon)


def start(hq: Headquarters, *, until_idle: bool = False, **env: str) -> Daemon:
    log = hq.root.parent / f"daemon-{time.monotonic_ns()}.log"
    words = [sys.executable, "-m", "hqd", "--hq", str(hq.root), "run", *(["--until-idle"] if until_idle else [])]
    with log.open("wb") as out:
        process = subprocess.Popen(
            words, cwd=hq.root.parent, env=environment(hq, **env), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    return Daemon(hq, process, log)


def stop(daemon: Daemon, seconds: float = 15.0) -> None:
    """Ends it for good, whatever it does."""
    if daemon.alive:
        for _ in range(2):
            daemon.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(timeout=seconds / 5)
                break
    if daemon.alive:
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(timeout=seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    daemon.process.wait(timeout=10)


def drop(hq: Headquarters, name: str, text: str = "# A task\n\nDo it.\n") -> str:
    """Moves a whole file into the inbox, as `mv` does; the slug of its task."""
    outside = hq.root.parent / f"outside-{time.monotonic_ns()}"
    outside.write_text(text)
    target = hq.root / "workspace/inbox" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    outside.replace(target)
    return layout.slug(Path(name).name)


def task_of(hq: Headquarters, slug: str) -> tuple[str, str] | None:
    """(state, id) of the one task with this slug on main; None: there is none yet."""
    found = [each for each in places(hq) if slug_of(each[1]) == slug]
    assert len(found) <= 1, found
    return found[0] if found else None


def places(hq: Headquarters) -> list[tuple[str, str]]:
    """(state, id) of every task file on main."""
    return [(found[0].value, found[1]) for path in tree(hq) if (found := layout.locate(path)) is not None]


def tree(hq: Headquarters, revision: str = "main") -> dict[str, str]:
    """Path to blob of everything under workspace/ on main."""
    listing = hq.git("ls-tree", "-r", "-z", revision, "--", "workspace")
    rows = (row.split("\t", 1) for row in listing.split("\0") if row)
    return {path: about.split()[2] for about, path in rows}


def in_state(hq: Headquarters, slug: str, *states: str, seconds: float = 30.0, daemon: Daemon | None = None) -> str:
    """The id of the task with this slug, once it is in one of `states` on main."""

    def look() -> str | None:
        found = task_of(hq, slug)
        if daemon is not None:
            assert daemon.alive, daemon.output()
        return found[1] if found is not None and found[0] in states else None

    try:
        return until(look, f"{slug} in {' or '.join(states)}", seconds)
    except AssertionError as late:
        said = daemon.output()[-3000:] if daemon is not None else ""
        place = task_of(hq, slug)
        why = ""
        if place is not None:
            last = hq.records(place[1])[-1]
            why = f": {last.event.value}: {last.reason}: {last.missing or last.message}"
        raise AssertionError(f"{late}; it is at {place}{why}\n{said}") from None


def ended(hq: Headquarters) -> bool:
    """Whether there are tasks, and all of them need nothing more of hqd."""
    found = places(hq)
    return bool(found) and all(state in ("done", "dropped", "blocked", "review") for state, _task in found)


def attempts(records: list[Record]) -> list[tuple[str, str | None]]:
    """(outcome, failure) of each attempt, in order."""
    return [(r.outcome.value, r.failure.value if r.failure else None) for r in records if r.outcome is not None]
