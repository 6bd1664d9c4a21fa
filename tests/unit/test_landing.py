"""The decisions on landing and on vanished branches, without git."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hqd.core.reviews.landing import (
    Branch,
    Edit,
    Evidence,
    Gone,
    Holds,
    Landed,
    Leaf,
    Moved,
    Step,
    Suspect,
    Verdict,
    Waiting,
    holds,
    moved,
    signed,
    suspects,
    verdict,
    works,
)

TASK = "20261122-letter-aaaaaa"
TRAILER = f"Hqd-Work: {TASK}"


def leaf(content: str) -> Leaf:
    return ("100644", content)


OLD, NEW, DRIFT = leaf("old"), leaf("new"), leaf("drift")
EDIT = Edit(OLD, NEW)
ADD = Edit(None, NEW)
DELETE = Edit(OLD, None)


@pytest.mark.parametrize(
    ("work", "files", "expected"),
    [
        ({}, {}, Holds.NO),
        ({"a": EDIT}, {"a": OLD}, Holds.NO),
        ({"a": EDIT}, {"a": NEW}, Holds.YES),
        ({"a": EDIT}, {"a": DRIFT}, Holds.ASK),
        ({"a": EDIT}, {"a": None}, Holds.ASK),
        ({"a": EDIT, "b": ADD}, {"a": NEW, "b": None}, Holds.NO),
        ({"a": EDIT, "b": ADD}, {"a": DRIFT, "b": NEW}, Holds.ASK),
        ({"a": DELETE}, {"a": None}, Holds.YES),
        ({"a": DELETE}, {"a": OLD}, Holds.NO),
        ({"a": Edit(OLD, ("100755", "old"))}, {"a": OLD}, Holds.NO),
    ],
)
def test_file_ids_tell_what_they_can(work: dict[str, Edit], files: dict[str, Leaf | None], expected: Holds) -> None:
    assert expected is holds(work, files)


def step(commit: str, message: str = "Edit", **edits: Edit) -> Step:
    return Step(commit, f"before-{commit}", message, edits)


def branch(work: dict[str, Edit], *messages: str) -> Branch:
    return Branch(TASK, "head", work, {path: edit.before for path, edit in work.items()}, messages)


def test_a_suspect_is_a_commit_that_brings_what_its_parent_lacked() -> None:
    steps = [step("c1", b=EDIT), step("c2", a=EDIT), step("c3", a=Edit(NEW, DRIFT)), step("c4", a=Edit(DRIFT, OLD))]
    assert [Suspect(steps[1], Holds.NO, Holds.YES)] == list(suspects(branch({"a": EDIT}), steps))


def test_a_file_that_both_changed_is_a_question_at_every_commit_that_touches_it() -> None:
    steps = [step("c1", a=Edit(OLD, DRIFT)), step("c2", b=ADD), step("c3", a=Edit(DRIFT, leaf("both")))]
    found = list(suspects(branch({"a": EDIT}), steps))
    assert [(one.step.commit, one.before, one.after) for one in found] == [
        ("c1", Holds.NO, Holds.ASK),
        ("c3", Holds.ASK, Holds.ASK),
    ]


def test_once_a_file_is_gone_from_main_every_later_commit_may_hold_the_work() -> None:
    steps = [step("c1", a=DELETE, z=Edit(None, OLD)), step("c2", z=EDIT)]
    assert [one.step.commit for one in suspects(branch({"a": EDIT}), steps)] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"Take it\n\n{TRAILER}\n", {TASK}),
        (f"Squashed commit of the following:\n\ncommit 1\n\n    One\n    \n    {TRAILER}\n", {TASK}),
        (f"* one\n\n{TRAILER}\n\n* two\n\nHqd-Work: other\n\nReviewed-by: Tim", {TASK, "other"}),
        (f"Landed\r\n\r\n{TRAILER}\r\n".replace("\r", ""), {TASK}),
        (f"We talk about {TRAILER} here", set()),
        (f"Take it\n\n{TRAILER}-not", {f"{TASK}-not"}),
        (f"hqd: x\n\nHqd-Event: landed\n{TRAILER}", set()),
        (f'Revert "Take it"\n\n{TRAILER}', set()),
        (f"Undo\n\nThis reverts commit 0123.\n\n{TRAILER}", set()),
    ],
)
def test_whose_work_a_message_carries(message: str, expected: set[str]) -> None:
    assert expected == works(message)


def test_a_signed_commit_counts_unless_it_is_a_part_picked_early() -> None:
    part, tip = f"One\n\n{TRAILER}\n", f"Two\n\n{TRAILER}\n"
    work = branch({"a": EDIT}, tip, part)
    picked = step("c1", part + "(cherry picked from commit 0123abcd)\n", a=EDIT)
    whole = step("c2", tip, a=EDIT)
    assert list(signed(work, [picked])) == []
    assert [whole] == list(signed(work, [picked, whole]))


def test_where_all_messages_are_alike_none_is_a_part() -> None:
    same = f"Work\n\n{TRAILER}\n"
    assert [one.commit for one in signed(branch({"a": EDIT}, same, same), [step("c1", same, a=EDIT)])] == ["c1"]


def test_main_has_moved_only_where_the_branch_works() -> None:
    assert moved({"a", "b"}, [step("c1", z=EDIT), step("c2", a=EDIT, z=EDIT), step("c3")]) == ("c2",)


NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
THERE = Evidence(head="h1", tip="h1", landed=None, now=NOW, grace=10 * MINUTE)
VANISHED = replace(THERE, tip=None)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (THERE, Waiting()),
        (replace(THERE, landed="c"), Landed("c")),
        (replace(THERE, tip="h2"), Moved("h2")),
        (replace(THERE, tip="h2", landed="c"), Landed("c")),
        (replace(VANISHED, gone_since=NOW - 10 * MINUTE), Gone(NOW - 10 * MINUTE)),
        (replace(VANISHED, gone_since=NOW - 60 * MINUTE, landed="c"), Landed("c")),
        (replace(VANISHED, grace=timedelta(0)), Gone(NOW)),
        (replace(THERE, gone_since=NOW - 60 * MINUTE), Waiting()),
    ],
)
def test_what_an_open_review_has_come_to(evidence: Evidence, expected: Verdict) -> None:
    assert expected == verdict(evidence)


def test_a_branch_just_gone_waits_out_the_grace_time() -> None:
    found = verdict(VANISHED)
    assert isinstance(found, Waiting)
    assert (found.gone_since, found.until) == (NOW, NOW + 10 * MINUTE)
    later = verdict(replace(VANISHED, now=NOW + 9 * MINUTE, gone_since=found.gone_since))
    assert isinstance(later, Waiting)
    assert found.until == later.until


def test_staged_changes_hold_a_rejection_back_for_as_long_as_they_stand() -> None:
    found = verdict(replace(VANISHED, gone_since=NOW - 60 * MINUTE, staged=True))
    assert isinstance(found, Waiting)
    assert (found.gone_since, found.until) == (NOW - 60 * MINUTE, None)
