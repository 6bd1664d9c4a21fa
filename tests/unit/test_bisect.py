"""Versions side by side: figures from the literature, and honesty where there is little to go by."""

from __future__ import annotations

import pytest

from hqd.core.history.bisect import Said, Trial, compare, newcombe, versions
from hqd.core.history.wilson import Z95
from hqd.core.report.share import Share


def trials(version: str, begin: int, good: int, bad: int, maker: str = "a", step: str = "write") -> list[Trial]:
    return [Trial(version, begin + place, step, maker, place < good) for place in range(good + bad)]


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """56 of 70 against 48 of 80: his table gives 0.2000 (0.0524 to 0.3339)."""
    found = newcombe(Share(48, 80), Share(56, 70), Z95)
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_versions_stand_in_the_order_of_their_first_use_and_only_like_is_compared() -> None:
    rows = versions([*trials("b", 100, 9, 3), *trials("a", 0, 12, 0), *trials("a", 50, 3, 0, "other")])
    assert [(row.version, row.maker, row.good.hits, row.good.n) for row in rows] == [
        ("a", "a", 12, 12),
        ("b", "a", 9, 12),
        ("a", "other", 3, 3),
    ]
    (pair,) = compare(rows)
    assert (pair.before.version, pair.after.version, pair.said) == ("a", "b", Said.OPEN)


def test_a_clear_fall_is_called_worse_and_a_clear_rise_better() -> None:
    rows = versions([*trials("a", 0, 28, 2), *trials("b", 100, 10, 20), *trials("c", 200, 29, 1)])
    assert [pair.said for pair in compare(rows)] == [Said.WORSE, Said.BETTER]


def test_few_cases_say_nothing_however_clear_they_look() -> None:
    rows = versions([*trials("a", 0, 9, 0), *trials("b", 100, 0, 30)])
    assert [pair.said for pair in compare(rows)] == [Said.FEW]


def test_many_comparisons_widen_each_interval() -> None:
    one = versions([*trials("a", 0, 20, 5), *trials("b", 100, 13, 12)])
    alone = compare(one)[0]
    many = versions(
        [*trials("a", 0, 20, 5), *trials("b", 100, 13, 12), *trials("c", 200, 20, 5), *trials("d", 300, 20, 5)]
    )
    among = compare(many)[0]
    assert alone.said is Said.WORSE
    assert among.said is Said.OPEN
    assert among.low < alone.low < alone.high < among.high
