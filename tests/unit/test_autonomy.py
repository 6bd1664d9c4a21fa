"""What a playbook's record earns, what the coin decides, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest

from hqd.cli.history.autonomy import edited
from hqd.core.checks.autonomy import check_autonomy
from hqd.core.reviews.autonomy import by_forge, escapes, share_of, skipped, standing, to_land
from hqd.errors import Expected
from hqd.model.board import Task
from hqd.model.corpus import Case, Label
from hqd.model.playbook import Playbook, Review, Step
from hqd.model.record import Cursor, Phase, ReviewState
from hqd.model.settings import Forge, Settings
from hqd.model.task import State, TaskDocument, TaskHeader

AUTO = Review(sample="auto", risk=0.02)


def playbook(review: Review, **fields: Any) -> Playbook:
    return Playbook(
        name="p", steps=(Step(name="write", agent="a", deliver="x.md"), Step(name="ok", review=review)), **fields
    )


def task(name: str = "20261122-t-000001", **cursor: Any) -> Task:
    document = TaskDocument(header=TaskHeader(), title="T", text="t")
    return Task(name, State.QUEUE, document, "", Cursor(playbook="p", step="ok", phase=Phase.PASSED, **cursor))


def case(
    n: int, label: Label = Label.ACCEPTED, *, seen: bool = True, name: str = "p", known: int | None = None
) -> Case:
    return Case(
        task=f"t{n}", n=3, step="write", attempt=1, order=n, commit="c", at=0.0, playbook=name, agent="a", model=None,
        outcome="passed", failure=None, path="x", blob="b", cluster=f"task:t{n}", label=label, source="landed",
        reason="said so", known=n if known is None else known, known_at=0.0, size=0, seen=seen, cost=0.0, pin=None,
    )  # fmt: skip


def at(cases: list[Case], review: Review = AUTO, after: int = -1) -> Any:
    made = playbook(review)
    return standing(made, made.steps[1], review, cases, after)


def test_a_record_earns_a_share_only_once_its_upper_bound_is_below_the_risk() -> None:
    lacking, earned = at([case(n) for n in range(188)]), at([case(n) for n in range(189)])
    assert (lacking.next, earned.next) == (None, 0.5)
    assert "1 more without a change would do" in lacking.why
    assert earned.changed.high < 0.02 <= lacking.changed.high
    spoiled = at([case(n, Label.EDITED if n < 3 else Label.ACCEPTED) for n in range(189)])
    assert spoiled.next is None


def test_each_share_is_earned_anew_since_the_one_before_it() -> None:
    many = [case(n) for n in range(400)]
    half = Review(sample=0.5, risk=0.02)
    assert at(many, half, after=100).next == 0.2
    assert at(many, half, after=300).next is None
    assert at(many, Review(sample=0.05, risk=0.02)).next is None
    assert at(many, Review(sample=0.5)).why == "no `risk` is set"


def test_only_what_people_saw_and_decided_of_this_playbook_counts_and_each_task_once() -> None:
    found = at(
        [
            case(1),
            case(1, Label.REJECTED),
            case(2, seen=False),
            case(3, Label.GATED),
            case(4, name="other"),
            case(5, Label.UNKNOWN),
        ]
    )
    assert (found.changed.hits, found.changed.n) == (1, 1)


def test_the_coin_skips_the_share_that_it_should_and_always_the_same_tasks() -> None:
    made = playbook(Review(sample=0.2))
    names = [f"20261122-t-{n:06x}" for n in range(3000)]
    asked = [name for name in names if skipped(task(name), made, made.steps[1], {}) is None]
    assert 530 <= len(asked) <= 670  # 600 wanted, 3.2 standard deviations
    more = playbook(Review(sample=0.5))
    again = {name for name in names if skipped(task(name), more, more.steps[1], {}) is None}
    assert set(asked) < again, "a larger share asks for the same ones, and for more"


def test_no_review_is_skipped_after_an_escape_or_once_people_have_seen_it() -> None:
    made = playbook(Review(sample=0.000001))
    step = made.steps[1]
    seen = ReviewState(step="ok", branch="b", head="h", base="b", number=1)
    assert skipped(task(), made, step, {}) == 0.000001
    assert skipped(task(), made, step, {"p": "escaped"}) is None
    assert skipped(task(), playbook(AUTO), Step(name="ok", review=AUTO), {}) is None
    assert skipped(task(review=seen), made, step, {}) is None
    assert skipped(task(review=seen.model_copy(update={"sample": 0.5})), made, step, {}) == 0.000001
    assert share_of(AUTO) == 1.0


def test_on_a_forge_unseen_work_is_a_pull_request_and_elsewhere_it_needs_none() -> None:
    settings = Settings(format=1, forge=Forge(kind="gitlab"))
    work = task(head="h", base="b")
    assert by_forge(work, AUTO, settings)
    assert not by_forge(task(head="b", base="b"), AUTO, settings)
    assert not by_forge(work, Review(land="never"), settings)
    assert not by_forge(work, AUTO, Settings(format=1))


def test_skipped_work_lands_and_work_that_people_passed_does_not_land_twice() -> None:
    step = playbook(AUTO).steps[1]
    work = task(head="h", base="b", sample=0.2)
    assert to_land(work, step) == "h"
    assert to_land(task(head="h", base="b"), step) is None
    assert to_land(work, Step(name="ok", review=Review(land="never"))) is None
    assert to_land(task(sample=0.2), step) is None


def test_what_people_take_back_is_an_escape_also_where_nobody_was_asked() -> None:
    found = escapes(
        "p",
        [
            case(1, Label.REJECTED, seen=False, known=50),
            case(2),
            case(3, Label.EDITED, known=40),
            case(4, Label.REJECTED),
        ],
        after=10,
    )
    assert [(each.task, each.order) for each in found] == [("t3", 40), ("t1", 50)]
    assert "rejected (landed): said so" in found[1].why


def test_what_is_written_wrongly_is_named() -> None:
    assert [p.message for p in check_autonomy("x", playbook(Review(sample="auto")))] == [
        "asks for a share by itself, and sets no risk"
    ]
    assert [p.message for p in check_autonomy("x", playbook(Review(sample=1.5)))] == ["is 1.5"]
    assert not list(check_autonomy("x", playbook(AUTO)))


@pytest.mark.parametrize(
    ("text", "became"),
    [
        ('review = { sample = "auto", risk = 0.02 } # ours', "review = { sample = 0.5, risk = 0.02 } # ours"),
        ("review = { sample = 0.7, risk = 0.02 }", "review = { sample = 0.5, risk = 0.02 }"),
        ("[steps.review]\nrisk = 0.02\n", "[steps.review]\nsample = 0.5\nrisk = 0.02\n"),
    ],
)
def test_a_proposal_changes_the_number_and_nothing_else(text: str, became: str) -> None:
    assert edited(text, 0.5) == became


def test_two_shares_in_one_file_are_for_a_person_to_change() -> None:
    with pytest.raises(Expected, match="more than one"):
        edited("sample = 0.5\nsample = 0.2", 0.1)
