"""`needs` between tasks, priority, dates and suspension, through the daemon."""

from __future__ import annotations

from pathlib import Path

from hqd.model.names import slug_of
from tests.daemon.headquarters import Headquarters, Loop, make, only, settle
from tests.daemon.test_flow_spawn import waits


def task_named(loop: Loop, slug: str):  # type: ignore[no-untyped-def]
    return next(task for task in loop.live.tasks.values() if slug_of(task.id) == slug)


def needing(*names: str) -> str:
    return f"---\nneeds: [{', '.join(names)}]\n---\n# Needy\n"


def order(hq: Headquarters, kind: str) -> list[str]:
    """Slugs in the order of their events of one kind."""
    subjects = hq.git(
        "log", "--reverse", "--format=%s%x09%(trailers:key=Hqd-Event,valueonly,separator=%x20)"
    ).splitlines()
    return [line.split(":")[1].strip() for line in subjects if line.endswith("\t" + kind)]


def test_a_task_waits_for_the_one_that_it_needs_and_goes_on_by_itself(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"slug": "first", "attempt": 1, "answer": "no"}, {"answer": "three good words"})
    hq.write("playbooks/general.toml", (hq.root / "playbooks/general.toml").read_text() + 'on_fail = ["human"]\n')
    hq.commit()
    hq.drop("after.md", needing("first"))
    hq.drop("first.md")
    with hq.daemon() as loop:
        settle(loop)
        after = task_named(loop, "after")
        assert after.state.value == "queue"
        assert waits(loop, after) == "needs first, which is in blocked/: gate_failed"
        assert hq.ask(loop, "retry", "first").ok
        settle(loop)
    assert order(hq, "done") == ["first", "after"]
    assert "hqd: after: accepted -> queue" in hq.git("log", "--format=%s")


def test_a_need_by_alias_slug_id_and_its_beginning(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("first.md", "---\naliases: [FRS-1]\n---\n# First\n")
    with hq.daemon() as loop:
        settle(loop)
        first = hq.folder("done")[0][:-3]
        for number, name in enumerate(["first", "FRS-1", first, first[:12]]):
            hq.drop(f"after-{number}.md", needing(name))
        settle(loop)
    assert len(hq.folder("done")) == 5


def test_a_task_that_ended_before_this_daemon_began_is_known(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("first.md", "---\naliases: [FRS-1]\n---\n# First\n")
    with hq.daemon() as loop:
        settle(loop)
    with hq.daemon() as loop:
        hq.drop("by-alias.md", needing("FRS-1"))
        hq.drop("by-slug.md", needing("first"))
        settle(loop)
    assert len(hq.folder("done")) == 3


def test_what_names_nothing_is_parked_with_near_names(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("report.md")
    with hq.daemon() as loop:
        settle(loop)
        hq.drop("after.md", needing("reprot"))
        settle(loop)
        task = only(loop)
    assert (task.state.value, task.cursor.reason.value) == ("blocked", "missing_need")
    assert "needs reprot, which is no task: did you mean report?" in task.cursor.missing


def test_a_dropped_need_parks(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"answer": "no"})
    hq.commit()
    hq.drop("first.md")
    with hq.daemon() as loop:
        settle(loop)
        hq.drop("after.md", needing("first"))
        settle(loop, lambda: len(loop.live.tasks) == 2)
        assert hq.ask(loop, "drop", "first").ok
        settle(loop)
        task = only(loop)
    assert task.cursor.reason.value == "missing_need"
    assert "which was dropped" in task.cursor.missing


def test_a_circle_is_parked_whole_and_named(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("one.md", needing("two"))
    hq.drop("two.md", needing("three"))
    hq.drop("three.md", needing("one"))
    hq.drop("self.md", needing("self"))
    hq.drop("beside.md", needing("one"))
    with hq.daemon() as loop:
        settle(loop)
        reasons = {
            slug_of(task.id): task.cursor.reason and task.cursor.reason.value for task in loop.live.tasks.values()
        }
        assert reasons == {**dict.fromkeys(("one", "two", "three", "self"), "missing_need"), "beside": None}
        assert task_named(loop, "one").cursor.missing == "needs go in a circle: one -> two -> three -> one"
        assert "in blocked/: missing_need" in waits(loop, task_named(loop, "beside"))


def test_one_need_that_fits_several_open_tasks_is_parked_with_their_ids(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("general/same.md", "---\nsuspend: true\n---\n# One\n")
    hq.drop("same.md", "---\nsuspend: true\n---\n# Two\n")
    hq.drop("after.md", needing("same"))
    with hq.daemon() as loop:
        settle(loop)
        assert "fits 2 tasks" in task_named(loop, "after").cursor.missing


def test_a_need_that_still_lies_in_the_inbox_is_waited_for(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("first.md", "---\ndraft: true\n---\n# Not yet\n")
    hq.drop("after.md", needing("first"))
    with hq.daemon() as loop:
        settle(loop)
        assert waits(loop, only(loop)) == "needs first, which is still in the inbox"
        hq.drop("first.md", "# Now\n")
        settle(loop, lambda: not loop.live.tasks)
    assert order(hq, "done") == ["first", "after"]


def test_mending_needs_in_the_file_and_a_retry_let_it_go(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("after.md", needing("nobody"))
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        hq.write(f"workspace/blocked/{task.id}.md", "# Needs nobody now\n")
        settle(loop, lambda: hq.events(task.id)[-1] == "edited")
        assert hq.ask(loop, "retry", task.id).ok
        settle(loop)
    assert hq.folder("done")


def test_higher_priority_goes_first(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text() + "[limits]\nconcurrency = 1\n")
    hq.commit()
    hq.write("workspace/PAUSED", "wait\n")
    for name, priority in (("low", -1), ("plain", 0), ("high", 5)):
        hq.drop(f"{name}.md", f"---\npriority: {priority}\n---\n# {name}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(loop.live.tasks) == 3)
        assert hq.ask(loop, "resume").ok
        settle(loop)
    assert order(hq, "claimed") == ["high", "plain", "low"]


def test_not_before_and_suspend_keep_a_task_in_the_queue(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("later.md", "---\nnot_before: 2999-01-01\n---\n# Later\n")
    hq.drop("never.md", "---\nsuspend: true\n---\n# Never\n")
    with hq.daemon() as loop:
        settle(loop)
        assert waits(loop, task_named(loop, "later")) == "not before 2999-01-01 00:00 UTC"
        assert "suspend: true" in waits(loop, task_named(loop, "never"))
        never = task_named(loop, "never").id
        hq.write(f"workspace/queue/{never}.md", "# Never\n")
        settle(loop, lambda: len(loop.live.tasks) == 1)
    assert [slug_of(name[:-3]) for name in hq.folder("done")] == ["never"]
