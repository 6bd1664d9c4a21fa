"""hosts = "many": a claim exists once its push has won; nothing is done twice, and nothing is lost."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hqd.adapters.ledger.shared import SharedLedger
from hqd.core import decide
from hqd.daemon.loop import Loop
from hqd.model.record import EventKind
from hqd.model.task import State
from tests.daemon.headquarters import Headquarters, only, settle
from tests.daemon.origins import FAST, Scene, scene

MANY = FAST.replace("[hq]", '[hq]\nhosts = "many"')
SLOW = MANY.replace('answers = "answers.jsonl"', 'answers = "answers.jsonl"\ndelay = "150ms"', 1)


def second(found: Scene, name: str = "second") -> Headquarters:
    """Another host: a clone of its own."""
    hq = Headquarters(
        found.hq.root.parent / name, {**found.hq.env, "XDG_CACHE_HOME": str(found.hq.root.parent / f"{name}-cache")}
    )
    subprocess.run(["git", "clone", "-q", str(found.bare), str(hq.root)], check=True, env=hq.env)
    hq.git("config", "user.name", "Ada")
    hq.git("config", "user.email", "ada@example.org")
    return hq


def both(one: Loop, two: Loop, done: Callable[[], bool], seconds: float = 40.0) -> None:
    """Turns two loops in one thread until `done`; who has lost a race turns again at once, as alone."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for loop in (one, two):
            any(loop.turn() > 0 for _turn in range(4))
        if done():
            return
        time.sleep(0.005)
    raise AssertionError("not in time")


def ended(found: Scene) -> int:
    out = found.there("ls-tree", "-r", "--name-only", "main", "workspace/done/")
    return sum(line.endswith(".md") and not line.endswith(".result.md") for line in out.splitlines())


def attempts(found: Scene) -> Counter[tuple[str, ...]]:
    """(task, step, attempt) of every claim in origin's history."""
    form = "%(trailers:key=Hqd-Event,valueonly,separator=)|%(trailers:key=Hqd-Task,valueonly,separator=)"
    form += "|%(trailers:key=Hqd-Step,valueonly,separator=)|%(trailers:key=Hqd-Attempt,valueonly,separator=)"
    rows = [row.split("|") for row in found.there("log", f"--format={form}", "main").splitlines()]
    return Counter(tuple(row[1:]) for row in rows if row[0] == "claimed")


def test_two_hosts_share_the_work_and_do_nothing_twice(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW + "[limits]\nconcurrency = 1\n")
    for n in range(10):
        found.push(f"workspace/inbox/t{n}.md", f"# T{n}\n\nDo it.\n")
    other = second(found)
    with found.hq.daemon() as one, other.daemon() as two:
        both(one, two, lambda: ended(found) == 10)
        both(one, two, lambda: one.idle and two.idle and one.live.tip == two.live.tip)
        ledgers = [loop.parts.ledger for loop in (one, two)]
        assert all(isinstance(ledger, SharedLedger) and ledger.wins for ledger in ledgers), "both got their share"
    assert set(attempts(found).values()) == {1}
    assert len(attempts(found)) == 10
    assert found.there("rev-list", "--merges", "main") == ""
    assert found.hq.clean() == other.clean() == ""


def test_without_origin_nothing_is_claimed_and_results_wait_in_memory(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop)
        found.hq.drop("first.md")
        settle(loop, lambda: bool(loop.runner.running))
        found.shut(down=True)
        settle(loop, lambda: bool(loop.results))
        found.hq.drop("second.md")
        settle(loop, lambda: "origin" in loop.live.local_holds)
        main = found.hq.git("rev-parse", "main")
        for _turn in range(20):
            loop.turn()
        assert found.hq.git("rev-parse", "main") == main, "nothing is written"
        assert loop.results, "the result waits"
        assert len(loop.runner.running) == 1, "nothing else is begun"
        found.shut(down=False)
        found.hq.ask(loop, "sync")
        settle(loop, lambda: len(found.hq.folder("done")) == 2)
        assert "origin" not in loop.live.local_holds
    assert set(attempts(found).values()) == {1}


def test_a_lost_race_leaves_nothing_behind_and_is_decided_again(tmp_path: Path) -> None:
    found = scene(tmp_path, MANY)
    with found.hq.daemon() as loop:
        settle(loop)
        ledger = loop.parts.ledger
        assert isinstance(ledger, SharedLedger)
        remote, theirs = ledger._remote, list[str]()
        assert remote is not None
        push = remote.push

        def late(updates: object) -> object:
            if not theirs:
                theirs.append(found.push("docs/theirs.md", "first"))
            return push(updates)  # type: ignore[arg-type]

        remote.push = late  # type: ignore[method-assign, assignment]
        found.hq.drop("task.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        assert ledger.losses >= 1
        settle(loop, found.in_line)
    log = found.there("log", "--reverse", "--format=%s", f"{theirs[0]}^..main").splitlines()
    assert log[0] == "theirs"
    assert log[1].startswith("hqd: task: accepted")
    assert set(attempts(found).values()) == {1}


def test_a_dead_hosts_claim_expires_and_its_late_result_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "CLAIM_MARGIN", timedelta(seconds=1))
    slow = MANY.replace('answers = "answers.jsonl"', 'answers = "answers.jsonl"\ndelay = "4s"', 1)
    found = scene(tmp_path, slow + '[limits]\nattempt = "5s"\n')
    monkeypatch.setattr(decide, "attempt_seconds", lambda *_args: 0.5)
    other = second(found)
    with found.hq.daemon() as one, other.daemon() as two:
        found.hq.drop("task.md")
        settle(one, lambda: bool(one.runner.running))
        claimed = only(one)
        monkeypatch.undo()
        other.answers({"answer": "other good words"})
        settle(two, lambda: any(r.event is EventKind.FINISHED for r in other.records(claimed.id)))
        settle(one, lambda: bool(one.results) or not one.runner.running, seconds=15)
        both(one, two, lambda: ended(found) == 1)
    records = other.records(claimed.id)
    assert [r.outcome.value for r in records if r.outcome is not None] == ["interrupted", "passed"]
    assert set(attempts(found).values()) == {1}


def test_a_tasks_branch_is_there_for_the_other_host(tmp_path: Path) -> None:
    article = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "again"
agent = "worker"
deliver = "content/{{ task.slug }}-2.md"
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""
    found = scene(tmp_path, MANY, article=article)
    other = second(found)
    with found.hq.daemon() as one:
        found.hq.drop("piece.md", "---\ntags: [article]\n---\n# A piece\n\nWrite.\n")
        settle(one, lambda: any(task.cursor.head for task in one.live.tasks.values()))
        task = only(one)
    with other.daemon() as two:
        settle(two, lambda: bool(two.live.tasks) and only(two).state is State.REVIEW)
        here = only(two)
        assert other.git("rev-parse", f"hqd/{task.id}") == here.cursor.head
        names = other.git("ls-tree", "-r", "--name-only", f"hqd/{task.id}", "content/").splitlines()
        assert names == ["content/piece-2.md", "content/piece.md"]
        settle(two, lambda: found.there("rev-parse", f"refs/heads/hqd/{task.id}") == here.cursor.head)


def test_several_hosts_without_origin_are_refused_with_a_remedy(tmp_path: Path) -> None:
    found = scene(tmp_path, MANY)
    found.hq.git("remote", "remove", "origin")
    with pytest.raises(Exception, match="no remote named origin"), found.hq.daemon():
        pass
