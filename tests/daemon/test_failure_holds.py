"""Causes that are not a task's own, through the real daemon: keys, providers, the day's budget. No task parks."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hqd.daemon.loop import Loop
from hqd.daemon.work.runner import Runner
from hqd.model.attempt import Answer, Question
from hqd.model.board import Task
from tests.daemon.headquarters import SETTINGS, Headquarters, make, only, settle

WIDE = SETTINGS + "[limits]\nconcurrency = 16\n"
GOOD = {"answer": "three good words"}
DOWN = {"failure": "transient", "message": "529 overloaded"}


def counts(loop: Loop) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in loop.live.tasks.values():
        found[task.state.value] = found.get(task.state.value, 0) + 1
    return found


def drop_many(hq: Headquarters, number: int) -> None:
    for n in range(number):
        hq.drop(f"t{n:03}.md", f"# Task {n}\n")


class Later:
    """A clock that is a given time ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def test_an_expired_key_with_300_tasks_is_one_hold_and_no_park_and_all_finish_after_resume(tmp_path: Path) -> None:
    hq = make(tmp_path, settings=WIDE)
    hq.answers({"failure": "credentials", "message": "401 expired"})
    hq.commit()
    drop_many(hq, 300)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.live.holds) and len(loop.live.tasks) == 300 and loop.idle)
        assert [hold.reason for hold in loop.live.holds.values()] == ["credentials"]
        assert counts(loop) == {"queue": 300}
        tried = sum(sum(task.cursor.attempts.values()) for task in loop.live.tasks.values())
        assert tried <= 16, "no more than were in flight"
        assert all(task.cursor.counted == 0 for task in loop.live.tasks.values())
        hq.answers(GOOD)
        assert hq.ask(loop, "resume").ok
        settle(loop, lambda: not loop.live.tasks, seconds=120)
    assert len(hq.folder("done")) == 300
    events = hq.git("log", "--format=%(trailers:key=Hqd-Event,valueonly)").split()
    assert (events.count("held"), events.count("lifted"), events.count("parked")) == (1, 1, 0)


def test_one_call_in_five_overloaded_is_waited_out_without_hold_or_park(tmp_path: Path) -> None:
    hq = make(tmp_path, settings=WIDE)
    hq.answers(*({"slug": f"t{n:03}", "attempt": 1, **DOWN} for n in range(0, 40, 5)), GOOD)
    hq.commit()
    drop_many(hq, 40)
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("done")) == 40, seconds=60)
        assert not loop.live.holds
    retried = next(name[:-3] for name in hq.folder("done") if "-t005-" in name)
    ends = [(record.outcome, record.failure) for record in hq.records(retried) if record.outcome]
    assert [(outcome.value, failure and failure.value) for outcome, failure in ends if outcome] == [
        ("failed", "transient"),
        ("passed", None),
    ]


class Breaks:
    """An agent whose adapter has a bug."""

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        raise ZeroDivisionError("a bug")


def test_a_task_that_breaks_its_worker_again_and_again_is_put_aside(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        shop = dataclasses.replace(loop.parts.shop, agents={"replay": Breaks()})
        loop.runner = Runner(loop.parts.executor, shop, loop.inbox.put)
        settle(loop, lambda: bool(loop.live.tasks) and only(loop).state.value == "blocked")
        task = only(loop)
    assert task.cursor.reason is not None
    assert task.cursor.reason.value == "crashed"
    ends = [record.failure.value for record in hq.records(task.id) if record.failure and record.outcome]
    assert ends == ["crashed"] * 3


def test_a_hold_on_one_agent_does_not_end_a_run_while_another_backs_off(tmp_path: Path) -> None:
    """`hqd run --until-idle` waits for what will go on by itself, and then ends with 75 for the hold."""
    other = 'name = "other"\naccepts = { tags = ["other"] }\n[[steps]]\nname = "work"\nagent = "strong"\n'
    hq = make(tmp_path, other=other)
    hq.answers({"agent": "worker", "failure": "credentials", "message": "401"}, {"attempt": 1, **DOWN}, GOOD)
    hq.commit()
    hq.drop("held.md")
    hq.drop("waits.md", "---\ntags: [other]\n---\n# Waits\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(loop.live.tasks) == 2)
        settle(loop)
        assert [hold.on for hold in loop.live.holds.values()] == ["agent:worker"]
        assert counts(loop) == {"queue": 1}
    assert len(hq.folder("done")) == 1


def opened(hq: Headquarters, loop: Loop) -> str:
    """A provider that is down: the name of the hold that comes of it."""
    settle(loop, lambda: bool(loop.live.holds) and not loop.runner.running)
    (name,) = loop.live.holds
    return name


def down(tmp_path: Path, tasks: int = 12) -> Headquarters:
    hq = make(tmp_path, settings=SETTINGS + "[limits]\nconcurrency = 2\n")
    hq.answers(DOWN)
    hq.commit()
    drop_many(hq, tasks)
    return hq


def test_a_provider_that_is_down_opens_the_circuit_and_spends_no_more_tries(tmp_path: Path) -> None:
    hq = down(tmp_path)
    with hq.daemon() as loop:
        name = opened(hq, loop)
        hold = loop.live.holds[name]
        assert (hold.on, hold.reason) == ("agent:worker", "transient")
        assert "529 overloaded" in hold.missing
        tried = sum(sum(task.cursor.attempts.values()) for task in loop.live.tasks.values())
        assert 5 <= tried <= 7
        assert counts(loop) == {"queue": 12}
        hq.answers(GOOD)
        assert hq.ask(loop, "resume", name=name).ok
        settle(loop, lambda: not loop.live.tasks, seconds=60)


def test_a_half_open_circuit_is_probed_by_one_task_at_a_time_until_one_gets_through(tmp_path: Path) -> None:
    hq = down(tmp_path)
    with hq.daemon() as loop:
        name = opened(hq, loop)
        before = tried(loop)
        loop.live.probe_at[name] = datetime.now(UTC)
        settle(loop, lambda: tried(loop) > before and not loop.runner.running)
        for _ in range(5):
            loop.turn()
        assert tried(loop) == before + 1
        assert name in loop.live.holds
        assert loop.live.probe_at[name] > datetime.now(UTC) + timedelta(seconds=50)
        assert max(task.cursor.backoff for task in loop.live.tasks.values()) == 1, (
            "a refused probe is no try of its task"
        )
        hq.answers(GOOD)
        loop.live.probe_at[name] = datetime.now(UTC)
        settle(loop, lambda: not loop.live.tasks, seconds=60)
        assert not loop.live.holds


def tried(loop: Loop) -> int:
    return sum(sum(task.cursor.attempts.values()) for task in loop.live.tasks.values())


def paid(cost: float) -> dict[str, Any]:
    return {**GOOD, "usage": {"input_tokens": 10, "output_tokens": 10, "cost_usd": cost}}


def budgeted(tmp_path: Path, cap: float, concurrency: int = 1) -> Headquarters:
    hq = make(tmp_path, settings=SETTINGS + f"[limits]\nconcurrency = {concurrency}\ncost_usd_per_day = {cap}\n")
    hq.answers(paid(0.4))
    hq.commit()
    return hq


def test_the_days_budget_holds_the_hq_and_lifts_at_midnight_utc(tmp_path: Path) -> None:
    hq = budgeted(tmp_path, 1.0)
    drop_many(hq, 5)
    with hq.daemon() as loop:
        settle(loop, lambda: "day-budget" in loop.live.holds and not loop.runner.running)
        assert len(hq.folder("done")) == 3, "the third began with 0.20 left, the fourth not at all"
        hold = loop.live.holds["day-budget"]
        assert "limits.cost_usd_per_day" in hold.missing
        assert hold.probe is not None
        assert (hold.probe.hour, hold.probe.minute) == (0, 0)
        ahead = hold.probe - datetime.now(UTC)
        loop.parts = dataclasses.replace(loop.parts, clock=Later(ahead + timedelta(seconds=1)))
        settle(loop, lambda: not loop.live.tasks)
    assert len(hq.folder("done")) == 5


def test_a_raised_limit_lifts_the_days_budget_at_once(tmp_path: Path) -> None:
    hq = budgeted(tmp_path, 0.5)
    drop_many(hq, 3)
    with hq.daemon() as loop:
        settle(loop, lambda: "day-budget" in loop.live.holds and not loop.runner.running)
        hq.write("hqd.toml", (hq.root / "hqd.toml").read_text().replace("per_day = 0.5", "per_day = 5.0"))
        hq.git("commit", "-qm", "more money", "--", "hqd.toml")
        settle(loop, lambda: not loop.live.tasks)
        assert not loop.live.holds


def test_the_day_is_overspent_by_no_more_than_what_was_in_flight(tmp_path: Path) -> None:
    hq = budgeted(tmp_path, 0.5, concurrency=3)
    drop_many(hq, 9)
    with hq.daemon() as loop:
        settle(loop, lambda: "day-budget" in loop.live.holds and not loop.runner.running and loop.idle)
        assert loop.live.spent <= 0.5 + 3 * 0.4
        done = len(hq.folder("done"))
        assert done == round(loop.live.spent / 0.4)
        assert counts(loop) == {"queue": 9 - done}


def test_an_agent_that_hangs_is_ended_in_time_and_the_ladder_goes_on(tmp_path: Path) -> None:
    hangs = SETTINGS.replace(
        '[agents.worker]\nprovider = "replay"\nanswers = "answers.jsonl"',
        '[agents.worker]\nprovider = "command"\nargv = ["sleep", "600"]\ntimeout = "400ms"',
    )
    ladder = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, { agent = "strong" }, "human"]
"""
    hq = make(tmp_path, settings=hangs, general=ladder)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop, lambda: not loop.live.tasks and bool(hq.folder("done")))
    ends = [record for record in hq.records(hq.folder("done")[0][:-3]) if record.outcome]
    assert [(each.agent, each.failure and each.failure.value) for each in ends] == [
        ("worker", "timeout"),
        ("worker", "timeout"),
        ("strong", None),
    ]


def test_a_rejection_is_what_the_retry_is_told(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        assert hq.ask(loop, "reject", "piece", message="Too dry by half.").ok
        assert hq.ask(loop, "retry", "piece").ok
        settle(loop, lambda: only(loop).state.value == "review")
        task: Task = only(loop)
        prompt = [record.prompt for record in hq.records(task.id) if record.prompt][-1]
    assert "Too dry by half." in hq.git("show", f"main:{prompt}")
