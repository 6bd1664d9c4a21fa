"""Of several hosts the one that wrote a task's newest record sees to its pull request; the others after a while."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hqd.daemon.forge.turns import POLLS, Second, Turns
from hqd.model.board import Task
from hqd.model.record import Cursor, Event, EventKind, Record
from hqd.model.task import State, TaskDocument, TaskHeader

WHEN = datetime(2026, 11, 22, tzinfo=UTC)
EVENT = Event(event=EventKind.FEEDBACK, to=State.REVIEW, at=WHEN)


def task(last: Event | None) -> Task:
    document = TaskDocument(header=TaskHeader(), title="A", text="")
    return Task("20261122-a-000000", State.REVIEW, document, "b", Cursor(), 3, last)


def record(host: str) -> Record:
    fields = {**dict(EVENT), "n": 3, "hqd": "0.1.0", "host": host, "from": State.REVIEW, "round": 1}
    return Record.model_validate({**fields, "cursor": Cursor()})


@pytest.mark.parametrize(
    ("last", "shared", "own"),
    [
        (record("me"), True, True),
        (record("other"), True, False),
        (record("other"), False, True),  # the HQ has moved to another machine
        (EVENT, True, True),  # decided in this process
        (None, True, True),
    ],
)
def test_whose_turn_it_is(last: Event | None, shared: bool, own: bool) -> None:
    after = Turns("me", lambda: shared, lambda: 60.0).after(task(last))
    assert (after == 0.0) is own
    assert own or POLLS[0] * 60 <= after <= POLLS[1] * 60


def test_what_another_host_leaves_undone_is_done_after_a_while_and_once() -> None:
    clock = [0.0]
    second = Second(lambda: clock[0])
    assert not second.is_due(1, "look", 10, stands=True)
    clock[0] = 9
    assert not second.is_due(1, "look", 10, stands=False)  # it was told once only
    clock[0] = 10
    assert second.is_due(1, "look", 10, stands=False)
    assert not second.is_due(1, "look", 10, stands=False)
    assert second.is_due(1, "look", 0, stands=True)  # one's own
    assert not second.is_due(1, "look", 0, stands=False)


def test_a_pull_request_that_is_followed_no_more_is_forgotten() -> None:
    clock = [0.0]
    second = Second(lambda: clock[0])
    second.is_due(1, "look", 10, stands=True)
    second.keep(())
    clock[0] = 20
    assert not second.is_due(1, "look", 10, stands=False)
