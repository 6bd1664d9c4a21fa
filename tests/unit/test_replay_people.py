"""What a person's recorded word comes to under other rules, act by act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hqd.core.moves import End, GoTo
from hqd.core.replay.people import Otherwise, heard, unasked
from hqd.core.replay.reach import resting
from hqd.model.board import Rules, Task
from hqd.model.failure import Outcome
from hqd.model.playbook import Playbook, Review, Step
from hqd.model.record import Cursor, Event, EventKind, Finding, Phase, Pin, Via
from hqd.model.settings import FORMAT, Settings
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def rules(last: bool = True, **review: Any) -> Rules:
    steps = [Step(name="plan", agent="a"), Step(name="write", agent="a"), Step(name="ok", review=Review(**review))]
    steps += [] if last else [Step(name="tell", agent="a")]
    playbook = Playbook(name="p", steps=tuple(steps))
    return Rules(Pin(playbooks="", settings=""), Settings(format=FORMAT), {"p": playbook})


def task(name: str = "20261122-t-000001", parent: str | None = None, **header: Any) -> Task:
    document = TaskDocument(header=TaskHeader(**header), title="T", text="t")
    cursor = Cursor(playbook="p", step="ok", phase=Phase.REVIEW, base="b", head="h", parent=parent)
    return Task(name, State.REVIEW, document, "", cursor)


def event(kind: EventKind, step: str | None = None, to: State = State.QUEUE, **more: Any) -> Event:
    return Event(**{"event": kind, "to": to, "at": NOW, "by": "Ada", "via": Via.CLI, "step": step, **more})


def asked(step: str, *, named: bool = False) -> Event:
    finding = Finding(source="human:Ada", text="no", step=step if named else "ok")
    return event(EventKind.FEEDBACK, step, findings=(finding,), children=("write", "ok"))


def come_to(said: Event, old: Rules, new: Rules) -> Event | Otherwise:
    return heard(said, task(), task(), old, new)


def test_words_go_where_the_other_rules_send_them_unless_the_person_named_the_step() -> None:
    there = come_to(asked("write"), rules(), rules(on_changes="plan"))
    assert isinstance(there, Otherwise)
    assert (there.would_be, there.move) == (
        "back to plan",
        GoTo("plan", "on_changes", asked("write").findings, ("plan", "write", "ok")),
    )
    assert isinstance(come_to(asked("write", named=True), rules(), rules(on_changes="plan")), Event)
    assert isinstance(come_to(asked("plan"), rules(), rules(on_changes="plan")), Event), "said by hand: no default then"


def test_what_the_same_word_outdates_is_of_the_new_playbook() -> None:
    found = come_to(asked("write"), rules(), rules(last=False))
    assert isinstance(found, Event)
    assert found.children == ("write", "ok", "tell")


def test_news_of_the_branch_that_go_back_to_the_review_are_nobodys_wish_for_changes() -> None:
    for step in ("ok", None):
        said = event(EventKind.FEEDBACK, step, via=Via.GIT)
        assert come_to(said, rules(), rules(on_changes="plan")) is said


@pytest.mark.parametrize(("last", "move"), [(True, End()), (False, None)])
def test_landing_follows_the_other_review(last: bool, move: End | None) -> None:
    landed = event(EventKind.LANDED, landed="c")
    never = come_to(landed, rules(), rules(last, land="never"))
    assert isinstance(never, Otherwise)
    assert (never.was, never.move) == ("land", move)
    assert come_to(landed.model_copy(update={"via": Via.GIT}), rules(), rules(land="never")).__class__ is Event
    approved = event(EventKind.FEEDBACK, "ok", outcome=Outcome.PASSED)
    lands = come_to(approved, rules(land="never"), rules())
    assert isinstance(lands, Otherwise)
    assert lands.would_be == "land"
    assert come_to(approved, rules(land="never"), rules(land="never")) is approved


def test_a_coin_is_tossed_again_only_where_the_rules_of_then_explain_whom_was_asked() -> None:
    fresh = task().changed(cursor=Cursor(playbook="p", step="write", phase=Phase.PASSED))
    few = rules(sample=1e-9)

    def claim(sample: float | None, old: Rules, new: Rules) -> Otherwise | None:
        return unasked(event(EventKind.CLAIMED, "ok", State.ACTIVE, via=None, sample=sample), fresh, fresh, old, new)

    skips, asks = claim(None, rules(), few), claim(1e-9, few, rules())
    assert skips is not None
    assert skips.would_be == "ok passed unseen"
    assert asks is not None
    assert asks.would_be == "review ok"
    assert claim(None, few, rules()) is None, "full review had been restored"
    assert claim(1e-9, few, few) is None


def test_who_needs_a_different_task_is_named_by_id_slug_alias_or_beginning() -> None:
    different = task("20261122-first-00000a", aliases=["uno"])
    others = [task(f"20261122-x{n}-00000{n}", needs=[name]) for n, name in enumerate(("first", "uno", "20261122-firs"))]
    stranger, child = task("20261122-y-000008", needs=["second"]), task("20261122-z-000009", parent=different.id)
    found = resting([different, *others, stranger, child], {different.id})
    assert [(each.task.split("-")[1], each.by) for each in found] == [
        ("x0", "needs it"), ("x1", "needs it"), ("x2", "needs it"), ("z", "is its child"),
    ]  # fmt: skip
    assert [each.by for each in resting([different, child], {child.id})] == ["is its parent"]
