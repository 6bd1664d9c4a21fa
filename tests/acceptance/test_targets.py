"""Work on a target repository with the real process: the road, kill -9 in the middle of a landing, no daemon at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance.oracle import judge
from tests.acceptance.processes import drop, environment, in_state, run, start, stop, until
from tests.daemon.target_repository import GREEN, TASK, shop


def test_a_red_test_is_mended_in_its_repository_while_people_work_there(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    with run(hq) as daemon:
        drop(hq, "mend.md", TASK)
        task = in_state(hq, "mend", "review", daemon=daemon)
        site.pull()
        site.commit({"other.py": "x = 1\n"}, "Beside it")
        assert site.show("calc.py", f"hqd/{task}") == GREEN.strip()
        reply = daemon.ask("approve", "mend")
        assert reply.ok, reply
        in_state(hq, "mend", "done", daemon=daemon)
    records = judge(hq, ["mend"])[task]
    assert [record.event.value for record in records][-3:] == ["review_opened", "landed", "done"]
    assert (site.show("calc.py"), site.show("other.py")) == (GREEN.strip(), "x = 1")


def test_a_landing_that_kill_9_cuts_off_is_found_and_not_made_twice(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    begun = tmp_path / "begun"
    with run(hq) as daemon:
        drop(hq, "mend.md", TASK)
        task = in_state(hq, "mend", "review", daemon=daemon)
        hook = site.remote / "hooks" / "post-receive"
        hook.write_text(f"#!/bin/sh\ntouch {begun}\nsleep 3\n")
        hook.chmod(0o755)
        words = [sys.executable, "-m", "hqd", "--hq", str(hq.root), "approve", task]
        with subprocess.Popen(
            words, env=environment(hq), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as approving:
            until(begun.exists, "the push has arrived")
            daemon.kill(group=True)
            approving.kill()
        hook.unlink()
        landed = site.tip()
        assert site.show("calc.py") == GREEN.strip()
    again = start(hq)
    try:
        in_state(hq, "mend", "done", daemon=again.ready())
    finally:
        stop(again)
    assert site.tip() == landed
    events = [record.event.value for record in judge(hq, ["mend"])[task]]
    assert events.count("landed") == 1


def test_approve_lands_without_a_daemon_too(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    with run(hq) as daemon:
        drop(hq, "mend.md", TASK)
        task = in_state(hq, "mend", "review", daemon=daemon)
    done = subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", str(hq.root), "approve", task],
        env=environment(hq),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "landed as" in done.stdout
    assert site.show("calc.py") == GREEN.strip()
