"""Failures become recorded lessons: by whom, with which evidence, each once, never in a flood."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.codec.config import read_lessons
from hqd.daemon.loop import Loop
from hqd.model.failure import ParkReason
from hqd.model.lesson import Lesson, LessonStatus
from tests.daemon.headquarters import REVIEWED, SETTINGS, Headquarters, make, only, settle
from tests.daemon.target_repository import TASK as FIX_TASK
from tests.daemon.target_repository import shop
from tests.daemon.test_decisions import LAX, PICKED, SETTLES

BAD, GOOD = "Get your money back at once, dear people.", "Write to us, dear people, and we will see."


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    return make(tmp_path, SETTINGS.replace('settle = "150ms"', 'settle = "100ms"'))


def lessons(loop: Loop) -> dict[str, Lesson]:
    return read_lessons(loop.parts.ledger.snapshot())[0]


def in_review(hq: Headquarters, loop: Loop, name: str) -> None:
    hq.drop(f"{name}.md", "---\nplaybook: article\n---\n# About us\n")
    settle(loop, lambda: any(task.state.value == "review" for task in loop.live.tasks.values()))


def test_a_rejected_output_that_the_gates_had_passed_is_recorded_with_its_correction_and_cost(hq: Headquarters) -> None:
    hq.answers(
        {"attempt": 1, "text": BAD, "usage": {"cost_usd": 0.25}},
        {"attempt": 2, "text": GOOD, "usage": {"cost_usd": 0.5}},
    )
    with hq.daemon() as loop:
        in_review(hq, loop, "about")
        task = only(loop)
        bad = task.cursor.outputs["write"]
        hq.ask(loop, "request-changes", task.id, message="Do not promise 100 % money back")
        settle(loop, lambda: only(loop).cursor.attempts.get("write") == 2 and only(loop).state.value == "review")
        ((path, lesson),) = lessons(loop).items()
        assert lesson.status is LessonStatus.RECORDED
        assert (lesson.class_, lesson.born_at, lesson.caught_at) == ("wrong_acceptance", "write", "approve")
        assert lesson.scope.playbooks == ("article",)
        assert [(each.task, each.path, each.blob) for each in lesson.evidence] == [(task.id, bad.path, bad.blob)]
        assert "> Do not promise 100 % money back" in lesson.account
        assert path.startswith(f"lessons/{lesson.id}-")
        hq.ask(loop, "approve", task.id)
        settle(loop, lambda: bool(lessons(loop)[path].evidence[0].corrected_blob))
        after = lessons(loop)[path]
        assert hq.git("cat-file", "blob", after.evidence[0].corrected_blob or "") == GOOD
        assert after.rework_usd == 0.5
        settle(loop)
    assert hq.clean() == ""
    assert hq.git("status", "--porcelain", "--", "lessons") == ""
    assert f"Hqd-Lesson: {lesson.id}" in hq.git("log", "--format=%B", "-3")


def test_the_same_words_on_another_task_are_one_more_case_of_the_one_open_recording(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        for name in ("one", "two"):
            in_review(hq, loop, name)
            hq.ask(loop, "reject", only(loop).id, message="It promises money back")
            settle(loop)
            hq.ask(loop, "drop", only(loop).id)
            settle(loop)
        (lesson,) = lessons(loop).values()
        assert len({each.task for each in lesson.evidence}) == 2


def test_a_crash_before_the_recording_is_made_good_once_and_a_restart_records_nothing_twice(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        hq.ask(loop, "reject", only(loop).id, message="No")  # the daemon ends in the very turn of the word
        assert lessons(loop) == {}
    with hq.daemon() as loop:
        settle(loop)
        (lesson,) = lessons(loop).values()
        assert len(lesson.evidence) == 1
    (hq.root / ".git/hqd/taught.json").unlink()
    tip = hq.git("rev-parse", "main")
    with hq.daemon() as loop:
        settle(loop)
    assert hq.git("rev-parse", "main") == tip


def test_an_exhausted_ladder_and_the_same_finding_on_two_tasks_are_recorded_one_task_is_not(tmp_path: Path) -> None:
    strict = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, "human"]
gates = [{ kind = "must_not_include", values = ["TODO"] }, { kind = "word_count", not = true, min = 2, max = 2 }]
"""
    hq = make(tmp_path, general=strict)
    hq.answers(
        {"slug": "once", "attempt": 1, "text": "this has a TODO"},
        {"slug": "again", "attempt": 1, "text": "that has a TODO"},
        {"slug": "never", "text": "it all has a TODO"},
        {"slug": "dull", "text": "one two"},
        {"text": "all is well"},
    )
    with hq.daemon() as loop:
        hq.drop("once.md")
        settle(loop)
        assert lessons(loop) == {}
        hq.drop("again.md")
        settle(loop)
        (lesson,) = lessons(loop).values()
        assert lesson.class_ == "repeated_finding"
        assert sorted(each.task.split("-")[1] for each in lesson.evidence if each.task) == ["again", "once"]
        hq.drop("never.md")  # every rung is tried, for the same finding: one more case of it
        hq.drop("dull.md")
        settle(loop)
        found = {each.class_: each for each in lessons(loop).values()}
        assert set(found) == {"repeated_finding", "ladder_exhausted"}
        assert len({each.task for each in found["repeated_finding"].evidence}) == 3
        assert found["ladder_exhausted"].evidence[0].blob is not None
        assert "dull" in (found["ladder_exhausted"].evidence[0].task or "")


def test_what_a_decision_stopped_on_many_tasks_is_recorded_as_no_lesson(tmp_path: Path) -> None:
    hq = make(tmp_path, settings=PICKED, general=LAX)
    hq.answers(
        {"answer": SETTLES, "match": "three"},
        {"answer": "It is 300 feet long.", "match": "four"},
        {"answer": "It is 20 feet long.", "match": "five"},
        {"answer": "Short.", "match": "six"},
    )
    hq.commit()
    with hq.daemon() as loop:
        hq.drop("three.md")
        settle(loop)
        for name in ("four", "five"):
            hq.drop(f"{name}.md")
            settle(loop)
        failed = {
            name for task in loop.live.tasks.values() for trial in task.cursor.trials["work"] for name in trial.failed
        }
        assert [name.partition(":")[0] for name in failed] == ["decision"]
        assert lessons(loop) == {}
        hq.drop("six.md")  # another gate at the same step teaches as ever
        settle(loop)
        assert [each.class_ for each in lessons(loop).values()] == ["ladder_exhausted"]


def test_nothing_is_written_down_of_an_audited_output_before_a_person_has_judged_it(tmp_path: Path) -> None:
    """It would tell him what the gates said; and of what he would accept, there is nothing to learn."""
    strict = """
name = "general"
audit = 1.0
[[steps]]
name = "work"
agent = "worker"
on_fail = ["human"]
gates = [{ kind = "must_not_include", values = ["TODO"] }]
"""
    hq = make(tmp_path, general=strict)
    hq.answers({"text": "it has a TODO in it"})
    with hq.daemon() as loop:
        for name in ("one", "two"):
            hq.drop(f"{name}.md")
        settle(loop, lambda: len(hq.folder("review")) == 2)
        settle(loop)
        assert lessons(loop) == {}
        assert hq.ask(loop, "approve", "one").ok
        settle(loop, lambda: len(hq.folder("blocked")) == 1)
        settle(loop)
        assert lessons(loop) == {}
    with hq.daemon() as loop:
        settle(loop)
        assert lessons(loop) == {}, "after a restart neither"
        assert hq.ask(loop, "reject", "two", message="unfinished").ok
        settle(loop, lambda: bool(lessons(loop)))
        (lesson,) = lessons(loop).values()
        assert [(each.task or "").split("-")[1] for each in lesson.evidence] == ["two"]


def test_a_revert_of_landed_work_is_recorded(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        task = only(loop)
        hq.ask(loop, "approve", task.id)
        settle(loop)
        landing = hq.git("log", "--format=%H", "--grep", f"Hqd-Work: {task.id}", "-1", "main")
        hq.git("revert", "--no-edit", "-m", "1", landing)
        settle(loop, lambda: bool(lessons(loop)))
        (lesson,) = lessons(loop).values()
        assert (lesson.class_, lesson.caught_at, lesson.born_at) == ("wrong_acceptance", "main", "write")
        assert lesson.evidence[0].task == task.id


def test_a_revert_of_a_squash_that_names_no_task_is_recorded_with_the_persons_words(hq: Headquarters) -> None:
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        task = only(loop)
        hq.git("merge", "--squash", f"hqd/{task.id}")
        hq.git("commit", "-qm", "A page of mine")
        settle(loop, lambda: bool(hq.folder("done")))
        landing = hq.git("log", "--format=%H", "--grep", "A page of mine", "-1", "main")
        hq.git("revert", "--no-edit", landing)
        hq.git("commit", "-q", "--amend", "-m", f"Back\n\nIt promises money.\n\nThis reverts commit {landing[:12]}.")
        settle(loop, lambda: bool(lessons(loop)))
        (lesson,) = lessons(loop).values()
        assert lesson.evidence[0].task == task.id
        assert "> It promises money." in lesson.account


@pytest.mark.parametrize("branch", ["revert-7-hqd/{task}", "revert-{commit}"])
def test_a_revert_that_a_forges_button_made_is_recorded_when_it_is_merged(hq: Headquarters, branch: str) -> None:
    """Its own commit is on no first-parent line; the merge names the branch."""
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        task = only(loop)
        hq.ask(loop, "approve", task.id)
        settle(loop)
        landing = hq.git("log", "--format=%H", "--grep", f"Hqd-Work: {task.id}", "-1", "main")
        hq.git("revert", "--no-edit", "-m", "1", landing)
        brought = hq.git("rev-parse", "HEAD")
        hq.git("reset", "-q", "--soft", "HEAD~1")
        name = branch.format(task=task.id, commit=landing[:8])
        words = ("-p", "HEAD", "-p", brought, "-m", f"Merge {name}\n\nRevert")
        merge = hq.git("commit-tree", f"{brought}^{{tree}}", *words)
        hq.git("update-ref", "refs/heads/main", merge)
        settle(loop, lambda: bool(lessons(loop)))
        (lesson,) = lessons(loop).values()
        assert (lesson.evidence[0].task, lesson.caught_at) == (task.id, "main")


@pytest.mark.parametrize("squashed", [False, True])
def test_a_revert_on_a_target_repositorys_main_is_recorded_when_it_is_next_fetched(
    tmp_path: Path, *, squashed: bool
) -> None:
    hq, people = shop(tmp_path)
    hq.drop("mend.md", FIX_TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        if squashed:  # under another name: only hqd's own record knows
            people.git("fetch", "--quiet", "origin")
            people.git("merge", "--quiet", "--squash", f"origin/hqd/{task.id}")
            people.commit({}, "Mend it")
        else:
            assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
        people.pull()
        people.git("revert", "--no-edit", *([] if squashed else ["-m", "1"]), "HEAD")
        people.commit({}, "Reverts somebody's\n\nThis reverts commit 0123456789ab.")
        hq.drop("again.md", FIX_TASK)
        settle(loop, lambda: bool(lessons(loop)))
        (lesson,) = lessons(loop).values()
        assert (lesson.class_, lesson.caught_at, lesson.born_at) == ("wrong_acceptance", "main", "mend")
        assert [each.task for each in lesson.evidence] == [task.id]
        settle(loop)
    (hq.root / ".git/hqd/taught.json").unlink()
    with hq.daemon() as loop:  # looked at anew, and nothing is written twice
        settle(loop, lambda: "site" in loop.live.targets)
        settle(loop)
        assert [len(each.evidence) for each in lessons(loop).values()] == [1]


def test_a_commit_that_only_says_that_it_reverts_something_is_no_case(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        for what in ("--output=/tmp/x", "0" * 40, hq.git("rev-parse", "main")):
            hq.git("commit", "-q", "--allow-empty", "-m", f"x\n\nThis reverts commit {what}.")
        settle(loop)
        assert lessons(loop) == {}


def test_a_budget_breach_is_recorded(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS + "[limits]\ncost_usd_per_task = 0.1\n")
    hq.answers({"text": "no", "usage": {"cost_usd": 0.2}})
    with hq.daemon() as loop:
        hq.drop("dear.md")
        settle(loop)
        assert only(loop).cursor.reason is ParkReason.BUDGET
        (lesson,) = lessons(loop).values()
        assert lesson.class_ == "budget"


def test_recordings_of_a_day_are_bounded_and_the_bound_is_told(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS + "[lessons]\nmost_a_day = 1\n")
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        for name, words in (("one", "It is wrong"), ("two", "It is too long"), ("three", "It is dull")):
            in_review(hq, loop, name)
            task = next(task for task in loop.live.tasks.values() if task.state.value == "review")
            hq.ask(loop, "reject", task.id, message=words)
            settle(loop)
        assert len(lessons(loop)) == 1
        assert any("1 lessons were recorded today" in each.message for each in loop.all_problems())


def test_record_false_writes_nothing_down(tmp_path: Path) -> None:
    hq = make(tmp_path, SETTINGS + "[lessons]\nrecord = false\n", article=REVIEWED)
    hq.answers({"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        hq.ask(loop, "reject", only(loop).id, message="No")
        settle(loop)
        assert lessons(loop) == {}


def test_a_corrected_recording_is_proposed_by_itself_and_its_merge_puts_it_in_shadow(hq: Headquarters) -> None:
    """Its words name what a gate can find; the branch carries gate, checks and evidence, and main is untouched."""
    hq.answers({"slug": "one", "attempt": 1, "text": BAD}, {"slug": "one", "text": GOOD}, {"text": BAD})
    with hq.daemon() as loop:
        in_review(hq, loop, "one")
        task = only(loop)
        hq.ask(loop, "request-changes", task.id, message="It promises money back")
        settle(loop, lambda: only(loop).cursor.attempts.get("write") == 2 and only(loop).state.value == "review")
        hq.ask(loop, "approve", task.id)
        settle(loop, seconds=60.0)
        (lesson,) = lessons(loop).values()
        branch = f"hqd/lesson-{lesson.id}"
        said = hq.git("log", "-1", "--format=%B", branch)
        assert "Let in lesson" in said
        assert "values: ['money back']" in said
        assert "red on 1 of 1 failed outputs" in said
        assert "green on 1 of 1 corrections" in said
        assert "Gates tried before this one was chosen:" in said
        assert lesson.gate is None
        assert not loop.parts.rulebook.current.lessons
        hq.git("merge", "-q", "--no-edit", branch)
        in_review(hq, loop, "two")
        assert [each.status.value for each in loop.parts.rulebook.current.lessons] == ["shadow"]
        two = next(task for task in loop.live.tasks.values())
        gates = [each for record in hq.records(two.id) for each in record.gates]
        assert [(each.name, each.status.value) for each in gates] == [(f"lesson:{lesson.id}", "fail")]
