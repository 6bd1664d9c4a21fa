"""The ladder, its state and the breakers, as pure functions of cursor and playbook."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hqd.codec.playbook import read_playbook
from hqd.core.checks.playbooks import Rules as CheckedRules
from hqd.core.checks.playbooks import check_rules
from hqd.core.evolve import DIED, evolve
from hqd.core.moves import ClaimStep, GoTo, Move, Park
from hqd.core.recovery import DEFAULTS, after_failure, too_often
from hqd.model.board import Rules, Task
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateResult, GateStatus
from hqd.model.playbook import Playbook
from hqd.model.record import Claim, Cursor, Event, EventKind, Finding, Pin
from hqd.model.settings import AgentSettings, Defaults, Settings
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PIN = Pin(playbooks="p", settings="s")


def playbook(top: str = "", step: str = "") -> Playbook:
    text = f"""
name = "p"
{top}
[[steps]]
name = "plan"
agent = "a"
[[steps]]
name = "work"
agent = "a"
{step}
"""
    read = read_playbook(text.encode(), "playbooks/p.toml")
    assert read.playbook is not None, read.problems
    return read.playbook


class Story:
    """A task at step `work`, driven by events; `move` says what follows."""

    def __init__(self, book: Playbook) -> None:
        self.book = book
        self.rules = Rules(PIN, Settings(format=1), {"p": book})
        document = TaskDocument(header=TaskHeader(), title="T", text="")
        self.task = Task("20260101-t-000000", State.QUEUE, document, "b", Cursor(playbook="p", step="work", pin=PIN))
        self.nth = 0

    def claim(self, move: ClaimStep | None = None) -> None:
        self.nth += 1
        claim = Claim(nonce="n", host="h", until=NOW)
        fields: dict[str, Any] = {"mode": "first"}
        if move is not None:
            fields = {"mode": move.mode, "rung": move.rung, "ladder": move.ladder, "agent": move.agent}
        self.happen(EventKind.CLAIMED, State.ACTIVE, attempt=self.nth, claim=claim, pin=PIN, snapshot="c", **fields)

    def happen(self, kind: EventKind, to: State, **fields: Any) -> None:
        fields.setdefault("step", "work")
        self.task = evolve(self.task, Event(event=kind, to=to, at=NOW, **fields))

    def fail(self, failure: Failure = Failure.GATE, text: str = "", **gates: bool) -> Move:
        """Claims what the last move says (or the first try), fails, and asks what follows."""
        results = tuple(
            GateResult(
                name=name, kind="x", status=GateStatus.PASS if held else GateStatus.FAIL, message=f"{name} wants"
            )
            for name, held in gates.items()
        )
        self.happen(
            EventKind.FINISHED,
            State.QUEUE,
            attempt=self.nth,
            outcome=Outcome.FAILED,
            failure=failure,
            message="no good",
            findings=(Finding(source="gate:x", text="no good"),),
            gates=results,
            fingerprint=text or f"print {self.nth}",
            prompt_hash=f"prompt {self.nth}",
        )
        return self.move()

    def move(self) -> Move:
        return after_failure(self.task, self.rules, self.book, self.book.step("work"))

    def climb(self, *failures: Failure, **same: Any) -> list[str]:
        """The rungs that a row of failures takes, up to the park."""
        taken: list[str] = []
        self.claim()
        for failure in failures:
            move = self.fail(failure, **same)
            taken.append(label(move))
            if not isinstance(move, ClaimStep):
                break
            self.claim(move)
        return taken


def label(move: Move) -> str:
    if isinstance(move, ClaimStep):
        return f"{move.mode}:{move.agent}" if move.mode == "agent" else move.mode
    if isinstance(move, GoTo):
        return f"to {move.step}"
    assert isinstance(move, Park)
    return move.reason.value


GATE = Failure.GATE


def test_the_whole_ladder_is_climbed_rung_by_rung_and_ends_at_a_human() -> None:
    story = Story(playbook(step='on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "b" }, "human"]'))
    assert story.climb(*[GATE] * 5) == ["retry", "retry", "fresh", "agent:b", "ladder_exhausted"]


def test_a_route_rung_leads_to_the_earlier_agent_step_with_the_finding() -> None:
    story = Story(playbook(step='on_fail = [{ retry = 1 }, { route = "plan" }, "human"]'))
    story.claim()
    move = story.fail()
    assert isinstance(move, ClaimStep)
    story.claim(move)
    back = story.fail()
    assert isinstance(back, GoTo)
    assert (back.step, back.stale) == ("plan", ("plan", "work"))
    assert [finding.text for finding in back.findings] == ["no good"]


def test_each_class_with_a_ladder_of_its_own_keeps_its_own_place_on_it() -> None:
    book = playbook("on = { empty = [{ retry = 2 }] }", 'on_fail = [{ retry = 1 }, { fresh = 1 }, "human"]')
    story = Story(book)
    failures = [Failure.EMPTY, GATE, Failure.EMPTY, GATE, Failure.EMPTY]
    assert story.climb(*failures) == ["retry", "retry", "retry", "fresh", "ladder_exhausted"]


def test_a_pass_begins_the_ladder_of_its_step_anew() -> None:
    story = Story(playbook("on = { empty = [{ retry = 1 }] }", 'on_fail = [{ retry = 1 }, "human"]'))
    story.claim()
    move = story.fail(Failure.EMPTY)
    assert isinstance(move, ClaimStep)
    story.claim(move)
    story.happen(EventKind.FINISHED, State.QUEUE, attempt=story.nth, outcome=Outcome.PASSED)
    assert (story.task.cursor.rungs, story.task.cursor.trials) == ({}, {})


def test_the_same_answer_again_skips_to_a_better_rung() -> None:
    story = Story(playbook(step='on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "b" }, "human"]'))
    assert story.climb(*[GATE] * 4, text="same") == ["retry", "fresh", "agent:b", "no_progress"]


def test_no_human_is_called_sooner_than_the_ladder_says() -> None:
    """The last rung is used up even where it gives the same again; the breaker speaks at the third."""
    story = Story(playbook(step='on_fail = [{ retry = 2 }, "human"]'))
    assert story.climb(*[GATE] * 3, text="same") == ["retry", "retry", "no_progress"]


def test_a_retry_that_breaks_another_gate_skips_a_rung() -> None:
    story = Story(playbook(step='on_fail = [{ retry = 2 }, { fresh = 1 }, "human"]'))
    story.claim()
    move = story.fail(length=False, tone=True)
    assert label(move) == "retry"
    assert isinstance(move, ClaimStep)
    story.claim(move)
    assert label(story.fail(length=False, tone=False)) == "fresh"


def test_a_retry_that_fails_the_same_gate_with_another_answer_stays_on_its_rung() -> None:
    story = Story(playbook(step='on_fail = [{ retry = 2 }, { fresh = 1 }, "human"]'))
    assert story.climb(GATE, GATE, length=False) == ["retry", "retry"]


@pytest.mark.parametrize("failure", [Failure.POLICY, Failure.SECRET])
def test_no_ladder_moves_a_breach_away_from_the_human(failure: Failure) -> None:
    story = Story(playbook(f"on = {{ {failure.value} = [{{ retry = 2 }}] }}"))
    assert [DEFAULTS[failure].reason.value] == story.climb(failure)


def test_a_class_that_goes_to_a_human_by_default_can_be_given_a_ladder() -> None:
    story = Story(playbook("on = { context = [{ retry = 1 }] }"))
    assert story.climb(Failure.CONTEXT, Failure.CONTEXT) == ["retry", "context"]


def test_replan_goes_back_to_the_agent_step_before_once_a_round() -> None:
    story = Story(playbook())
    story.claim()
    move = story.fail(Failure.REPLAN)
    assert label(move) == "to plan"
    assert isinstance(move, GoTo)
    story.happen(EventKind.ROUTED, State.QUEUE, step="plan", route=move.key, findings=move.findings, items=move.stale)
    story.claim()
    assert label(story.fail(Failure.REPLAN)) == "replan"


def again(story: Story, failure: Failure, outcome: Outcome, **fields: Any) -> Move | None:
    story.claim()
    story.happen(EventKind.FINISHED, State.QUEUE, attempt=story.nth, outcome=outcome, failure=failure, **fields)
    return too_often(story.task, story.rules, story.book, story.book.step("work"))


def test_a_gate_that_cannot_judge_is_tried_again_uncounted_and_then_parked() -> None:
    story = Story(playbook())
    moves = [again(story, Failure.GATE_ERROR, Outcome.FAILED, message="no program") for _ in range(3)]
    assert moves[:2] == [None, None]
    assert isinstance(moves[2], Park)
    assert ParkReason.GATE_ERROR is moves[2].reason
    assert story.task.cursor.counted == 0


def test_a_ladder_for_gate_errors_is_climbed_where_trying_again_was_too_often() -> None:
    story = Story(playbook('on = { gate_error = [{ agent = "b" }] }'))
    moves = [again(story, Failure.GATE_ERROR, Outcome.FAILED, message="no program") for _ in range(3)]
    assert moves[2] == ClaimStep("work", "agent", "b", 0, "gate_error")


def test_a_task_that_breaks_its_worker_three_times_in_a_row_is_put_aside() -> None:
    story = Story(playbook())
    moves = [again(story, Failure.CRASHED, Outcome.INTERRUPTED) for _ in range(3)]
    assert moves[:2] == [None, None]
    assert isinstance(moves[2], Park)
    assert ParkReason.CRASHED is moves[2].reason


def test_deaths_of_hqd_count_only_in_a_row() -> None:
    story = Story(playbook())
    for _ in range(9):
        assert again(story, Failure.INTERRUPTED, Outcome.INTERRUPTED, stop=DIED) is None
    assert again(story, Failure.INTERRUPTED, Outcome.INTERRUPTED) is None  # told to stop: not a death
    assert story.task.cursor.deaths == 0
    for _ in range(9):
        assert again(story, Failure.INTERRUPTED, Outcome.INTERRUPTED, stop=DIED) is None
    parked = again(story, Failure.INTERRUPTED, Outcome.INTERRUPTED, stop=DIED)
    assert isinstance(parked, Park)
    assert ParkReason.CRASHED is parked.reason
    assert "10 times" in parked.missing


def test_check_names_ladders_that_cannot_help_or_seldom_do() -> None:
    text = """
name = "p"
on = { credentials = [{ retry = 1 }], gat = [{ retry = 1 }] }
[[steps]]
name = "work"
agent = "a"
on_fail = [{ retry = 5 }]
"""
    unknown = read_playbook(text.encode(), "playbooks/p.toml")
    assert [(problem.line, problem.key) for problem in unknown.problems] == [(3, "on.gat")]
    read = read_playbook(text.replace(", gat = [{ retry = 1 }]", "").encode(), "playbooks/p.toml")
    assert read.playbook is not None
    settings = Settings(format=1, defaults=Defaults(playbook="p"), agents={"a": AgentSettings(provider="replay")})
    known = CheckedRules(settings, "hqd.toml", {"playbooks/p.toml": read.playbook}, "playbooks", {}, frozenset(), none)
    found = {problem.place: problem.message for problem in check_rules(known)}
    assert "has no effect" in found[("on", "credentials")]
    assert "5 retries with feedback" in found[("steps", 0, "on_fail", 0, "retry")]


def none(_gate: object) -> tuple[str, ...]:
    return ()


def test_every_class_ends_at_a_human_however_often_it_comes() -> None:
    for failure, default in DEFAULTS.items():
        story = Story(playbook(step='on_fail = [{ retry = 2 }, { agent = "b" }, { route = "plan" }, "human"]'))
        story.claim()
        for _ in range(20):
            move = story.fail(failure) if default.path.value != "again" else Park(default.reason, "elsewhere")
            if isinstance(move, Park):
                break
            if isinstance(move, GoTo):
                fields = {"route": move.key, "findings": move.findings, "items": move.stale}
                story.happen(EventKind.ROUTED, State.QUEUE, step=move.step, **fields)
                story.task = story.task.changed(cursor=story.task.cursor.model_copy(update={"step": "work"}))
                move = None
            story.claim(move)
        else:
            raise AssertionError(failure)
