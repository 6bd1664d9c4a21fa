"""How much of our work a person changed."""

from __future__ import annotations

import pytest

from hqd.core.history.touched import touched

PAGE = "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("base", "main", "ours", "theirs", "at_landing", "later"),
    [
        pytest.param(None, None, PAGE, PAGE, 0, 0, id="the same"),
        pytest.param(None, None, PAGE, "one  \ntwo\nthree\nfour\n\n", 0, 0, id="white space"),
        pytest.param(None, None, PAGE, "one\nTWO\nthree\nfour\n", 2, 2, id="one line replaced"),
        pytest.param(None, None, PAGE, "one\nthree\nfour\n", 1, 1, id="one line removed"),
        pytest.param(None, None, PAGE, PAGE + "five\n", 1, 0, id="one line added"),
        pytest.param(None, None, PAGE, None, 4, 4, id="deleted"),
        pytest.param(
            PAGE, PAGE, "one\nmine\nthree\nfour\n", "one\nmine\nthree\nFOUR\n", 1, 0, id="a line that is not ours"
        ),
        pytest.param(
            PAGE,
            "one\ntwo\nthree\nmain\n",
            "one\nmine\nthree\nfour\n",
            "one\nmine\nthree\nmain\n",
            0,
            0,
            id="main moved",
        ),
    ],
)
def test_only_lines_that_we_delivered_count(
    base: str | None, main: str | None, ours: str, theirs: str | None, at_landing: int, later: int
) -> None:
    assert at_landing == touched(base, main, ours, theirs, insertions=True)
    assert later == touched(base, main, ours, theirs, insertions=False)


def test_very_long_texts_are_compared_as_bags_of_lines() -> None:
    ours = "".join(f"line {number}\n" for number in range(5_000))
    assert touched(None, None, ours, ours.replace("line 77\n", "other\n"), insertions=True) == 2
