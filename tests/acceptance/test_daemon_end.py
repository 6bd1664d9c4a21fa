"""How the daemon ends: TERM, Ctrl-C, a second signal, and `kill -9` at random moments."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.oracle import judge
from tests.acceptance.processes import (
    ROOT,
    Daemon,
    attempts,
    drop,
    ended,
    in_state,
    places,
    run,
    start,
    stop,
    task_of,
    until,
)
from tests.daemon.headquarters import SETTINGS, Headquarters, make

SLOW = SETTINGS + '[agents.program]\nprovider = "command"\n' + (
    f"argv = [{sys.executable!r}, {str(ROOT / 'tests/programs/agent.py')!r}]\n"
)  # fmt: skip
PROGRAM = """
name = "program"
[[steps]]
name = "work"
agent = "program"
"""


def working(daemon: Daemon, count: int) -> None:
    """Waits until so many attempts are with their agents."""
    until(
        lambda: sum(row["doing"] not in ("waiting", "copy") for row in daemon.said().get("running", ())) == count,
        f"{count} agents at work",
    )


def dropped(hq: Headquarters, name: str, words: str) -> None:
    drop(hq, f"program/{name}.md", f"# {name}\n\n{words}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "Ctrl-C"])
def test_a_signal_lets_what_runs_end_records_the_rest_and_claims_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    hq = make(tmp_path, SLOW.replace('grace = "2s"', 'grace = "3s"'), program=PROGRAM)
    with run(hq) as daemon:
        dropped(hq, "long", "!say begun\n!sleep 120")
        dropped(hq, "short", "!sleep 1.5\n!say in time")
        working(daemon, 2)
        daemon.signal(number)
        until(lambda: daemon.said().get("state") == "stopping" or not daemon.alive, "it is stopping")
        dropped(hq, "late", "!say late")
        assert daemon.wait() == os.EX_OK, daemon.output()
    records = judge(hq, ["long", "short", *(["late"] if task_of(hq, "late") else [])], clean=False)
    by_slug = {task[9:-7]: story for task, story in records.items()}
    assert attempts(by_slug["short"]) == [("passed", None)]
    assert attempts(by_slug["long"]) == [("interrupted", "interrupted")]
    assert not [record for record in by_slug.get("late", []) if record.event.value == "claimed"]
    assert task_of(hq, "long")[0] == "queue"  # type: ignore[index]
    assert not _children_of(hq)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    hq = make(tmp_path, SLOW.replace('grace = "2s"', 'grace = "10m"'), program=PROGRAM)
    with run(hq) as daemon:
        dropped(hq, "long", "!sleep 600")
        working(daemon, 1)
        daemon.signal(signal.SIGTERM)
        until(lambda: daemon.said().get("state") == "stopping", "it is stopping")
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == os.EX_OK, daemon.output()
        assert time.monotonic() - began < 8
    (story,) = judge(hq, ["long"]).values()
    assert attempts(story) == [("interrupted", "interrupted")]


STEPS = """
name = "general"
[[steps]]
name = "shape"
gates = [{ kind = "non_empty", target = "task" }]
[[steps]]
name = "draft"
agent = "worker"
gates = [{ kind = "word_count", min = 3 }]
on_fail = [{ retry = 3 }, "human"]
[[steps]]
name = "polish"
agent = "strong"
"""
DELIVERED = """
name = "article"
accepts = { tags = ["article"] }
land = "auto"
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
"""


def crash_rounds(tmp_path: Path, seed: int, rounds: int) -> None:
    """Kills and restarts with the same command, `rounds` times; then lets it end, and judges."""
    chance = random.Random(seed)
    hq = make(tmp_path, SETTINGS, general=STEPS, article=DELIVERED)
    hq.answers(
        {"step": "draft", "attempt": 1, "answer": "short", "delay": "5ms"},
        {"step": "draft", "answer": "three good words", "delay": "15ms"},
        {"step": "polish", "answer": "polished words of it", "delay": "30ms"},
        {"answer": "a delivered piece of work", "delay": "10ms"},
    )
    hq.commit()
    journal: list[str] = []
    slowest = 0.0
    for each in range(rounds):
        daemon = start(hq)
        try:
            before = hq.git("rev-parse", "main")
            for number in range(chance.randint(1, 4)):
                name = f"r{each}-{number}"
                journal.append(name)
                drop(hq, f"{name}.md", TAGGED if chance.random() < 0.4 else "# A task\n\nDo it.\n")
            took = _first_commit(daemon, before)
            slowest = max(slowest, took)
            time.sleep(chance.uniform(0, 0.35))
            daemon.kill(group=chance.random() < 0.5)
        finally:
            stop(daemon)
    last = start(hq, until_idle=True)
    try:
        assert last.wait(120) == os.EX_OK, last.output()[-3000:]
    finally:
        stop(last)
    judge(hq, journal)
    assert ended(hq)
    assert {state for state, _task in places(hq)} == {"done"}
    assert slowest < 60, f"{slowest:.1f} s from the start to the first commit"


TAGGED = "---\ntags: [article]\n---\n# Piece\n\nWrite it.\n"


def _first_commit(daemon: Daemon, before: str) -> float:
    def moved() -> bool:
        assert daemon.alive, daemon.output()
        return _tip(daemon.hq) != before

    until(moved, "a first commit", 15, pace=0.005)
    return time.monotonic() - daemon.started


def _tip(hq: Headquarters) -> str:
    """main, read as cheaply as can be."""
    try:
        return (hq.root / ".git/refs/heads/main").read_text().strip()
    except FileNotFoundError:
        return hq.git("rev-parse", "main")


def test_kill_9_at_random_moments_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    crash_rounds(tmp_path, seed=1, rounds=10)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(2, 14))
def test_many_kill_9_at_random_moments(tmp_path: Path, seed: int) -> None:
    crash_rounds(tmp_path, seed, rounds=10)


def test_a_killed_daemons_agents_are_gone_after_the_restart(tmp_path: Path) -> None:
    """kill -9 of the daemon alone leaves its agent's process; the next daemon makes the attempt again, once."""
    hq = make(tmp_path, SLOW, program=PROGRAM)
    with run(hq) as daemon:
        dropped(hq, "long", "!sleep 3\n!say done")
        working(daemon, 1)
        daemon.kill()
    with run(hq) as daemon:
        in_state(hq, "long", "done", daemon=daemon)
    (story,) = judge(hq, ["long"]).values()
    assert attempts(story) == [("interrupted", "interrupted"), ("passed", None)]


def _children_of(hq: Headquarters) -> list[str]:
    """Processes that work in the folders of this HQ's copies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if where.startswith(str(hq.root.parent / "cache")):
                found.append(f"{entry.name} {where}")
    return found
