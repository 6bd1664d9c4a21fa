"""Limits on how many run at once and how many begin in a minute, through the daemon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.daemon.headquarters import SETTINGS, make, settle
from tests.daemon.test_flow_schedule import Clock

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_an_agents_rate_is_kept_and_idle_waits_for_it(tmp_path: Path) -> None:
    rated = SETTINGS.replace("[agents.worker]", "[agents.worker]\nrequests_per_minute = 2")
    hq, clock = make(tmp_path, settings=rated), Clock(NOON)
    for number in range(3):
        hq.drop(f"task-{number}.md")
    with hq.daemon() as loop:
        loop.parts = replace(loop.parts, clock=clock)
        settle(loop, lambda: len(hq.folder("done")) == 2)
        for _turn in range(3):
            wait = loop.turn()
            assert not loop.idle
        assert 0 < wait <= 10
        clock.at = NOON + timedelta(seconds=59)
        loop.turn()
        assert len(loop.live.tasks) == 1
        clock.at = NOON + timedelta(seconds=60)
        settle(loop)
    assert len(hq.folder("done")) == 3


def test_a_restart_does_not_forget_the_last_minute(tmp_path: Path) -> None:
    rated = SETTINGS.replace("[agents.worker]", "[agents.worker]\nrequests_per_minute = 1")
    hq, clock = make(tmp_path, settings=rated), Clock(NOON)
    hq.answers({"answer": "three good words", "delay": "20s"})
    hq.commit()
    hq.drop("one.md")
    with hq.daemon() as loop:
        loop.parts = replace(loop.parts, clock=clock)
        settle(loop, lambda: bool(loop.runner.running))
    hq.drop("two.md")
    with hq.daemon() as loop:
        loop.parts = replace(loop.parts, clock=clock)
        for _turn in range(5):
            loop.turn()
        assert not loop.runner.running
        clock.at = NOON + timedelta(minutes=1, seconds=1)
        settle(loop, lambda: len(loop.runner.running) == 1)


def test_a_group_runs_one_at_a_time(tmp_path: Path) -> None:
    grouped = """
name = "general"
concurrency = { group = "{{ inputs.site | default('none') }}", max = 1 }
[[steps]]
name = "work"
agent = "worker"
"""
    hq = make(tmp_path, general=grouped)
    hq.answers({"answer": "three good words", "delay": "20s"})
    hq.commit()
    for number, site in enumerate(["a", "a", "b"]):
        hq.drop(f"task-{number}.md", f"---\ninputs: {{site: {site}}}\n---\n# {site}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(loop.runner.running) == 2)
        loop.turn()
        assert sorted(loop.runner.groups().items()) == [("a", 1), ("b", 1)]
