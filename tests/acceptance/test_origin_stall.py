"""A remote that takes a call and then says nothing: people are told, and hqd ends when it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.processes import Daemon, drop, environment, run, until
from tests.daemon.headquarters import SETTINGS, Headquarters, make

FAST = SETTINGS.replace("[hq]", '[hq]\nhosts = "HOSTS"\nfetch = "300ms"\npush = "50ms"')


def hanging(root: Path, verb: str, hosts: str) -> tuple[Headquarters, Path]:
    """An HQ whose origin hangs at `verb` once the file that is given back beside it exists; ssh's part is a program."""
    hq, bare, hangs = make(root, FAST.replace("HOSTS", hosts)), root / "origin.git", root / "hangs"
    hq.git("init", "-q", "--bare", "-b", "main", str(bare))
    hq.git("push", "-q", str(bare), "main")
    hq.git("remote", "add", "origin", f"person@host:{bare}")
    service = {"fetch": "git-upload-pack", "push": "git-receive-pack"}[verb]
    stuck = f'[ -e {hangs} ] && case "$*" in *{service}*) echo $$ >{hangs}; exec sleep 600;; esac'
    program = root / "ssh-like"
    program.write_text(f'#!/bin/sh\n{stuck}\neval "$2"\n')
    program.chmod(0o755)
    hq.env |= {"GIT_SSH": str(program), "GIT_SSH_VARIANT": "simple"}
    return hq, hangs


def stuck(hq: Headquarters, hangs: Path, daemon: Daemon) -> int:
    """The process that hangs, once there is one."""
    until(lambda: daemon.said().get("state") == "running", "it runs")
    hangs.touch()
    drop(hq, "task.md")
    return int(until(lambda: hangs.read_text().strip(), "a call hangs"))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(("verb", "hosts"), [("fetch", "one"), ("push", "many")])
def test_told_to_end_while_a_call_hangs_it_ends_within_seconds(tmp_path: Path, verb: str, hosts: str) -> None:
    """With several hosts the loop itself waits for a push, and says so meanwhile."""
    hq, hangs = hanging(tmp_path, verb, hosts)
    with run(hq) as daemon:
        pid = stuck(hq, hangs, daemon)
        if hosts == "many":
            until(lambda: daemon.said().get("busy") == "slow_origin", "it says what it waits for")
            assert "origin has not answered a push for" in status(hq)
            assert "nothing is written until it does" in daemon.output()
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert time.monotonic() - began < 8.5
        until(lambda: gone(pid), "what it started has ended too")


def status(hq: Headquarters) -> str:
    words = [sys.executable, "-m", "hqd", "--hq", str(hq.root), "status"]
    done = subprocess.run(words, env=environment(hq), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
