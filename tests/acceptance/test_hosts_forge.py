"""Two real hosts on one remote and one fake GitHub: each review is opened, heard and merged once, whoever is killed."""

from __future__ import annotations

import subprocess
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from hqd.testing.forge_server import TOKEN
from tests.acceptance.processes import ROOT, Daemon, in_state, start, stop, until
from tests.acceptance.test_forge_crash import Killer, checked, opened
from tests.daemon.headquarters import Headquarters
from tests.forge_hq import TASK, Forged, forged

SHORT = """
from datetime import timedelta
from hqd.core import decide
decide.CLAIM_MARGIN = timedelta(seconds=2)
"""
"""What every python of these hosts begins with: else a dead host's claim stands for five minutes longer."""
MANY = '[hq]\nhosts = "many"\nfetch = "300ms"\npush = "100ms"'


def two_hosts(at: Forged, *tasks: str) -> list[Headquarters]:
    settings = (at.hq.root / "hqd.toml").read_text().replace("[hq]", MANY)
    limits = '[limits]\ndeaths = 1000\nattempt = "6s"\n[lessons]\nrecord = false\n'
    at.hq.write("hqd.toml", f"{settings}{limits}")
    for name in tasks:
        at.hq.write(f"workspace/inbox/{name}.md", TASK)
    at.hq.commit()
    at.hq.git("push", "-q", "origin", "main")
    root = at.hq.root.parent / "second"
    other = Headquarters(root / "hq", {**at.hq.env, "XDG_CACHE_HOME": str(root / "cache")})
    root.mkdir()
    subprocess.run(["git", "clone", "-q", str(at.bare), str(other.root)], check=True, env=other.env)
    return [at.hq, other]


def begun(hq: Headquarters) -> Daemon:
    short = hq.root.parent / "short"
    short.mkdir(exist_ok=True)
    (short / "sitecustomize.py").write_text(SHORT)
    return start(hq, HQD_SECRET_FORGE=TOKEN, PYTHONPATH=f"{short}:{ROOT}")


def ended(daemon: Daemon) -> bool:
    return not daemon.alive


def test_two_hosts_open_hear_and_merge_each_review_once(tmp_path: Path) -> None:
    with forged(tmp_path, land="on_approval", style="squash") as at:
        hosts = two_hosts(at, "a", "b")
        daemons = [begun(hq) for hq in hosts]
        try:
            tasks = [in_state(hosts[0], name, "review", seconds=60, daemon=daemons[0]) for name in ("a", "b")]
            until(lambda: len(at.forge.pulls) == 2 and not any(pull.draft for pull in at.forge.pulls.values()), "ready")
            for number in at.forge.pulls:
                at.forge.say(number, "/hqd why", by="tim")
                at.forge.approve(number, "tim")
            for hq, daemon in zip(hosts, daemons, strict=True):
                for name in ("a", "b"):
                    in_state(hq, name, "done", seconds=60, daemon=daemon)
        finally:
            for daemon in daemons:
                stop(daemon)
        assert sorted(pull.branch for pull in at.forge.pulls.values()) == sorted(f"hqd/{task}" for task in tasks)
        assert at.server.done("PUT", "/merge$") == 2
        said = Counter(
            (each.number, each.body.splitlines()[0]) for each in at.forge.comments if each.author == at.forge.me
        )
        assert set(said.values()) == {1}
        for task in tasks:
            events = [f"{record.event.value} {record.step}" for record in hosts[1].records(task)]
            assert len(set(events)) == len(events), events


@pytest.mark.crash
def test_hosts_that_are_killed_in_turn_relieve_each_other_and_the_forge_sees_one_review(tmp_path: Path) -> None:
    """Before the pull request is there, after it is there and before hqd knows, and in the middle of the rest."""
    with forged(tmp_path, land="on_approval", style="squash") as at:
        hosts, killer = two_hosts(at, "a"), Killer()
        at.server.at = killer.at
        for turn, moment in enumerate([4, 5, 8, 12]):
            daemon = begun(hosts[turn % 2])
            killer.aim(daemon, moment)
            until(partial(ended, daemon), f"killed at moment {moment}", 60)
            checked(at)
        alive = [begun(hq) for hq in hosts]
        killer.aim(alive[0], -1)
        try:
            task = in_state(hosts[0], "a", "review", seconds=60, daemon=alive[0])
            until(lambda: not at.pull.draft, "it is ready", 30)
            opened(at, task)
            at.forge.approve(1, "tim")
            in_state(hosts[0], "a", "done", seconds=60, daemon=alive[0])
            in_state(hosts[1], "a", "done", seconds=60, daemon=alive[1])
        finally:
            for daemon in alive:
                stop(daemon)
        assert at.server.done("PUT", r"/pulls/1/merge$") == 1
        records = hosts[0].records(task)
        died = [r.host for r in records if r.outcome is not None and r.outcome.value == "interrupted"]
        claimed = [r.host for r in records if r.event.value == "claimed" and r.step == "approve"]
        assert len(died) >= 3
        assert len(set(claimed)) == 2
        assert set(Counter((r.step, r.attempt) for r in records if r.event.value == "claimed").values()) == {1}
