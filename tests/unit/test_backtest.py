"""What a gate would have been worth: counted by clusters, strictly, among outputs that reached a human."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hqd.core.history.admission import admit
from hqd.core.history.backtest import Backtest, Evidence, Judged, backtest, cause, sample
from hqd.core.history.clusters import Origin, clusters
from hqd.model.corpus import Case, Label

WORDS = Evidence(terms=frozenset({"todo"}))


def case(
    number: int, label: Label, *, cluster: str | None = None, reason: str = "", agent: str = "a", playbook: str = "p",
    probability: float = 1.0,
) -> Case:  # fmt: skip
    task = f"t{number:04d}"
    return Case(
        task, 3, "write", 1, number, "c", 0.0, playbook, agent, None, "passed", None, "o.md", f"b{number}",
        cluster or f"task:{task}", label, "approved", reason, number, 0.0, 0, True, 0.0, None, probability,
    )  # fmt: skip


def judged(
    number: int, label: Label, fired: bool | None, *, still: bool | None = None, reason: str = "", **more: object
) -> Judged:
    text = "a TODO" if fired else ""
    return Judged(case(number, label, reason=reason, **more), fired, still, message=text)  # type: ignore[arg-type]


def many(label: Label, fired: bool, count: int, start: int, **more: object) -> list[Judged]:
    return [judged(start + number, label, fired, **more) for number in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "fired", "still", "reason", "cell"),
    [
        (Label.ACCEPTED, True, None, "", "fp"),
        (Label.ACCEPTED, False, None, "", "tn"),
        (Label.REJECTED, True, None, "there is a TODO in it", "tp"),
        (Label.REJECTED, True, False, "once more, please", "tp"),
        (Label.REJECTED, True, True, "there is a TODO in it", "other"),
        (Label.REJECTED, True, None, "once more, please", "other"),
        (Label.REJECTED, False, None, "once more, please", "fn"),
        (Label.EDITED, True, False, "", "tp"),
        (Label.EDITED, True, True, "", "fp"),
        (Label.EDITED, True, None, "", "other"),
        (Label.EDITED, False, None, "", "tn"),
    ],
)
def test_each_output_is_counted_in_one_cell(
    label: Label, fired: bool, still: bool | None, reason: str, cell: str
) -> None:
    counts = backtest([judged(1, label, fired, still=still, reason=reason)], evidence=WORDS).figures.counts
    cells = {name: getattr(counts, name) for name in ("tp", "fp", "fn", "tn", "other", "elsewhere")}
    assert {name: int(name == cell) for name in cells} == cells


def test_what_nobody_saw_or_could_judge_is_apart() -> None:
    found = backtest(
        [judged(1, Label.GATED, True), judged(2, Label.UNKNOWN, False), judged(3, Label.ACCEPTED, None)]
    ).figures.counts
    assert (found.gated, found.unknown, found.errors, found.decided) == (1, 1, 1, 0)


def test_strict_precision_counts_unattributed_firings_as_false_and_lenient_leaves_them_out() -> None:
    rows = [
        *many(Label.REJECTED, True, 6, 0, reason="a TODO"),
        *many(Label.REJECTED, True, 2, 100, reason="hm"),
        *many(Label.ACCEPTED, True, 2, 200),
    ]
    figures = backtest(rows, evidence=WORDS).figures
    assert (figures.precision.rate, figures.lenient.rate) == (0.6, 0.75)


def test_recall_needs_an_audit_and_so_does_the_rate_of_a_gate_that_enforces() -> None:
    rows = [*many(Label.REJECTED, True, 6, 0, reason="a TODO"), *many(Label.ACCEPTED, False, 40, 100)]
    plain, enforcing = backtest(rows, evidence=WORDS), backtest(rows, evidence=WORDS, enforced=True)
    assert plain.figures.recall is None
    assert enforcing.figures.fpr is None
    assert str(plain.figures.fpr) == "0 of 40 (≤ 8.8 %)"
    audited = [*rows, judged(900, Label.ACCEPTED, True, probability=0.05)]
    figures = backtest(audited, evidence=WORDS, enforced=True).figures
    assert figures.recall is not None
    assert figures.fpr is not None


def test_an_audited_output_weighs_as_many_as_it_stands_for() -> None:
    rows = [*many(Label.ACCEPTED, False, 80, 0), judged(900, Label.ACCEPTED, True, probability=0.05)]
    share = backtest(rows).figures.false_positives
    assert share.rate == pytest.approx(20 / 100)
    assert share.n == pytest.approx(100 * 100 / (80 + 400))  # Kish: one heavy case is no hundred cases


def test_a_cluster_counts_once_however_many_tries_it_has() -> None:
    rows = many(Label.ACCEPTED, True, 50, 0, cluster="schedule:weekly")
    assert backtest(rows).figures.counts.fp == 1


def test_evidence_leaves_with_its_whole_cluster() -> None:
    rows = [
        judged(1, Label.REJECTED, True, reason="todo", cluster="text:x"),
        judged(2, Label.ACCEPTED, True, cluster="text:x"),
        judged(3, Label.ACCEPTED, False),
    ]
    by_task = backtest(rows, evidence=Evidence(tasks=frozenset({"t0001"})))
    by_blob = backtest(rows, evidence=Evidence(shown=frozenset({"b2"})))
    for found in (by_task, by_blob):
        assert (found.figures.counts.evidence, found.figures.counts.decided) == (2, 1)
        assert found.flagged == ()


def test_another_lessons_evidence_is_another_cause() -> None:
    evidence = replace(WORDS, blobs={"b1": "stale_price", "b2": "todo_left"}, own="todo_left")
    assert cause(judged(1, Label.REJECTED, True, reason="a TODO"), evidence) is False
    assert cause(judged(2, Label.REJECTED, False), evidence) is True
    assert backtest([judged(1, Label.REJECTED, False)], evidence=evidence).figures.counts.elsewhere == 1


@pytest.mark.parametrize("seed", range(25))
def test_the_sample_is_the_same_for_any_order_of_history(seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        judged(number, rng.choice(list(Label)), rng.choice([True, False, None]), cluster=f"c{rng.randrange(20)}")
        for number in range(120)
    ]
    drawn = sample(rows, "x")
    shuffled = rng.sample(rows, len(rows))
    assert drawn == sample(shuffled, "x")
    assert backtest(rows).figures == backtest(shuffled).figures
    assert len({each.case.cluster for each in drawn}) == len(drawn)
    assert all(each.case.label.decided and each.fired is not None for each in drawn)


def test_the_draw_within_a_cluster_is_even_over_clusters() -> None:
    rows = [
        judged(2 * number + half, Label.ACCEPTED, half == 1, cluster=f"c{number}")
        for number in range(2_000)
        for half in (0, 1)
    ]
    assert 900 < backtest(rows).figures.counts.fp < 1_100


def test_simpsons_paradox_is_pointed_out() -> None:
    """It fires on the agent that errs, not on what is wrong: better than chance over all, in neither of them."""
    rows: list[Judged] = []
    for agent, fires, rejected, accepted in (("bad", 40, 20, 20), ("good", 10, 1, 9)):
        start = len(rows)
        rows += many(Label.REJECTED, True, rejected, start, agent=agent, reason="a TODO")
        rows += many(Label.ACCEPTED, True, accepted, start + 100, agent=agent)
        quiet = 10 if agent == "bad" else 200
        rows += many(Label.REJECTED, False, round(quiet * rejected / fires) + 1, start + 300, agent=agent)
        rows += many(Label.ACCEPTED, False, round(quiet * accepted / fires), start + 600, agent=agent)
    found = backtest(
        [row._replace(case=row.case._replace(task=str(n), cluster=str(n))) for n, row in enumerate(rows)],
        evidence=WORDS,
    )
    assert found.figures.lift is not None
    assert found.figures.lift > 1
    assert any("in no single agent" in warning for warning in found.warnings)


def good_gate(hits: int = 20, false: int = 0, clean: int = 300) -> Backtest:
    return backtest(
        [
            *many(Label.REJECTED, True, hits, 0, reason="a TODO"),
            *many(Label.REJECTED, False, 30, 1_000),
            *many(Label.ACCEPTED, True, false, 2_000),
            *many(Label.ACCEPTED, False, clean, 3_000),
        ],
        evidence=WORDS,
    )


def test_admission_wants_few_false_alarms_and_better_than_chance() -> None:
    assert admit(good_gate()).admitted
    assert not admit(good_gate(false=10)).admitted
    assert not admit(good_gate(hits=1, false=2)).admitted
    silent = good_gate(hits=0)
    assert (admit(silent).admitted, admit(silent, untested=True).admitted) == (False, True)


def test_firings_on_rejections_for_no_known_cause_speak_against_admission() -> None:
    rows = [*many(Label.REJECTED, True, 30, 0, reason="hm"), *many(Label.ACCEPTED, False, 300, 100)]
    found = admit(backtest(rows, evidence=WORDS))
    assert not found.admitted
    assert "false positives 30 of 330" in found.reasons[0]


def test_siblings_of_parent_schedule_template_or_text_are_one_cluster() -> None:
    origins = {
        "20260101-a-000001": Origin(),
        "20260101-b-000002": Origin(parent="20260101-a-000001"),
        "20260101-weekly-000003": Origin(source="schedule:news@2026-01-05"),
        "20260108-weekly-000004": Origin(source="schedule:news@2026-01-12"),
        "20260108-weekly-000005": Origin(source="schedule:other@2026-01-12"),
        "20260101-c-000006": Origin(text="blob"),
        "20260101-d-000007": Origin(text="blob"),
        "20260101-e-000008": Origin(source="workspace/inbox/e.md", text="other"),
    }
    found = clusters(origins)
    groups = [sorted(task[-1] for task in origins if found[task] == name) for name in sorted(set(found.values()))]
    assert sorted(groups) == [["1", "2"], ["3", "4", "5"], ["6", "7"], ["8"]]
    assert found == clusters(dict(reversed(origins.items())))
