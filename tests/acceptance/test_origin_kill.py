"""Deciding again is one step: an hqd that is killed in the middle of it loses no result and repeats none."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

import pytest

from hqd.daemon.people import spool
from tests.acceptance.processes import Daemon, drop, run, until
from tests.daemon.headquarters import PERSON, SETTINGS
from tests.daemon.origins import Scene, scene

OFFLINE = SETTINGS.replace("[hq]", '[hq]\nfetch = "1h"\npush = "1h"')


def files(found: Scene, where: str) -> list[str]:
    listing = found.hq.git("ls-tree", "-r", "--name-only", where, "workspace/done/").splitlines()
    return sorted(line for line in listing if line.endswith(".md"))


def _done(found: Scene, tasks: int) -> bool:
    return len(found.hq.folder("done")) == tasks


def synced(found: Scene, daemon: Daemon) -> None:
    until(lambda: daemon.ask("sync").ok and found.in_line(), "main is in line with origin", 30)


@pytest.mark.parametrize("rounds", [pytest.param(2, id="short"), pytest.param(25, id="long", marks=pytest.mark.crash)])
def test_killed_while_main_is_decided_again(tmp_path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    found = scene(tmp_path, OFFLINE)
    for n in range(rounds):
        with run(found.hq) as daemon:
            synced(found, daemon)
            for k in range(3):
                drop(found.hq, f"r{n}-{k}.md")
            until(partial(_done, found, 3 * n + 3), "the tasks are done", 30)
            found.push(f"docs/{n}.md", f"{n}")
            before = files(found, "main")
            _ask_and_kill(daemon, rng.uniform(0.0, 0.4))
        assert files(found, "main") == before, "what was reported is there, whatever the moment"
        assert found.hq.git("fsck", "--strict", "--no-dangling") == ""
    with run(found.hq) as daemon:
        synced(found, daemon)
    assert len(found.hq.folder("done")) == 3 * rounds
    assert found.hq.git("rev-list", "--merges", "main") == ""
    assert found.hq.clean() == ""
    subjects = found.there("log", "--format=%s", "main").splitlines()
    assert sum(subject.endswith(" done -> done") for subject in subjects) == 3 * rounds, "nothing was written twice"
    assert sum("left out" in log.read_text() for log in tmp_path.glob("daemon-*.log")) == 0


def _ask_and_kill(daemon: Daemon, after: float) -> None:
    """Any moment will do: the kill is not waited for, it falls where it falls."""
    spool.send(daemon.hq.root / ".git/hqd", spool.Request(f"r{time.monotonic_ns()}", "sync", None, PERSON, {}))
    time.sleep(after)
    daemon.kill(group=True)
