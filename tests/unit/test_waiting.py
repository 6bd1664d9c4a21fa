"""What the board says an open task waits for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hqd.cli.board.waiting import NO_DAEMON, next_step, waits_for
from hqd.core.moves import ClaimStep, End, GoTo, Land, Park
from hqd.model.board import Board, Rules, Slots, Task
from hqd.model.failure import ParkReason
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Cursor, Hold, Phase, Pin
from hqd.model.settings import AgentSettings, Settings
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = "20261122-fruit-aaaaaa"
PLAYBOOK = Playbook(name="general", steps=(Step(name="write", agent="writer", prompt_text="Write."),))
RULES = Rules(
    Pin(playbooks="p", settings="s"),
    Settings(format=1, agents={"writer": AgentSettings(provider="command", preset="claude")}),
    {"general": PLAYBOOK},
)


def task(state: State = State.QUEUE, header: TaskHeader | None = None, **cursor: object) -> Task:
    document = TaskDocument(header=header or TaskHeader(), title="Fruit", text="")
    return Task(ID, state, document, f"blob of {document.header}", Cursor(**cursor))  # type: ignore[arg-type]


def board(one: Task, **fields: object) -> Board:
    return replace(Board(tasks={ID: one}, rules={}, current=RULES), **fields)  # type: ignore[arg-type]


def said(one: Task, *, alive: bool = True, doing: str = "", **fields: object) -> str:
    return waits_for(one, board(one, **fields), NOW, alive=alive, doing=doing)


def test_a_task_in_the_queue_tells_its_next_step() -> None:
    assert said(task()) == "next: step write"
    assert said(task(), alive=False) == f"next: step write; {NO_DAEMON}"


def test_what_keeps_it_in_the_queue_is_named() -> None:
    hold = Hold(name="agent-writer", on="agent:writer", reason="credentials", since=NOW, missing="401: no key")
    assert said(task(), holds={"agent-writer": hold}) == "hold agent-writer: 401: no key"
    assert said(task(), paused=True) == "paused: `hqd resume`"
    full = Slots(frozenset({"a", "b", "c", "d"}))
    assert said(task(), slots=full) == "a free slot (4 at a time)"
    assert said(task(header=TaskHeader(suspend=True))).startswith("suspended by")
    later = TaskHeader(not_before=datetime(2027, 1, 31, tzinfo=UTC))
    assert said(task(header=later)) == "not before 2027-01-31 00:00 UTC"
    assert said(task(header=TaskHeader(playbook="nope"))).startswith("no_playbook: ")


def test_a_parked_task_tells_what_is_missing() -> None:
    parked = task(State.BLOCKED, phase=Phase.PARKED, reason=ParkReason.BUDGET, missing="$2 spent")
    assert said(parked) == "$2 spent"
    assert said(task(State.BLOCKED, phase=Phase.PARKED, reason=ParkReason.BUDGET)) == "budget"


def test_a_task_at_work_tells_what_is_done_or_that_nobody_does_it() -> None:
    at_work = task(State.ACTIVE, phase=Phase.CLAIMED)
    assert said(at_work, doing="agent, 5 s") == "agent, 5 s"
    assert said(at_work) == "being worked on"
    assert NO_DAEMON in said(at_work, alive=False)


@pytest.mark.parametrize(
    ("move", "shown"),
    [
        (ClaimStep("write", "retry"), "next: step write, again with the findings"),
        (ClaimStep("write", "agent", "strong"), "next: step write by strong"),
        (GoTo("write", "k"), "next: back to step write"),
        (Land("head"), "next: it lands on main"),
        (End(), "next: done"),
        (End(dropped=True), "next: dropped"),
        (Park(ParkReason.ROUTED, "asks"), "next: parked, routed: asks"),
    ],
)
def test_every_move_has_words(move: ClaimStep | GoTo | Land | End | Park, shown: str) -> None:
    assert next_step(move) == shown
