"""The line to origin over a remote in memory: what is asked is done, and what is old is not believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from hqd.daemon.origin.line import Line, Pace
from hqd.model.remote import Pushed, PushOutcome, RefUpdate

MAIN = "refs/heads/main"


@dataclass
class Memory:
    """Commits are numbers; each has all smaller ones. `gate`, where it is closed, holds a fetch after it has looked."""

    tip: str = "1"
    refuse: PushOutcome | None = None
    fetches: int = 0
    pushes: list[str | None] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    inside: threading.Event = field(default_factory=threading.Event)
    url: str = "memory"

    def fetch(self) -> Mapping[str, str]:
        tip = self.tip
        self.fetches += 1
        self.inside.set()
        assert self.gate.wait(10)
        return {MAIN: tip}

    def push(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        (update,) = updates
        self.pushes.append(update.commit)
        if self.refuse is not None:
            return (Pushed(MAIN, self.refuse, self.tip, "no"),)
        self.tip = str(update.commit)
        return (Pushed(MAIN, PushOutcome.DONE, self.tip),)


@dataclass
class Scene:
    remote: Memory
    line: Line
    main: list[str]

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end, self.line.news
            time.sleep(0.002)


@pytest.fixture
def scene() -> Iterator[Scene]:
    remote, main = Memory(), ["1"]
    pace = Pace(lambda: 3600.0, lambda: 0.01)
    line = Line(remote, MAIN, lambda: main[-1], lambda old, new: int(old) <= int(new), pace, threading.Event())
    line.open(lambda: None)
    yield Scene(remote, line, main)
    remote.gate.set()
    line.close()


def ready(scene: Scene) -> None:
    scene.remote.gate.set()
    scene.until(lambda: scene.line.news.asked)
    scene.line.clear("1")


def test_what_is_asked_in_the_middle_of_a_look_is_served_by_another(scene: Scene) -> None:
    assert scene.remote.inside.wait(10)
    scene.line.nudge()
    scene.remote.gate.set()
    scene.until(lambda: not scene.line.busy)
    assert scene.remote.fetches == 2


def test_a_look_that_a_push_has_overtaken_is_not_believed(scene: Scene) -> None:
    ready(scene)
    scene.remote.gate.clear()
    scene.remote.inside.clear()
    scene.line.nudge()
    assert scene.remote.inside.wait(10)
    scene.remote.tip = "2"
    scene.main.append("2")
    scene.line.won("2")
    scene.remote.gate.set()
    scene.until(lambda: not scene.line.busy)
    assert scene.line.news.tip == "2"


def test_a_wish_fetches_what_has_not_come_yet_and_pushes_nothing_before_its_time(scene: Scene) -> None:
    """A forge tells of each push of hqd's own: that must not make a push of each transition."""
    scene.line._pace.push = lambda: 3600.0
    ready(scene)
    scene.main.append("2")
    scene.line.moved()
    scene.remote.tip = "3"
    for commit, fetches in ((None, 2), ("3", 2), ("4", 3)):
        scene.line.seek(commit)
        scene.until(lambda: scene.line._served == scene.line._asked)
        assert scene.remote.fetches == fetches
    assert scene.remote.pushes == []


def test_what_comes_until_the_push_is_due_goes_with_it(scene: Scene) -> None:
    ready(scene)
    scene.main += ["2", "3", "4"]
    scene.line.moved()
    scene.until(lambda: scene.line.news.tip == "4")
    assert scene.remote.pushes == ["4"]


def test_nothing_is_pushed_over_a_tip_that_main_was_not_brought_in_line_with(scene: Scene) -> None:
    scene.remote.gate.set()
    scene.until(lambda: scene.line.news.asked)
    scene.main.append("2")
    scene.line.nudge()
    scene.until(lambda: not scene.line.busy)
    assert scene.remote.pushes == []
    scene.line.clear("1")
    scene.line.nudge()
    scene.until(lambda: scene.line.news.tip == "2")


@pytest.mark.parametrize(("answer", "kind"), [(PushOutcome.POLICY, "policy"), (PushOutcome.MOVED, "down")])
def test_a_ref_that_stays_where_it_was_is_a_fault_and_no_race(scene: Scene, answer: PushOutcome, kind: str) -> None:
    ready(scene)
    scene.remote.refuse = answer
    scene.main.append("2")
    scene.line.nudge()
    scene.until(lambda: scene.line.news.fault is not None)
    fault = scene.line.news.fault
    assert fault is not None
    assert fault.kind == kind
    assert not scene.line.busy
    tried = len(scene.remote.pushes)
    scene.line.moved()
    assert len(scene.remote.pushes) == tried, "it is not hammered"
    scene.remote.refuse = None
    scene.line.nudge()
    scene.until(lambda: scene.line.news.tip == "2")
    assert scene.line.news.fault is None
