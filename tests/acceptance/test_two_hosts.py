"""Two real daemons on one bare remote, hosts = "many": no attempt is run twice, none is lost, whoever is killed."""

from __future__ import annotations

import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.processes import Daemon, run, until
from tests.daemon.headquarters import Headquarters
from tests.daemon.origins import Scene, scene
from tests.daemon.test_hosts_many import attempts, ended, second

SETTINGS = """
format = 1
[hq]
hosts = "many"
fetch = "300ms"
push = "100ms"
rescan = "1s"
grace = "2s"
[limits]
concurrency = 2
crashes = 1000
deaths = 1000
[agents.worker]
provider = "command"
argv = ["{python}", "{program}"]
env = {{ LOG = "{log}" }}
"""
PROGRAM = """
import os, sys, time
sys.stdin.read()
words = " ".join(os.environ[name] for name in ("HQD_TASK", "HQD_STEP", "HQD_ATTEMPT"))
log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
os.write(log, (words + "\\n").encode())
time.sleep(0.15)
print("three good words")
"""


def prepared(root: Path, tasks: int) -> tuple[Scene, Headquarters, Path]:
    root.mkdir(exist_ok=True)
    program, log = root / "agent.py", root / "attempts.log"
    program.write_text(PROGRAM)
    log.touch()
    found = scene(root, SETTINGS.format(python=sys.executable, program=program, log=log))
    for n in range(tasks):
        found.other.write(f"workspace/inbox/t{n:02}.md", f"# T{n}\n\nDo it.\n")
    found.other.commit("tasks")
    found.other.git("push", "-q", "origin", "main")
    return found, second(found), log


def judge(found: Scene, log: Path, tasks: int) -> None:
    """Every attempt that ran was claimed, and none ran twice; every claim has exactly one end; every task is done."""
    ran = Counter(tuple(line.split()) for line in log.read_text().splitlines())
    assert {key: count for key, count in ran.items() if count > 1} == {}, "an attempt was run twice"
    claims = attempts(found)
    assert set(claims.values()) == {1}
    assert set(ran) <= set(claims), "an attempt ran without a claim"
    form = "%(trailers:key=Hqd-Event,valueonly,separator=)|%(trailers:key=Hqd-Task,valueonly,separator=)"
    form += "|%(trailers:key=Hqd-Step,valueonly,separator=)|%(trailers:key=Hqd-Attempt,valueonly,separator=)"
    rows = [row.split("|") for row in found.there("log", f"--format={form}", "main").splitlines()]
    assert Counter(tuple(row[1:]) for row in rows if row[0] == "finished") == claims
    assert ended(found) == tasks
    assert len({key[0] for key in claims}) == tasks, "a task was taken in twice"
    assert found.there("fsck", "--strict", "--no-dangling") == ""
    assert found.there("rev-list", "--merges", "main") == ""


def done(found: Scene, tasks: int, *daemons: Daemon) -> bool:
    for daemon in daemons:
        assert daemon.alive, daemon.output()
    return ended(found) == tasks


def test_two_daemons_share_the_work_and_one_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    found, other, log = prepared(tmp_path / "a", 8)
    with run(found.hq) as one:
        with run(other) as two:
            until(lambda: len(log.read_text().splitlines()) >= 3, "both are at work", 30)
            two.kill(group=True)
        with run(other) as two:
            until(lambda: done(found, 8, one, two), "all tasks are done", 60)
    judge(found, log, 8)
    assert found.hq.clean() == ""


def _worked(found: Scene, log: Path, share: int) -> bool:
    return len(log.read_text().splitlines()) >= share or ended(found) == 30


@pytest.mark.crash
def test_two_daemons_killed_again_and_again(tmp_path: Path) -> None:
    rng = random.Random(11)
    found, other, log = prepared(tmp_path / "a", 30)
    places = [found.hq, other]
    for _round in range(14):
        with run(places[0]) as one, run(places[1]) as two:
            before = len(log.read_text().splitlines())
            victim = rng.choice((one, two))
            share = before + rng.randint(1, 4)
            until(partial(_worked, found, log, share), "work", 60)
            victim.kill(group=rng.random() < 0.7)
    with run(found.hq) as one, run(other) as two:
        until(lambda: done(found, 30, one, two), "all tasks are done", 120)
    judge(found, log, 30)
