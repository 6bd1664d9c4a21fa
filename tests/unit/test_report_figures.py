"""Every figure of the report, on stories whose figures were worked out by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hqd.core.report.agents import agents
from hqd.core.report.deaths import deaths
from hqd.core.report.lessons import lesson_rows, without_lessons
from hqd.core.report.outcomes import outcomes
from hqd.core.report.people import playbooks
from hqd.core.report.share import Share, median, percent, quantile, share, span, weighted
from hqd.core.report.story import Cause, Word
from hqd.core.report.weeks import weeks
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import Level
from hqd.model.record import Via
from hqd.model.task import State
from tests.unit.report_scenes import BEGIN, Scene, green, red


def test_a_share_is_told_with_counts_and_interval_and_never_as_nothing_or_all() -> None:
    assert str(Share(0, 40)) == "0 of 40 (≤ 8.8 %)"
    assert str(Share(40, 40)) == "40 of 40 (≥ 91.2 %)"
    assert str(Share(12, 40)) == "12 of 40 (30 %, 18 to 45 %)"
    assert str(Share(0, 0)) == "none yet"
    assert str(share([True, False, True])) == "2 of 3 (67 %, 21 to 93.8 %)"
    assert [percent(part) for part in (0.0001, 0.9996, 0.5)] == ["0.01 %", "99.9 %", "50 %"]


def test_weighted_cases_keep_their_rate_and_count_no_more_than_they_are() -> None:
    even = weighted([(True, 20.0), (False, 20.0), (False, 20.0), (False, 20.0)])
    assert (even.hits, even.n) == (1.0, 4.0)
    skewed = weighted([(True, 10.0), (False, 1.0)])
    assert skewed.rate == pytest.approx(10 / 11)
    assert skewed.n == pytest.approx(121 / 101)  # (10 + 1)² / (10² + 1²)
    assert weighted([]).n == 0


def test_median_and_quantile_are_the_plain_ones() -> None:
    assert (median([3, 1, 2]), median([4, 1, 2, 3]), median([])) == (2, 2.5, None)
    assert (quantile(range(1, 11), 0.9), quantile([7], 0.9), quantile([], 0.9)) == (9, 7, None)
    assert [span(seconds) for seconds in (None, 4.21, 42, 90, 7200, 200_000)] == [
        "—",
        "4.2 s",
        "42 s",
        "1.5 min",
        "2 h",
        "2.31 d",
    ]


def clean() -> Scene:
    return Scene("20261102-clean-000001").attempt().review().wait(minutes=9).landed().done()


def changed() -> Scene:
    scene = Scene("20261102-changed-000002").attempt(Failure.GATE, gates=[red("len"), green("links")])
    scene.attempt(mode="retry").review().wait(minutes=19).changes().attempt(mode="retry", cost=0.30)
    return scene.review().wait(minutes=29).landed().done()


def unseen() -> Scene:
    return Scene("20261102-unseen-000003").attempt(cost=None).done()


def test_outcomes_add_up() -> None:
    dead = Scene("20261102-dead-000004").attempt(Failure.EMPTY, cost=0.2).parked().resumed().attempt(mode="retry")
    found = outcomes([clean().told(), changed().told(), unseen().told(), dead.dropped(Via.CLI).told()])
    assert found.tasks == 4
    assert found.states == {"done": 3, "dropped": 1}
    assert (found.clean.hits, found.clean.n) == (1, 2)  # nobody looked at the other two
    assert (found.first_pass.hits, found.first_pass.n) == (2, 4)
    assert (found.helped.hits, found.helped.n) == (1, 4)
    assert found.tries == 7
    assert found.cost == pytest.approx(0.1 + 0.1 + 0.1 + 0.3 + 0.2 + 0.1)
    assert found.unpriced == 1
    assert found.result == pytest.approx(0.9 / 3)
    rows = {row.cause: (row.tries, row.cost) for row in found.rework}
    assert rows == {Cause.FAILED: (1, 0.1), Cause.PERSON: (2, 0.4)}


def test_time_to_done_is_from_the_drop_to_the_end_and_says_who_was_waited_for() -> None:
    found = outcomes([clean().told()])
    # accepted 0, claimed 1, finished 2, claimed 3, opened 4, landed 14, done 15
    assert list(found.took) == [15 * 60, 15 * 60]
    assert found.waits == {"worked on": 120.0, "queued": 180.0, "waiting for people": 600.0}


def test_since_counts_what_happened_since() -> None:
    old, new = clean(), Scene("20261109-new-000009", begin=BEGIN + timedelta(days=7)).attempt().done()
    found = outcomes([old.told(), new.told()], BEGIN + timedelta(days=3))
    assert (found.tasks, found.tries, found.clean.n) == (1, 1, 0)


def test_work_that_was_edited_or_taken_back_later_was_not_clean() -> None:
    told = clean().told()
    told.spoiled = "reverted"
    assert (outcomes([told]).clean.hits, outcomes([told]).clean.n) == (0, 1)


def test_who_takes_work_back_that_nobody_reviewed_has_seen_it() -> None:
    told = unseen().told()
    told.spoiled = "reverted"
    assert (outcomes([told]).clean.hits, outcomes([told]).clean.n) == (0, 1)


def test_what_the_provider_or_hqd_spoils_is_no_try_of_the_agent() -> None:
    scene = Scene().attempt(Failure.TRANSIENT).attempt(Failure.INTERRUPTED, outcome=Outcome.INTERRUPTED, mode="again")
    told = scene.attempt(mode="again").done().told()
    found = outcomes([told])
    assert (found.first_pass.hits, found.first_pass.n) == (1, 1)
    assert [(row.cause, row.tries) for row in found.rework] == [(Cause.AGAIN, 2)]


def test_a_drop_by_a_person_under_review_is_a_rejection_and_one_by_hqd_is_not() -> None:
    assert [each.word for each in Scene().attempt().review().dropped(Via.CLI).told().said] == [Word.REJECTED]
    assert Scene().attempt().review().dropped().told().said == []
    assert [each.word for each in Scene().attempt().review().rejected().told().said] == [Word.REJECTED]
    assert Scene().attempt().landed(via=None).done().told().decided is False


def test_attempts_die_by_step_and_gate_and_each_gate_counts() -> None:
    scene = Scene().attempt(Failure.GATE, gates=[red("len"), red("links"), red("tone", Level.WARN)])
    scene.attempt(Failure.GATE, gates=[red("len")], mode="retry").attempt(Failure.TRUNCATED, mode="fresh")
    scene.attempt(Failure.TRANSIENT, mode="again").attempt(mode="again").routed("plan").attempt(step="plan")
    rows = {(row.step, row.cause): (row.died.hits, row.died.n, row.cost) for row in deaths(scene.told().tries)}
    assert rows == {
        ("write", "gate len"): (2, 4, 0.2),
        ("write", "gate links"): (1, 4, 0.1),
        ("write", "truncated"): (1, 4, 0.1),
    }


def test_agents_stand_side_by_side_within_a_step() -> None:
    climbed = Scene("20261102-b-000002").attempt(Failure.GATE, gates=[red("len")])
    climbed.attempt(agent="big", mode="agent", cost=1.0).review().landed().done()
    rows = {row.agent: row for row in agents([clean().told(), climbed.told()])}
    small, big = rows["small"], rows["big"]
    assert (small.tries, small.passed.hits, small.first_pass.n, small.fails_by) == (2, 1, 2, "gate")
    assert (small.clean.n, big.clean.n) == (1, 1), "who made what the person saw"
    assert (big.tries, big.first_pass.n, big.cost, big.per_pass, big.wall) == (1, 0, 1.0, 1.0, 60.0)
    assert small.per_pass == pytest.approx(0.2)


def test_weeks_have_no_holes_and_count_ends_words_and_tries_when_they_happened() -> None:
    late = Scene("20261116-c-000003", begin=BEGIN + timedelta(weeks=2)).attempt().done()
    rows = weeks([clean().told(), changed().told(), late.told()])
    assert [(row.name, row.done, row.tries, row.clean.n) for row in rows] == [
        ("2026-W45", 2, 4, 2),
        ("2026-W46", 0, 0, 0),
        ("2026-W47", 1, 1, 0),
    ]
    assert rows[0].cost == pytest.approx(0.6)
    assert rows[0].result == pytest.approx(0.3)
    assert rows[1].result is None


def test_a_playbook_earns_back_the_waiting_that_skipped_reviews_save() -> None:
    skipped = Scene("20261102-s-000005").attempt().attempt(step="approve", agent=None, sample=0.2).done()
    (row,) = playbooks([clean().told(), changed().told(), skipped.told()])
    assert (row.tasks, row.done, row.reviews, row.skipped) == (3, 3, 3, 1)
    assert row.wait == 20 * 60  # waits of 10, 20 and 30 minutes
    assert row.earned == 20 * 60
    (alone,) = playbooks([skipped.told()])
    assert alone.earned is None, "no review was ever waited for: nothing to go by"


def stopped(name: str, *gates: str, audit: float | None = None, label: str | None = None) -> Scene:
    to = State.REVIEW if label else State.QUEUE
    scene = Scene(name).attempt(Failure.GATE, gates=[red(gate) for gate in gates], audit=audit, to=to)
    if label:
        scene.label(label)
    return scene.attempt(Failure.GATE, gates=[red("len")], mode="retry").attempt(mode="retry").done()


def test_without_lessons_lists_what_lessons_alone_stopped_and_judges_by_audits_only() -> None:
    told = [
        stopped("20261102-a-000001", "lesson:L-0001", audit=0.5, label="rejected").told(),
        stopped("20261102-b-000002", "lesson:L-0001", audit=0.5, label="accepted").told(),
        stopped("20261102-c-000003", "lesson:L-0001", "lesson:L-0002", audit=0.5).told(),
        stopped("20261102-d-000004", "lesson:L-0001", "len").told(),
    ]
    found = without_lessons(told)
    assert [(row.task[9:10], row.lessons, row.label) for row in found.stopped] == [
        ("a", ("L-0001",), "rejected"),
        ("b", ("L-0001",), "accepted"),
        ("c", ("L-0001", "L-0002"), None),
    ]
    assert (found.wrong.hits, found.wrong.n, found.audited) == (1, 2, 2)
    assert found.rework == pytest.approx(0.6)
    rows = {row.lesson: row for row in lesson_rows(told)}
    assert (rows["L-0001"].stops, rows["L-0001"].alone, rows["L-0001"].right.n) == (4, 2, 2)
    assert (rows["L-0002"].stops, rows["L-0002"].alone, rows["L-0002"].right.n) == (1, 0, 0)
    assert not without_lessons(told[2:]).measurable


def test_an_audited_output_is_no_review_of_the_tasks_work() -> None:
    told = stopped("20261102-a-000001", "len", audit=0.05, label="accepted").told()
    assert told.decided is False
    assert told.labels == {("write", 1): "accepted"}
    assert outcomes([told]).clean.n == 0
