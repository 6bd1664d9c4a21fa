"""An HQ's history by the ten thousand tasks: seeded, its faults and what people did known, made by real git acts.

Events go through hqd's own `evolve`, records and messages through its codecs, commits through `git fast-import`: one
for each event, work on branches of its own, landings as merges and squashes, reverts and edits as people's commits.
`make(root, tasks=…)` is what others import; `Made.truth` says what a person thought of every output that one saw.
"""

from __future__ import annotations

import heapq
import os
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast

from bench.lessons_people import Town
from hqd.codec import layout
from hqd.codec.task import read_task
from hqd.core.batch import blob_id
from hqd.daemon.batch import Batch
from hqd.model.board import Task
from hqd.model.change import Transition
from hqd.model.record import Cursor, Event, Person, Pin
from hqd.model.task import State

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
BETWEEN = 290.0  # seconds between two tasks: 10,000 of them take five weeks
SETTINGS = """format = 1
[defaults]
playbook = "article"
[agents.swift]
provider = "replay"
answers = "a.jsonl"
[agents.steady]
provider = "replay"
answers = "a.jsonl"
[agents.rough]
provider = "replay"
answers = "a.jsonl"
[lessons]
label_days = 14
"""
PLAYBOOKS = {
    "article": """name = "article"
[[steps]]
name = "write"
agent = "swift"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 60 }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
""",
    "brief": """name = "brief"
[[steps]]
name = "research"
agent = "steady"
gates = [{ kind = "word_count", min = 60 }]
[[steps]]
name = "write"
agent = "swift"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 60 }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
""",
    "patch": """name = "patch"
[[steps]]
name = "write"
agent = "rough"
[[steps]]
name = "approve"
review = { land = "on_merge" }
""",
    "memo": """name = "memo"
[[steps]]
name = "write"
agent = "steady"
[[steps]]
name = "approve"
review = { land = "never" }
""",
    "note": """name = "note"
[[steps]]
name = "write"
agent = "steady"
gates = [{ kind = "word_count", min = 60 }]
""",
}
PAGES = {f"docs/page-{page}.md": "".join(f"line {number}\n" for number in range(60)) for page in range(40)}
_WHO = {"hqd": Person(name="hqd", email="hqd@localhost")}


@dataclass
class Made:
    """A history, and what is true of it. `truth`: (task, n of the finished record) -> label, where a person saw it."""

    root: Path
    tip: str
    tasks: int
    attempts: int
    events: int
    truth: dict[tuple[str, int], str]
    faults: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)


class Writer:
    """Commits on main and on task branches, by one `git fast-import`."""

    def __init__(self, stream: IO[bytes], answers: IO[bytes], tip: str) -> None:
        self._to = stream
        self._back = answers
        self._mark = 0
        self._marks: dict[str, int] = {}  # of commits that no finished pack holds yet
        self.tip = tip
        self.events = 0
        self.main: dict[str, bytes] = {path: text.encode() for path, text in PAGES.items()}  # beside workspace/
        self._batch_label = lambda task, event: event.step or event.to.value

    def event(
        self, task: Task, event: Event, *, files: Mapping[str, bytes] | None = None, author: str = "hqd",
        body: bytes | None = None,
    ) -> Task:  # fmt: skip
        """One event of a task, as the daemon would commit it. The task after it."""
        batch = Batch("bench", self._batch_label, lambda _task: None)
        source = "" if body is not None else None
        after = batch.task(task, event, files=files, author=person(author), body=body, source=source)
        for transition in batch.transitions:
            self._transition(transition, "refs/heads/main")
        self.events += 1
        return after

    def commit(self, files: Mapping[str, bytes | None], message: str, at: datetime, author: str) -> str:
        """A person's commit on main."""
        writes = tuple((path, data) for path, data in files.items() if data is not None)
        gone = tuple(path for path, data in files.items() if data is None)
        transition = Transition(message=message, at=at, writes=writes, deletes=gone, author=person(author))
        self._keep(files)
        return self._transition(transition, "refs/heads/main")

    def merge(self, files: Mapping[str, bytes], head: str, message: str, at: datetime, author: str) -> str:
        """A merge commit on main."""
        writes = tuple(files.items())
        self._keep(files)
        transition = Transition(message=message, at=at, writes=writes, merge=head, author=person(author))
        return self._transition(transition, "refs/heads/main")

    def work(self, task: str, base: str, files: Mapping[str, bytes], at: datetime) -> str:
        """A commit on the task's review ref."""
        ref = f"refs/hqd/review/{task}"
        transition = Transition(message=f"write\n\nHqd-Work: {task}\n", at=at, writes=tuple(files.items()))
        return self._transition(transition, ref, base)

    def _name(self, commit: str) -> str:
        return f":{self._marks[commit]}" if commit in self._marks else commit

    def _keep(self, files: Mapping[str, bytes | None]) -> None:
        for path, data in files.items():
            if data is None:
                self.main.pop(path, None)
            else:
                self.main[path] = data

    def _transition(self, each: Transition, ref: str, base: str | None = None) -> str:
        self._mark += 1
        when = f"{int(each.at.timestamp())} +0000"
        author = each.author or _WHO["hqd"]
        message = each.message.encode()
        lines = [
            f"commit {ref}".encode(),
            f"mark :{self._mark}".encode(),
            f"author {author.name} <{author.email}> {when}".encode(),
            f"committer hqd <hqd@localhost> {when}".encode(),
            b"data %d\n%s" % (len(message), message),
            f"from {self._name(base or self.tip)}".encode(),
        ]
        if each.merge is not None:
            lines.append(f"merge {self._name(each.merge)}".encode())
        lines += [f"R {old} {new}".encode() for old, new in each.renames]
        lines += [f"D {path}".encode() for path in each.deletes]
        for path, data in each.writes:
            lines.append(b"M 100644 inline %s\ndata %d\n%s" % (path.encode(), len(data), data))
        self._to.write(b"\n".join(lines) + b"\n\nget-mark :%d\n" % self._mark)
        self._to.flush()
        commit = self._back.readline().decode().strip()
        self._marks[commit] = self._mark
        if ref == "refs/heads/main":
            self.tip = commit
        return commit


def person(name: str) -> Person:
    return _WHO.setdefault(name, Person(name=name, email=f"{name.lower()}@example.org"))


def make(root: Path, tasks: int = 10_000, seed: int = 1) -> Made:
    """A history of `tasks` tasks in a new repository at `root`, some four attempts each; the same for the same seed."""
    tip, pin = _begin(root)
    with _fast_import(root) as (stream, answers):
        writer = Writer(stream, answers, tip)
        town = Town(writer, pin, random.Random(seed))
        _live(town, tasks)
    git(root, "reset", "-q", "--mixed", "main")
    git(root, "repack", "-adq")  # as the daemon's upkeep leaves it
    git(root, "commit-graph", "write", "--reachable")
    return Made(root, writer.tip, tasks, town.attempts, writer.events, town.truth, town.faults)


def _live(town: Town, tasks: int) -> None:
    """Everybody's day, in order of time: a story yields the seconds until it goes on."""
    waiting: list[tuple[float, int, Iterator[float]]] = []
    count = 0

    def add(at: float, story: Iterator[float]) -> None:
        nonlocal count
        count += 1
        heapq.heappush(waiting, (at, count, story))

    for number in range(tasks):
        add(number * BETWEEN, town.task(number))
    while waiting:
        at, _count, story = heapq.heappop(waiting)
        town.now = BEGIN + timedelta(seconds=at)
        pause = next(story, None)
        if pause is not None:
            add(at + pause, story)
        for later, other in town.coming:
            add(at + later, other)
        town.coming.clear()


def new_task(writer: Writer, name: str, text: bytes, day: datetime, digits: str, accepted: Event) -> Task:
    """A task that a person (or a schedule) has just dropped."""
    task_id = layout.task_id(name, day.date(), digits)
    document = read_task(text, f"{name}.md").document
    assert document is not None
    task = Task(task_id, State.INBOX, document, blob_id(text), Cursor())
    return writer.event(task, accepted, body=text)


def _begin(root: Path) -> tuple[str, Pin]:
    root.mkdir(parents=True)
    git(root, "init", "-qb", "main")
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("gc.auto", "0")):
        git(root, "config", key, value)
    files = {"hqd.toml": SETTINGS, **{f"playbooks/{name}.toml": text for name, text in PLAYBOOKS.items()}}
    files |= PAGES
    files |= {f"{folder}/.gitkeep": "" for folder in layout.KEPT_FOLDERS}
    files |= {"workspace/.gitattributes": layout.ATTRIBUTES, ".gitignore": ".hqd/\n"}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a new HQ")
    pin = Pin(playbooks=git(root, "rev-parse", "HEAD:playbooks"), settings=git(root, "rev-parse", "HEAD:hqd.toml"))
    return git(root, "rev-parse", "HEAD"), pin


@contextmanager
def _fast_import(root: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    back, theirs = os.pipe()
    process = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--force", f"--cat-blob-fd={theirs}"],
        cwd=root, stdin=subprocess.PIPE, pass_fds=(theirs,), env=environment(),
    )  # fmt: skip
    os.close(theirs)
    with os.fdopen(back, "rb") as answers:
        stream = cast(IO[bytes], process.stdin)
        yield stream, answers
        stream.close()
        if process.wait() != 0:
            raise RuntimeError("git fast-import failed")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=root, check=True, capture_output=True, text=True, env=environment())
    return done.stdout.strip()
