"""What the tests of people's words on pull requests share: an HQ on a quick forge, and waiting for what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hqd.daemon.forge import memory
from hqd.daemon.loop import Loop
from hqd.model.board import Task
from hqd.model.forge_news import ForgeNews
from hqd.model.record import Record, ReviewState
from hqd.model.task import State
from tests.daemon.headquarters import only, settle
from tests.forge_hq import TASK, Forged, forged
from tests.forge_scene import commit

ANSWERS = [
    {"attempt": 1, "answer": "three good words"},
    {"attempt": 2, "answer": "three better words"},
    {"answer": "three last words"},
]


class Ahead:
    """A clock that is some hours ahead, so that what takes an hour need not be waited for."""

    def __init__(self) -> None:
        self.hours = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(hours=self.hours)

    def given(self, loop: Loop) -> None:
        loop.parts = replace(loop.parts, clock=self)


@contextmanager
def place(root: Path, playbook: str = "", flavour: str = "gitea", **keys: str) -> Iterator[Forged]:
    """`playbook`: another one for articles; `keys`: raw values of [forge]. Gitea's adapter waits between no writes."""
    with forged(root, flavour=flavour, **keys) as found:
        found.hq.answers(*ANSWERS)
        if playbook:
            found.hq.write("playbooks/article.toml", playbook)
        found.hq.commit()
        found.hq.git("push", "-q", "origin", "main")
        yield found


def up(at: Forged, loop: Loop) -> Task:
    """One task, whose work is up for review."""
    at.hq.drop("a.md", TASK)
    return reviewed(at, loop)


def reviewed(at: Forged, loop: Loop, head: str | None = None) -> Task:
    """The task, once work other than `head` is up for review and the forge has it."""

    def ready() -> bool:
        tasks = list(loop.live.tasks.values())
        return bool(tasks) and tasks[0].state is State.REVIEW and tasks[0].cursor.head != head

    settle(loop, ready)
    task = only(loop)
    assert at.git("rev-parse", f"hqd/{task.id}") == task.cursor.head
    return task


def review_of(loop: Loop) -> ReviewState:
    found = only(loop).cursor.review
    assert found is not None
    return found


def news(at: Forged) -> ForgeNews:
    """What the commands of people are told."""
    return memory.read(at.hq.root / ".git/hqd")


def events(at: Forged, task: Task) -> list[str]:
    return at.hq.events(task.id)


def last(at: Forged, task: Task, event: str) -> Record:
    """The newest record of a kind."""
    return [each for each in at.hq.records(task.id) if each.event.value == event][-1]


def said(at: Forged, *words: str) -> list[str]:
    """hqd's own comments that have all of `words`."""
    mine = [each.body for each in at.forge.comments if each.author == at.forge.me]
    return [body for body in mine if all(word in body for word in words)]


def theirs(at: Forged, task: Task, start: str, text: str = "a person's words") -> str:
    """A person's push to the task's branch, on top of `start`; by force if need be."""
    return commit(at.bare, f"hqd/{task.id}", {"content/a.md": text + "\n"}, start, "By hand")


def rounds(at: Forged) -> int:
    """How often the list of pull requests was asked for."""
    return at.server.count("GET", r"/pulls\?")
