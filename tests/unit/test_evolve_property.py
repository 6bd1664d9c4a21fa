"""Random events through `evolve`: legal ones never fail, illegal ones change nothing, numbers are never lost."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from hqd.codec.record import read_record, write_record
from hqd.core.evolve import evolve
from hqd.core.transitions import PHASES, TRANSITIONS
from hqd.daemon.book import new_task
from hqd.errors import IllegalTransition
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateResult, GateStatus
from hqd.model.record import (
    Claim,
    Event,
    EventKind,
    Finding,
    Phase,
    Pin,
    Record,
    ReviewState,
    Usage,
    Via,
    Work,
)
from hqd.model.task import State, TaskDocument, TaskHeader

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
STEPS = ("one", "two", "three")
TASK = "20261122-it-abcdef"


def event(chance: random.Random, task: Task, kind: EventKind, to: State, at: datetime) -> Event:
    """A whole event of this kind, as the daemon would make it; everything else by chance."""
    step = task.cursor.step or chance.choice(STEPS)
    attempt = task.cursor.attempts.get(step, 0)
    fields: dict[str, object] = {}
    if kind is EventKind.CLAIMED:
        step = chance.choice(STEPS)
        fields = {
            "attempt": task.cursor.attempts.get(step, 0) + 1,
            "mode": chance.choice(["first", "retry", "fresh", "agent", "again"]),
            "rung": chance.choice([None, 0, 1]),
            "agent": chance.choice([None, "worker", "strong"]),
            "pin": Pin(playbooks="a" * 40, settings="b" * 40),
            "snapshot": "c" * 40,
            "claim": Claim(nonce=f"{chance.getrandbits(64):016x}", host="host", until=at + timedelta(minutes=30)),
            "playbook": "general",
        }
    elif kind is EventKind.FINISHED:
        outcome = chance.choice(list(Outcome))
        failed = outcome is not Outcome.PASSED
        fields = {
            "attempt": attempt or 1,
            "outcome": outcome,
            "failure": chance.choice(list(Failure)) if failed else None,
            "message": chance.choice([None, "it went wrong"]),
            "findings": (Finding(source="gate:x", text="too short"),) if failed else (),
            "output": chance.choice([None, f"workspace/runs/{TASK}/{task.n + 1:03d}-output.md"]),
            "output_blob": "d" * 40,
            "usage": chance.choice([None, Usage(**{"in": 5, "out": 7, "cost": round(chance.random(), 6)})]),
            "wall": 0.5,
            "prompt_hash": f"{chance.randrange(4):032x}",
            "fingerprint": f"{chance.randrange(4):016x}",
            "gates": (GateResult(name="x", kind="word_count", status=chance.choice(list(GateStatus))),),
            "work": chance.choice([None, Work(base="e" * 40, head="f" * 40, files=("a.md",))]),
            "retry_after": chance.choice([None, 1.5]),
        }
    elif kind is EventKind.ROUTED:
        fields = {"route": f"{step}#{chance.randrange(2)}", "items": chance.sample(STEPS, 2)}
        step = chance.choice(STEPS)
    elif kind in (EventKind.PARKED, EventKind.ASKED):
        fields = {"reason": chance.choice(list(ParkReason)), "missing": "a word"}
    elif kind is EventKind.ANSWERED:
        fields = {"answer": "yes", "findings": (Finding(source="human:Ada", text="yes"),)}
    elif kind is EventKind.REVIEW_OPENED:
        fields = {"review": ReviewState(step=step, branch=f"hqd/{TASK}", head="f" * 40, base="e" * 40)}
    elif kind is EventKind.FEEDBACK:
        fields = {"outcome": chance.choice([None, Outcome.PASSED]), "items": (f"r{task.n}",), "children": (step,)}
        if task.cursor.review is not None and chance.random() < 0.5:
            fields["review"] = task.cursor.review.model_copy(update={"number": 7, "asked": (f"r{task.n}",)})
    elif kind is EventKind.LANDED:
        fields = {"landed": "9" * 40}
    elif kind is EventKind.RESUMED:
        fields = {"items": chance.choice([(), STEPS])}
    return Event.model_validate(
        {"event": kind, "to": to, "at": at, "step": step, "via": chance.choice([None, Via.CLI]), **fields}
    )


def legal(task: Task) -> list[tuple[EventKind, State]]:
    """Every kind of event and target that the tables allow now."""
    return [
        (kind, to)
        for kind, table in TRANSITIONS.items()
        if task.cursor.phase in PHASES.get(kind, frozenset(Phase))
        for to in sorted(table.get(task.state, ()))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_random_legal_events_never_fail_and_never_lose_a_number(seed: int) -> None:
    chance = random.Random(seed)
    document = TaskDocument(header=TaskHeader(), title="It", text="Do it.")
    task, at = new_task(TASK, document, "0" * 40, "workspace/inbox/it.md"), START
    for _ in range(80):
        choices = legal(task)
        if not choices:
            assert not task.state.open
            break
        weighted = [each for each in choices if each[0] is not EventKind.DROPPED or chance.random() < 0.1]
        kind, to = chance.choice(weighted or choices)
        at += timedelta(milliseconds=chance.randrange(1, 60_000))
        happened = event(chance, task, kind, to, at)
        after = evolve(task, happened)
        assert (after.state, after.n) == (to, task.n + 1)
        for step, number in task.cursor.attempts.items():
            assert after.cursor.attempts[step] >= number
        if kind is EventKind.CLAIMED:
            assert after.cursor.attempts[happened.step or ""] == happened.attempt
        assert after.cursor.round >= task.cursor.round
        assert (after.cursor.round > task.cursor.round) == (kind is EventKind.RESUMED)
        assert after.cursor.cost >= task.cursor.cost
        known = task.cursor.review
        if known is not None and known.number is not None and kind is not EventKind.LANDED:
            assert after.cursor.review is not None
            assert set(known.answered) <= set(after.cursor.review.answered)
            assert after.cursor.review.number == known.number
        assert (after.cursor.claim is not None) == (after.cursor.phase is Phase.CLAIMED)
        _survives_its_record(happened, task, after)
        task = after


def _survives_its_record(happened: Event, before: Task, after: Task) -> None:
    """The cursor that is read back from the record is the very one that was written."""
    record = Record(
        **dict(happened), n=after.n, hqd="0", host="host", from_=before.state, round=after.cursor.round,
        cursor=after.cursor,
    )  # fmt: skip
    assert read_record(write_record(record)) == record


@pytest.mark.parametrize("seed", range(60))
def test_any_event_at_all_is_applied_or_refused_loudly_and_then_changes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    document = TaskDocument(header=TaskHeader(), title="It", text="Do it.")
    task = new_task(TASK, document, "0" * 40, None)
    for number in range(80):
        kind, to = chance.choice(list(EventKind)), chance.choice(list(State))
        happened = event(chance, task, kind, to, START + timedelta(seconds=number))
        before = repr(task)
        allowed = (kind, to) in legal(task)
        try:
            after = evolve(task, happened)
        except IllegalTransition:
            assert not allowed
            assert repr(task) == before
        else:
            assert allowed
            task = after if after.state.open else new_task(TASK, document, "0" * 40, None)
