"""The reading side: the board as main has it, from git's objects. Takes no lock, writes nothing, needs no daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from hqd.adapters.history import GitHistory, GitTree
from hqd.adapters.instance import daemon_alive
from hqd.adapters.repository import GitRepository
from hqd.cli.call import Call
from hqd.codec import layout
from hqd.codec.config import Config, read_config
from hqd.codec.record import UnreadableRecord
from hqd.daemon.book import Book, Reading
from hqd.daemon.decisions import Decisions
from hqd.daemon.forge import memory
from hqd.daemon.kin import ANYTHING, Kin
from hqd.daemon.live import Live
from hqd.daemon.rulebook import PinnedFiles, pin_of, pinned_lessons
from hqd.daemon.work.values import Values
from hqd.errors import Misconfigured, Usage
from hqd.model.board import Board, Rules, Slots, Task
from hqd.model.forge_news import ForgeNews
from hqd.model.names import slug_of
from hqd.model.problem import Problem, ProblemLevel
from hqd.model.record import Pin, Record
from hqd.model.settings import FORMAT, Settings
from hqd.ports import Tree

STATUS_FILE = "daemon.json"
GOOD_RULES = "good-rules.json"


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the daemon says of itself; `pid` None: none runs here."""

    pid: int | None
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def running(self) -> list[dict[str, Any]]:
        """`task`, `step`, `attempt`, `doing`, `seconds` of each attempt in flight."""
        rows = self.said.get("running")
        return [dict(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    @property
    def problems(self) -> list[Problem]:
        rows = self.said.get("problems")
        return [_problem(row) for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def facts(self) -> dict[str, Any]:
        """For --json."""
        kept = {key: self.said.get(key) for key in ("state", "busy", "message")}
        since = self.since.isoformat(timespec="seconds") if self.since is not None else None
        return {"alive": self.alive, "pid": self.pid or None, "since": since, **kept, "running": self.running}

    @property
    def since(self) -> datetime | None:
        began = self.said.get("since")
        return datetime.fromtimestamp(began, UTC) if isinstance(began, int | float) else None


class Forgiving(Book):
    """A book that a record which cannot be read does not close: its task is a problem, the others are there."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: dict[str, UnreadableRecord] = {}

    def newest(self, tree: Tree, task_id: str) -> Record | None:
        try:
            return super().newest(tree, task_id)
        except UnreadableRecord as fault:
            self.unreadable[task_id] = fault
            return None


class View:
    """One HQ at one commit. Everything is read when it is asked for."""

    def __init__(self, repo: GitRepository, revision: str | None = None) -> None:
        self.repo = repo
        self.history = GitHistory(repo)
        self.tree = _tree(self.history, repo, revision)
        self.past = revision is not None
        self.values = Values(self.history)
        self.book = Forgiving()
        self._rules: dict[Pin, Rules | None] = {}

    def at(self, revision: str) -> GitTree:
        """The HQ as committed at `revision`. Raises Usage where it names no commit."""
        return _tree(self.history, self.repo, revision)

    @cached_property
    def moment(self) -> datetime:
        """Now; of a view of the past, when its commit was made: dates and ages are told as they were then."""
        if not self.past:
            return now()
        said = self.repo.git.read("show", "-s", "--format=%ct", self.tree.commit).text
        return datetime.fromtimestamp(int(said), UTC)

    @cached_property
    def daemon(self) -> Daemon:
        private = self.repo.private
        pid = daemon_alive(private)
        if pid is None:
            return Daemon(None)
        try:
            said = json.loads((private / STATUS_FILE).read_text("utf-8"))
        except (OSError, ValueError):
            said = {}
        return Daemon(pid, said if isinstance(said, dict) else {})

    @cached_property
    def forge(self) -> ForgeNews:
        """What the daemon last heard of pull requests; a view of the past knows nothing of it."""
        return ForgeNews() if self.past else memory.read(self.repo.private)

    @cached_property
    def reading(self) -> Reading:
        return self.book.read(self.tree)

    @property
    def tasks(self) -> dict[str, Task]:
        return self.reading.tasks

    @cached_property
    def live(self) -> Live:
        """Holds and PAUSED, those under .git/hqd too; a view of the past knows the committed ones only."""
        live = Live("", "", self.values, self.repo.private, self.tree, dict(self.tasks))
        live.read_holds(self.tree)
        live.settled = Decisions(self.history).of(self.tree)
        live.closed, live.coming = Kin(self.book).of(self.tasks, self.tree).closed, ANYTHING
        if not self.past:
            live.load_local()
        return live

    @cached_property
    def pin(self) -> Pin | None:
        """What main has now; None where it has no hqd.toml."""
        try:
            return pin_of(self.tree)
        except Misconfigured:
            return None

    @cached_property
    def committed(self) -> Config | None:
        """Settings, playbooks and lessons as committed, valid or not."""
        return read_config(self.tree) if self.pin is not None else None

    @cached_property
    def current(self) -> Rules | None:
        """The rules in force: main's, or the last good ones that a daemon of this clone knew. None: there are none."""
        if self.pin is None or self.committed is None:
            return self._last_good()
        lessons = f"{layout.LESSONS}/"
        stopped = any(each.stops and not each.path.startswith(lessons) for each in self.committed.problems)
        if self.committed.settings is None or stopped:
            return self._last_good()
        good = sorted((each.id, path) for path, each in self.committed.lessons.items() if each.in_force)
        ids = {f"{lessons}{entry.name}": entry.id for entry in self.tree.entries(layout.LESSONS)}
        pin = self.pin.model_copy(update={"lessons": tuple(ids[path] for _id, path in good)})
        found = tuple(self.committed.lessons[path] for _id, path in good)
        return Rules(pin, self.committed.settings, self.committed.by_name, found)

    def rules(self, pin: Pin) -> Rules | None:
        """The rules of a task's pin."""
        if pin not in self._rules:
            current = self.current
            self._rules[pin] = current if current is not None and current.pin == pin else self._load(pin)
        return self._rules[pin]

    def board(self, now: datetime) -> Board:
        """The board for decisions that are only looked at. Without rules, one that has no playbooks."""
        current = self.current or Rules(Pin(playbooks="", settings=""), Settings(format=FORMAT), {})
        pins = {task.cursor.pin for task in self.tasks.values() if task.cursor.pin is not None}
        known = {pin: found for pin in pins if (found := self.rules(pin)) is not None}
        slots = Slots(frozenset(self.in_flight))
        return self.live.board(current, known, slots, now)

    @cached_property
    def in_flight(self) -> dict[str, dict[str, Any]]:
        """What the daemon works on now, by task id."""
        rows = self.daemon.running if not self.past else []
        by_name = {slug_of(task): task for task in self.tasks}
        found = {}
        for row in rows:
            name = str(row.get("task", ""))
            task = name if name in self.tasks else by_name.get(name)
            if task is not None:
                found[task] = row
        return found

    def _load(self, pin: Pin) -> Rules | None:
        try:
            config = read_config(PinnedFiles(self.history, pin))
            lessons = pinned_lessons(self.history, pin)
        except KeyError:
            return None
        if config.settings is None or len(lessons) != len(pin.lessons):
            return None
        return Rules(pin, config.settings, config.by_name, lessons)

    def _last_good(self) -> Rules | None:
        try:
            pin = Pin.model_validate_json((self.repo.private / GOOD_RULES).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return self._load(pin)


@contextmanager
def view(call: Call, revision: str | None = None) -> Iterator[View]:
    """The HQ of a call at main, or at `revision`. Raises NotAnHQ, Misconfigured, Usage for an unknown revision."""
    with call.repository() as repo:
        yield View(repo, revision)


def now() -> datetime:
    return datetime.now(UTC)


def _tree(history: GitHistory, repo: GitRepository, revision: str | None) -> GitTree:
    if revision is None:
        return history.tree(repo.tip())
    if revision.startswith("-"):
        raise Usage(f"{revision!r} is no revision")
    found = repo.git.quick("rev-parse", "--verify", "-q", f"{revision}^{{commit}}", codes=(0, 1, 128)).text
    if not found:
        raise Usage(f"there is no commit {revision!r}", remedy="name a commit, a tag, or main@{yesterday}")
    return history.tree(found)


def _problem(row: Mapping[str, Any]) -> Problem:
    level = str(row.get("level", ProblemLevel.ERROR.value))
    known = level in {each.value for each in ProblemLevel}
    return Problem(
        str(row.get("path", "")),
        int(row.get("line") or 0),
        str(row.get("key") or ""),
        str(row.get("message") or ""),
        str(row.get("remedy") or ""),
        ProblemLevel(level) if known else ProblemLevel.ERROR,
    )
