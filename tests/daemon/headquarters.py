"""An HQ in a temporary folder with recorded agents, and its real daemon in this process: no network, real git."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqd.bootstrap import daemon
from hqd.codec import layout
from hqd.codec.record import read_record
from hqd.daemon.batch import Written
from hqd.daemon.loop import Loop
from hqd.daemon.people import spool
from hqd.model.board import Task
from hqd.model.names import slug_of
from hqd.model.record import Person, Record

PERSON = Person(name="Ada", email="ada@example.org")
SETTINGS = """
format = 1
[inbox]
settle = "150ms"
[hq]
rescan = "1s"
grace = "2s"
[forge]
branch_grace = "300ms"
[agents.worker]
provider = "replay"
answers = "answers.jsonl"
[agents.strong]
provider = "replay"
answers = "answers.jsonl"
"""
GENERAL = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
gates = [{ kind = "word_count", min = 3 }]
"""
REVIEWED = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""


@dataclass
class Shown:
    """What the daemon said."""

    events: list[Written] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def committed(self, written: Sequence[Written], commits: Sequence[str]) -> None:
        self.events += written

    def note(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, rows: object, waiting: int) -> None:
        """Not looked at."""


@dataclass
class Headquarters:
    root: Path
    env: dict[str, str]
    shown: Shown = field(default_factory=Shown)

    def git(self, *args: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.root, env=self.env, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def drop(self, name: str, text: str = "# A task\n\nDo it.\n") -> Path:
        """Drops a whole file into the inbox, as `mv` does."""
        return self.write(f"workspace/inbox/{name}", text)

    def answers(self, *rows: dict[str, Any]) -> None:
        self.write("answers.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def commit(self, message: str = "by hand") -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    @contextmanager
    def daemon(self) -> Iterator[Loop]:
        with daemon(self.root, self.env, self.shown) as loop:
            loop.open()
            yield loop
            loop.stopping = True
            loop.runner.stop_all()
            settle(loop, lambda: not loop.runner.running)

    def records(self, task: str) -> list[Record]:
        """All records of a task, from main."""
        folder = layout.runs_folder(task)
        names = self.git("ls-tree", "--name-only", "main", folder + "/").splitlines()
        found = [self.git("show", f"main:{name}") for name in names if name.endswith(".toml")]
        return [read_record(text.encode()) for text in found]

    def events(self, task: str) -> list[str]:
        return [record.event.value for record in self.records(task)]

    def folder(self, state: str) -> list[str]:
        """Task files in a folder of the working tree."""
        found = (self.root / "workspace" / state).rglob("*.md")
        return sorted(path.name for path in found if not path.name.endswith((".note.md", ".result.md")))

    def clean(self) -> str:
        """What `git status` says of the workspace; empty: clean."""
        return self.git("status", "--porcelain", "--", "workspace")

    def ask(self, loop: Loop, word: str, task: str | None = None, **fields: Any) -> spool.Reply:
        """A command's way: a request in the spool, answered by the loop."""
        request = spool.Request(f"r{time.monotonic_ns()}", word, task, PERSON, fields)
        where = spool.send(loop.parts.private, request)
        settle(loop, where.exists)
        reply = spool.take_reply(where)
        assert reply is not None
        return reply


def settle(loop: Loop, done: Callable[[], bool] | None = None, seconds: float = 60.0) -> None:
    """Turns the loop until `done` (or until it is idle); fails after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        wait = loop.turn()
        if done() if done is not None else loop.idle:
            return
        time.sleep(min(max(wait, 0.0), 0.02))
    states = {slug_of(task.id): (task.state.value, task.cursor.phase.value) for task in loop.live.tasks.values()}
    raise AssertionError(f"not in time; tasks: {states}, busy: {loop.live.busy}")


def only(loop: Loop) -> Task:
    """The one open task."""
    (task,) = loop.live.tasks.values()
    return task


def make(root: Path, settings: str = SETTINGS, **playbooks: str) -> Headquarters:
    env = {**os.environ, "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
    env |= {
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "XDG_CACHE_HOME": str(root / "cache"),
    }
    hq = Headquarters(root / "hq", env)
    hq.root.mkdir(parents=True)
    hq.git("init", "-qb", "main")
    hq.git("config", "user.name", "Ada")
    hq.git("config", "user.email", "ada@example.org")
    for folder in layout.KEPT_FOLDERS:
        hq.write(f"{folder}/.gitkeep", "")
    hq.write("workspace/.gitattributes", layout.ATTRIBUTES)
    hq.write("hqd.toml", settings)
    hq.answers({"answer": "three good words"})
    for name, text in {"general": GENERAL, "article": REVIEWED, **playbooks}.items():
        hq.write(f"playbooks/{name}.toml", text)
    hq.commit("a new HQ")
    return hq
