"""What a hint costs at the forge: a look where it points, a list where it points nowhere, not a look at everything."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from hqd.daemon.forge.asking import Asker, Look, Told, Want
from hqd.daemon.forge.source import Source
from hqd.errors import ForgeUnavailable
from hqd.model.review import Account, Check, Permission, Review, ReviewItem, ReviewStatus

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
LATER = WHEN + timedelta(seconds=5)
POLL = 3600.0


def review(number: int, updated: datetime = WHEN) -> Review:
    return Review(
        number=number, url=f"https://forge.invalid/{number}", title="T", body="", branch=f"hqd/{number}", base="main",
        head=f"{number:040x}", status=ReviewStatus.OPEN, author=Account(login="hqd"), draft=False, fork=False,
        created=WHEN, updated=updated,
    )  # fmt: skip


class Server:
    """A forge that notes what it is asked; of port RemoteForge only what an asker asks."""

    def __init__(self, count: int) -> None:
        self.reviews = {number: review(number) for number in range(1, count + 1)}
        self.asked: list[str] = []
        self.down = False
        self.meanwhile: Callable[[], None] = lambda: None  # after a pull request was read, before its comments are

    def _heard(self, what: str) -> None:
        if self.down:
            raise ForgeUnavailable("down", "gone")
        self.asked.append(what)

    def changed_reviews(self, since: datetime | None) -> tuple[Review, ...]:
        self._heard("list")
        return tuple(each for each in self.reviews.values() if since is None or each.updated >= since)

    def review(self, number: int) -> Review:
        self._heard(f"#{number}")
        return self.reviews[number]

    def items(self, number: int) -> tuple[ReviewItem, ...]:
        self.meanwhile()
        return ()

    def login(self) -> str:
        return "hqd"

    def permission(self, login: str) -> Permission:
        return Permission.WRITE

    def checks(self, commit: str) -> tuple[Check, ...]:
        self._heard(f"checks {int(commit, 16)}")
        return ()


class Line:
    """An asker at work, and a clock that only tests move."""

    def __init__(self, count: int, waiting: int = 0) -> None:
        self.server, self.clock, self.told = Server(count), 0.0, queue.SimpleQueue[Told]()
        source = Source(cast(Any, self.server), "main", dict, lambda _: None, lambda old, new: True, lambda: "")
        self.asker = Asker(source, lambda: POLL, self.told.put, lambda: WHEN, clock=lambda: self.clock)
        wants = {n: Want(f"t{n}", n, f"{n:040x}", 1, checks=n == waiting) for n in self.server.reviews}
        self.asker.want(wants)
        self.round()
        self.clock += 2.0
        self.asker.hint()  # what was seen within a second of its time is looked at once more
        self.round()

    def round(self) -> list[str]:
        """What is asked until a round ends."""
        while isinstance(self.told.get(timeout=10), Look):
            pass
        asked, self.server.asked = self.server.asked, []
        return asked


@contextmanager
def following(count: int, waiting: int = 0) -> Iterator[Line]:
    """`waiting`: the number of a pull request whose checks matter."""
    line = Line(count, waiting)
    try:
        yield line
    finally:
        line.asker.close()


def test_a_hint_that_names_a_pull_request_is_a_look_at_that_one_alone() -> None:
    with following(50) as line:
        line.asker.hint(7)
        assert line.round() == ["#7"]
        line.asker.hint(999)
        assert line.round() == []


def test_a_hint_that_names_none_is_a_list_and_looks_only_where_something_has_moved() -> None:
    """A push bears no number, and hqd's own pushes to main are many."""
    with following(50) as line:
        line.asker.hint()
        assert line.round() == ["list"]
        line.server.reviews[9] = review(9, LATER)
        line.asker.hint()
        assert line.round() == ["list", "#9"]


def test_news_of_a_commits_checks_are_a_look_where_they_are_waited_for() -> None:
    with following(5, waiting=3) as line:
        line.asker.hint(commit=f"{4:040x}")
        assert not line.asker.busy
        line.asker.hint(commit=f"{3:040x}")
        assert line.round() == ["#3", "checks 3"]


def test_hints_do_not_put_off_the_poll() -> None:
    with following(3) as line:
        line.clock += POLL / 2
        line.asker.hint(2)
        assert line.round() == ["#2"]
        line.clock += POLL / 2
        line.asker.hint(2)
        assert line.round() == ["#2", "list"]


def test_after_trouble_the_list_is_asked_before_all_is_well() -> None:
    with following(3) as line:
        line.server.down = True
        line.asker.hint(1)
        assert line.round() == []
        line.server.down = False
        line.asker.hint(2)
        assert line.round() == ["#2", "list"]


def test_two_looks_within_a_second_do_not_settle_what_happens_in_that_second() -> None:
    """Forges' times are whole seconds: a later change may bear the time that is known already."""
    with following(2) as line:
        line.server.reviews[1] = review(1, LATER)
        line.asker.hint(1)
        line.round()
        line.clock += 0.3
        line.asker.hint(1)
        line.round()
        line.clock += 2.0
        line.asker.hint()
        assert line.round() == ["list", "#1"]
        line.asker.hint()
        assert line.round() == ["list"]


def test_a_look_that_takes_long_does_not_settle_the_second_in_which_it_began() -> None:
    """A word that came after the pull request was read, before the look ended, stayed unheard."""

    def wait() -> None:
        line.clock += 2.0

    with following(2) as line:
        line.server.reviews[1] = review(1, LATER)
        line.asker.hint(1)
        line.round()
        line.clock += 0.3
        line.server.meanwhile = wait
        line.asker.hint(1)
        line.round()
        line.asker.hint()
        assert line.round() == ["list", "#1"]
