"""Labels come from what people do, cover what they saw, and are known from a certain commit on."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hqd.core.history.labels import Contents, Labelled, label
from hqd.model.corpus import Label
from tests.unit.past_events import DAY, Line

SIZES = {("ours", "mended"): 3, ("ours", "spaced"): 0, ("ours", "edited"): 2, ("ours", "longer"): 0}


def labelled(line: Line, last: int | None = None, days: float = 14.0) -> dict[str, Labelled]:
    """By output blob."""

    def touched(_base: str | None, _main: str | None, ours: str, theirs: str | None, _insertions: bool) -> int:
        return SIZES.get((ours, theirs or ""), 9)

    contents = Contents(lambda commit, _path: commit.removeprefix("head-"), touched)
    return {str(each.event.output_blob): each for each in label(line.past(last), contents, days)}


def reviewed(line: Line, blob: str = "ours") -> Line:
    line.wrote(blob)
    line.opened()
    return line


def approved(line: Line) -> None:
    reviewed(line).event("feedback", was="review", outcome="passed", via="cli")


def merged_with_edits(line: Line) -> None:
    reviewed(line).landed("mended", via="git")


def merged_with_blanks(line: Line) -> None:
    reviewed(line).landed("spaced", via="git")


def changes_requested(line: Line) -> None:
    finding = {"source": "human:Ada", "text": "too long", "step": "approve"}
    reviewed(line).event("feedback", was="review", via="forge", step="write", findings=[finding], children=["write"])


def an_agents_review(line: Line) -> None:
    reviewed(line).event("feedback", was="review", step="write", children=["write"])


def rejected(line: Line) -> None:
    reviewed(line).event("parked", was="review", to="blocked", via="cli", reason="review_rejected", missing="no")


def branch_deleted(line: Line) -> None:
    reviewed(line).event("parked", was="review", to="blocked", via="git", reason="review_rejected", missing="gone")


def rejected_but_landed_later(line: Line) -> None:
    rejected(line)
    line.landed("ours", via="git", was="blocked")


def dropped_in_review(line: Line) -> None:
    reviewed(line).event("dropped", was="review", to="dropped", via="files", message="no need")


def dropped_before_review(line: Line) -> None:
    line.wrote("ours")
    line.event("dropped", to="dropped", via="cli")


def landed_by_itself(line: Line) -> None:
    line.wrote("ours")
    line.landed("ours", via=None, was="queue")


def stopped_by_a_gate(line: Line) -> None:
    gates = [{"name": "words", "kind": "word_count", "level": "enforce", "status": "fail", "message": "too few"}]
    line.wrote("ours", outcome="failed", failure="gate", gates=gates)


def timed_out(line: Line) -> None:
    line.wrote("ours", outcome="failed", failure="timeout")


def sent_back_by_a_route(line: Line) -> None:
    line.wrote("ours")
    line.event("routed", step="write", route="judge#0", items=["write"], findings=[{"source": "route", "text": "weak"}])


def reverted(line: Line) -> None:
    commit = reviewed(line).landed("ours")
    line.change("r", "a.md", "ours", None, reverts=(commit,), later=DAY)


def put_back(line: Line) -> None:
    reviewed(line).landed("ours")
    line.change("r", "a.md", "ours", None, later=DAY)


def reverted_and_restored(line: Line) -> None:
    reverted(line)
    line.change("again", "a.md", None, "ours", later=DAY)


def reverted_too_late(line: Line) -> None:
    commit = reviewed(line).landed("ours")
    line.change("r", "a.md", "ours", None, reverts=(commit,), later=15 * DAY)


def edited_later(line: Line) -> None:
    reviewed(line).landed("ours")
    line.change("e", "a.md", "ours", "edited", later=DAY)


def added_to_later(line: Line) -> None:
    reviewed(line).landed("ours")
    line.change("e", "a.md", "ours", "longer", later=DAY)


def replaced_by_later_work(line: Line) -> None:
    reviewed(line).landed("ours")
    line.change("other", "a.md", "ours", "theirs", work="another-task", later=DAY)
    line.change("e", "a.md", "theirs", "edited", later=DAY)


def landed_unseen_then_reverted(line: Line) -> None:
    line.wrote("ours")
    commit = line.landed("ours", via=None, was="queue")
    line.change("r", "a.md", "ours", None, reverts=(commit,), later=DAY)


def nobody_looked(line: Line) -> None:
    line.wrote("ours")
    line.event("done", to="done")


@pytest.mark.parametrize(
    ("act", "expected", "source", "seen"),
    [
        (approved, "accepted", "approved", True),
        (merged_with_edits, "edited", "edited_at_landing", True),
        (merged_with_blanks, "accepted", "merged", True),
        (changes_requested, "rejected", "requested_changes", True),
        (an_agents_review, "gated", "agent_review", True),
        (rejected, "rejected", "rejected", True),
        (branch_deleted, "rejected", "branch_gone", True),
        (rejected_but_landed_later, "accepted", "merged", True),
        (dropped_in_review, "rejected", "dropped", True),
        (dropped_before_review, "unknown", "unreviewed", False),
        (landed_by_itself, "unknown", "landed_unreviewed", False),
        (stopped_by_a_gate, "gated", "gate", False),
        (timed_out, "unknown", "timeout", False),
        (sent_back_by_a_route, "gated", "route", False),
        (reverted, "rejected", "reverted", True),
        (put_back, "rejected", "put_back", True),
        (reverted_and_restored, "accepted", "restored", True),
        (reverted_too_late, "accepted", "approved", True),
        (edited_later, "edited", "edited_later", True),
        (added_to_later, "accepted", "approved", True),
        (replaced_by_later_work, "accepted", "approved", True),
        (landed_unseen_then_reverted, "rejected", "reverted", False),
        (nobody_looked, "unknown", "unreviewed", False),
    ],
)
def test_what_a_person_does_is_the_label(act: Callable[[Line], None], expected: str, source: str, seen: bool) -> None:
    line = Line()
    act(line)
    found = labelled(line)["ours"]
    assert (expected, source, seen) == (found.verdict.label.value, found.verdict.source, found.seen)


def test_an_edit_has_a_size_and_the_version_that_the_person_took() -> None:
    line = Line()
    merged_with_edits(line)
    verdict = labelled(line)["ours"].verdict
    assert (verdict.size, verdict.became) == (3, "mended")


def test_what_lies_before_landed_work_is_unreviewed_once_its_task_has_ended() -> None:
    line = Line()
    line.wrote("facts", "research", files=())
    reviewed(line)
    line.landed("ours")
    assert labelled(line)["facts"].verdict.source == "open"
    line.event("done", to="done")
    assert [labelled(line)[blob].verdict.source for blob in ("facts", "ours")] == ["unreviewed", "approved"]


def test_outputs_before_the_delivered_one_stay_unknown_unless_the_words_name_their_step() -> None:
    line = Line()
    line.wrote("facts", "research", files=())
    reviewed(line)
    finding = {"source": "human:Ada", "text": "wrong facts", "step": "research"}
    named, silent = line, Line()
    silent.wrote("facts", "research", files=())
    reviewed(silent)
    named.event(
        "feedback", was="review", via="cli", step="research", findings=[finding], children=["research", "write"]
    )
    silent.event(
        "feedback", was="review", via="cli", step="write", findings=[finding | {"step": "approve"}], children=["write"]
    )
    assert [labelled(named)[blob].verdict.label.value for blob in ("facts", "ours")] == ["rejected", "rejected"]
    assert [labelled(silent)[blob].verdict.label.value for blob in ("facts", "ours")] == ["unknown", "rejected"]
    assert labelled(named)["facts"].verdict.reason == "wrong facts"


def test_a_label_covers_the_attempt_that_was_seen_and_not_the_one_that_followed() -> None:
    line = Line()
    changes_requested(line)
    line.wrote("better")
    line.opened()
    line.landed("better")
    found = labelled(line)
    assert [found[blob].verdict.label.value for blob in ("ours", "better")] == ["rejected", "accepted"]


def test_of_two_steps_that_deliver_one_file_the_person_sees_the_last() -> None:
    line = Line()
    line.wrote("draft", "write")
    line.wrote("polished", "polish")
    line.opened()
    line.landed("polished")
    found = labelled(line)
    assert [found[blob].verdict.label.value for blob in ("draft", "polished")] == ["unknown", "accepted"]


def test_where_nothing_is_delivered_the_last_text_is_under_review() -> None:
    line = Line()
    line.wrote("essay", "write", files=())
    line.wrote("score", "judge", files=(), output_data=True)
    line.opened()
    line.event("feedback", was="review", outcome="passed", via="cli")
    found = labelled(line)
    assert [found[blob].verdict.label.value for blob in ("essay", "score")] == ["accepted", "unknown"]


@pytest.mark.parametrize("seed", range(30))
def test_as_of_a_commit_no_later_act_is_known(seed: int) -> None:
    rng = random.Random(seed)
    acts = [
        approved,
        merged_with_edits,
        changes_requested,
        rejected,
        reverted,
        put_back,
        edited_later,
        stopped_by_a_gate,
    ]
    line = Line()
    for _ in range(3):
        rng.choice(acts)(line)
    whole = line.past().last
    for last in range(whole):
        early = labelled(line, last)
        assert all(each.verdict.order <= last for each in early.values())
        for blob, each in early.items():  # what is known early is what would be told if nothing more had happened
            assert each.event.order <= last, blob


def test_what_hqd_merges_without_asking_is_no_label_unless_a_person_has_spoken() -> None:
    def unasked() -> Line:
        line = Line()
        line.wrote("ours")
        line.event("review_opened", was="active", to="review", step="approve", review={"sample": 0.2})
        line.event("feedback", was="review", to="review", via="forge", review={"sample": 0.2, "approvers": []})
        return line

    silent = unasked()
    silent.landed("ours", via="forge")
    found = labelled(silent)["ours"]
    assert (found.verdict.label, found.verdict.source, found.seen) == (Label.UNKNOWN, "landed_unreviewed", False)

    approved_there = unasked()
    told = {"sample": 0.2, "approvers": ["tim"]}
    approved_there.event("feedback", was="review", to="review", via="forge", review=told)
    approved_there.landed("ours", via="forge")
    assert labelled(approved_there)["ours"].verdict.label is Label.ACCEPTED

    stopped = unasked()
    stopped.event("feedback", was="review", via="forge", step="write", findings=[{"text": "no"}], children=["write"])
    found = labelled(stopped)["ours"]
    assert (found.verdict.label, found.seen) == (Label.REJECTED, True)
