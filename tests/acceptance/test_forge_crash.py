"""kill -9 while a review is being opened on a forge: one pull request, one comment, no task lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest

from hqd.testing.forge_server import TOKEN, Seen
from tests.acceptance.processes import Daemon, drop, in_state, start, stop, until
from tests.forge_hq import TASK, Forged, forged

HOOK = """#!/bin/sh
if [ -f {victim} ]; then
    victim=$(cat {victim})
    rm {victim}
    kill -9 "$victim"
fi
"""


class Killer:
    """Kills the daemon that runs now at one moment of the requests that it makes: 2 moments a request."""

    def __init__(self) -> None:
        self.victim: Daemon | None = None
        self.moment = -1
        self.seen = 0
        self._lock = threading.Lock()

    def aim(self, victim: Daemon, moment: int) -> None:
        with self._lock:
            self.victim, self.moment, self.seen = victim, moment, 0

    def at(self, _kind: str, seen: Seen) -> None:
        if "state=open" in seen.path and "head=" not in seen.path:
            return  # the looks of the other threads
        with self._lock:
            hit = self.seen == self.moment
            self.seen += 1
            victim = self.victim
        if hit and victim is not None:
            os.kill(victim.pid, signal.SIGKILL)
            victim.process.wait(timeout=20)


def checked(at: Forged) -> None:
    """What holds at every moment."""
    assert len(at.forge.pulls) <= 1
    assert len([said for said in at.forge.comments if said.body.startswith("<!-- hqd:2")]) <= 1


def opened(at: Forged, task: str) -> None:
    assert len(at.forge.pulls) == 1
    assert (at.pull.draft, at.pull.labels, at.pull.reviewers) == (False, ["hqd", "article"], ["tim"])
    assert at.git("rev-parse", f"hqd/{task}") == at.pull.head
    assert [each.name for each in at.forge.checks(at.pull.head)] == ["hqd/word_count"]
    assert len([said for said in at.forge.comments if said.body.startswith(f"<!-- hqd:{task} -->")]) == 1


def _dead(daemon: Daemon) -> bool:
    return not daemon.alive


def killed_in_a_row(at: Forged, moments: list[int]) -> None:
    """One daemon after the other, each killed at the next moment; the last one lives."""
    killer = Killer()
    at.server.at = killer.at
    at.hq.write("hqd.toml", (at.hq.root / "hqd.toml").read_text() + "[limits]\ndeaths = 1000\n")
    at.hq.commit()
    slug = drop(at.hq, "a.md", TASK)
    for moment in moments:
        daemon = start(at.hq, HQD_SECRET_FORGE=TOKEN)
        killer.aim(daemon, moment)
        until(partial(_dead, daemon), f"killed at moment {moment}", 30)
        checked(at)
    last = start(at.hq, HQD_SECRET_FORGE=TOKEN)
    killer.aim(last, -1)
    try:
        opened(at, in_state(at.hq, slug, "review", daemon=last))
    finally:
        stop(last)


def test_killed_around_the_creation_and_before_the_end(tmp_path: Path) -> None:
    """Before the pull request is there, after it is there and before hqd knows, and at the last request."""
    with forged(tmp_path) as at:
        killed_in_a_row(at, [2, 3, 4, 14])
    grep = subprocess.run(["grep", "-rlaF", TOKEN, str(tmp_path)], capture_output=True, text=True, check=False)
    assert grep.stdout == ""  # no log line, no record, no file of hqd's holds the token


@pytest.mark.crash
def test_killed_at_every_request_of_an_opening(tmp_path: Path) -> None:
    """Every request, before the forge has done it and after."""
    with forged(tmp_path) as at:
        killed_in_a_row(at, list(range(24)))


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_killed_while_the_branch_is_pushed(tmp_path: Path, hook: str) -> None:
    """Before the branch is there, and after: it is pushed again, or found."""
    with forged(tmp_path) as at:
        victim, script = tmp_path / "victim", at.bare / "hooks" / hook
        script.parent.mkdir(exist_ok=True)
        script.write_text(HOOK.format(victim=victim))
        script.chmod(0o755)
        slug = drop(at.hq, "a.md", TASK)
        daemon = start(at.hq, HQD_SECRET_FORGE=TOKEN)
        victim.write_text(str(daemon.pid))
        until(lambda: not daemon.alive, "killed at the push", 30)
        last = start(at.hq, HQD_SECRET_FORGE=TOKEN)
        try:
            opened(at, in_state(at.hq, slug, "review", daemon=last))
        finally:
            stop(last)


@pytest.mark.crash
def test_killed_while_it_opens_and_merges_what_nobody_is_asked_for(tmp_path: Path) -> None:
    """Around the creation and around the merge: one pull request, merged once, and nobody was asked."""
    with forged(tmp_path) as at:
        playbook = at.hq.root / "playbooks/article.toml"
        playbook.write_text(playbook.read_text().replace('land = "on_merge"', 'land = "on_merge", sample = 0.000001'))
        at.hq.write("hqd.toml", (at.hq.root / "hqd.toml").read_text() + "[limits]\ndeaths = 1000\n")
        at.hq.commit("a share of reviews")
        at.hq.git("push", "-q", "origin", "main")
        slug = drop(at.hq, "a.md", TASK)
        left = [("POST", "/pulls", kind) for kind in ("asked", "done")]
        left += [("PUT", "/merge", kind) for kind in ("asked", "done")]
        victim: list[Daemon] = []

        def kill(kind: str, seen: Seen) -> None:
            if left and victim and (seen.method, kind) == (left[0][0], left[0][2]) and seen.path.endswith(left[0][1]):
                left.pop(0)
                os.kill(victim[0].pid, signal.SIGKILL)
                victim[0].process.wait(timeout=20)

        at.server.at = kill
        for _kill in range(4):
            victim[:] = [start(at.hq, HQD_SECRET_FORGE=TOKEN)]
            until(partial(_dead, victim[0]), f"killed before {left}", 60)
            checked(at)
        last = start(at.hq, HQD_SECRET_FORGE=TOKEN)
        try:
            in_state(at.hq, slug, "done", daemon=last)
        finally:
            stop(last)
        assert (at.pull.merged_by, at.pull.reviewers) == ("hqd-bot", [])
        assert at.hq.git("log", "--format=%H", "--grep=^Merge hqd/", "main").count("\n") == 0
