"""hosts = "many" on one forge: everything on it is done once, and what a dead host leaves undone is done by another."""

from __future__ import annotations

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hqd.core import decide
from hqd.core.reviews.replies import Reply
from hqd.daemon.forge.asking import Want
from hqd.daemon.forge.watch import Watch
from hqd.daemon.loop import Loop
from hqd.model.task import State
from hqd.testing.forge_server import Seen
from tests.daemon.headquarters import Headquarters, only, settle
from tests.daemon.test_forge_hints import LATER, following, review
from tests.daemon.test_hosts_many import both
from tests.forge_hq import TASK, Forged, forged

PATH = "content/a.md"
FETCH = '[hq]\nhosts = "many"\nfetch = "200ms"\npush = "50ms"'


@contextmanager
def shared(root: Path, **keys: str) -> Iterator[tuple[Forged, Headquarters]]:
    """An HQ on a forge, and another host's clone of it. Gitea's adapter waits between no writes."""
    with forged(root, flavour="gitea", land="on_approval", **{"poll": '"300ms"', **keys}) as at:
        at.hq.write(
            "hqd.toml", (at.hq.root / "hqd.toml").read_text().replace("[hq]", FETCH) + "[lessons]\nrecord = false\n"
        )
        at.hq.answers({"attempt": 1, "answer": "three good words"}, {"answer": "three better words"})
        at.hq.commit()
        at.hq.git("push", "-q", "origin", "main")
        other = Headquarters(root / "second" / "hq", {**at.hq.env, "XDG_CACHE_HOME": str(root / "second-cache")})
        other.root.parent.mkdir()
        subprocess.run(["git", "clone", "-q", str(at.bare), str(other.root)], check=True, env=other.env)
        other.git("config", "user.name", "Bea")
        other.git("config", "user.email", "bea@example.org")
        yield at, other


def said(at: Forged) -> Counter[str]:
    """hqd's own comments, by their first line, which is the marker."""
    return Counter(each.body.splitlines()[0] for each in at.forge.comments if each.author == at.forge.me)


def once(at: Forged, task: str) -> None:
    """Nothing on the forge was done twice, and nothing on main."""
    assert list(at.forge.pulls) == [1]
    assert set(said(at).values()) == {1}
    assert at.server.done("POST", r"/pulls/1/merge$") <= 1
    form = "%(trailers:key=Hqd-Event,valueonly,separator=)|%(trailers:key=Hqd-Attempt,valueonly,separator=)|%s"
    rows = [row.split("|") for row in at.git("log", f"--format={form}", "main").splitlines() if task[9:-7] in row]
    once_each = [tuple(row) for row in rows if row[0] in ("claimed", "finished", "landed", "done")]
    assert len(set(once_each)) == len(once_each)


def in_review(loop: Loop, head: str | None = None) -> bool:
    tasks = list(loop.live.tasks.values())
    return bool(tasks) and tasks[0].state is State.REVIEW and tasks[0].cursor.head != head


def test_two_hosts_hear_answer_and_merge_one_review_once(tmp_path: Path) -> None:
    """`hint` is what a webhook comes to, here on the host that has not opened the review. Polls are an hour away."""
    with shared(tmp_path, poll='"1h"') as (at, other), at.hq.daemon() as one, other.daemon() as two:
        at.hq.drop("a.md", TASK)
        both(one, two, lambda: in_review(one) and in_review(two))
        task = only(one)
        opened = other.records(task.id)[-1].host
        elsewhere = one if two.parts.host == opened else two
        both(one, two, lambda: not one.outsides.busy and not two.outsides.busy)
        at.forge.on_line(1, "tim", PATH, 1, "Say better")
        at.forge.say(1, "And nicer", by="tim")
        hint(elsewhere)
        both(one, two, lambda: in_review(one, task.cursor.head) and in_review(two, task.cursor.head))
        assert [r.host for r in other.records(task.id) if r.event.value == "feedback"] == [elsewhere.parts.host]
        both(one, two, lambda: sum("hqd:answers:" in line for line in said(at)) == 1)
        at.forge.approve(1, "tim")
        hint(one)
        hint(two)
        both(one, two, lambda: not one.live.tasks and not two.live.tasks)
        both(one, two, lambda: not one.outsides.busy and not two.outsides.busy)
        once(at, task.id)
        assert at.pull.merged_by == at.forge.me
        assert at.git("for-each-ref", "refs/heads/hqd") == ""
        assert other.git("rev-parse", "main") == at.hq.git("rev-parse", "main")


def hint(loop: Loop) -> None:
    next(outside for outside in loop.parts.outsides if isinstance(outside, Watch)).hint(1)


def test_what_a_dead_host_has_left_to_do_on_the_forge_another_does(tmp_path: Path) -> None:
    """It dies after it has recorded the approval, before it merges; no other record ever comes of it."""
    with shared(tmp_path) as (at, other), other.daemon() as two:
        with at.hq.daemon() as one:
            at.hq.drop("a.md", TASK)
            settle(one, lambda: in_review(one))
            task = only(one)
            at.server.fail(method="POST", path="/merge", times=99, status=503)
            at.forge.approve(1, "tim")
            settle(one, lambda: other_events(at, task.id).count("feedback") == 1)
        at.server.failures.clear()
        settle(two, lambda: not two.live.tasks and at.pull.state == "closed")
        assert at.pull.merged_by == at.forge.me
        assert [r.host for r in other.records(task.id)][-1] == two.parts.host
        settle(two, lambda: at.git("for-each-ref", "refs/heads/hqd") == "")


def other_events(at: Forged, task: str) -> list[str]:
    form = "%(trailers:key=Hqd-Event,valueonly,separator=)"
    return at.git("log", f"--format={form}", "--grep", task, "main").split()


@pytest.mark.parametrize("moment", ["asked", "done"])
def test_a_host_that_hangs_in_the_middle_of_opening_is_relieved_and_opens_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its claim ends; the other host opens the review, or finds it open. Then the first one goes on where it was."""
    monkeypatch.setattr(decide, "CLAIM_MARGIN", timedelta(seconds=2))
    monkeypatch.setattr(decide, "attempt_seconds", lambda *_args: 1.0)
    hangs, go = threading.Event(), threading.Event()

    def at_request(when: str, seen: Seen) -> None:
        if seen.method == "POST" and seen.path.endswith("/pulls") and when == moment and not hangs.is_set():
            hangs.set()
            go.wait(20)

    with shared(tmp_path) as (at, other), other.daemon() as two:
        at.server.at = at_request
        with at.hq.daemon() as one:
            at.hq.drop("a.md", TASK)
            settle(one, hangs.is_set)
            task = only(one).id
            monkeypatch.undo()
            settle(two, lambda: in_review(two))
            go.set()
            settle(one, lambda: not one.runner.running and in_review(one))
            both(one, two, lambda: not one.outsides.busy and not two.outsides.busy)
            once(at, task)
            assert not at.pull.draft
        opened = [r for r in other.records(task) if r.event.value == "review_opened"]
        assert [r.host for r in opened] == [two.parts.host]


def test_of_another_hosts_task_nothing_is_looked_at_or_said_before_its_time() -> None:
    with following(1) as line:
        server: Any = line.server
        server.comment = lambda number, marker, body: server.asked.append(marker)
        want = Want("t1", 1, f"{1:040x}", 1, after=100.0, letters=(Reply("answers:1", "Answered"),))
        line.asker.want({1: want})
        assert line.round() == []
        assert not line.asker.unsaid
        line.server.reviews[1] = review(1, LATER)
        line.asker.hint()
        assert line.round() == ["list"]
        line.asker.hint(1)  # a webhook came here
        assert line.round() == ["#1"]
        line.server.reviews[1] = review(1, LATER + timedelta(seconds=5))
        line.asker.hint()
        assert line.round() == ["list"]
        line.clock += 101.0
        line.asker.hint()
        assert line.round() == ["list", "#1"]
        line.clock += 100.0
        line.asker.hint()
        assert line.round()[:2] == ["list", "answers:1"]
