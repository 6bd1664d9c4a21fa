"""What is wrong and what to do about it, in one line."""

from __future__ import annotations

import pytest

from hqd.errors import joined
from hqd.model.problem import Problem


@pytest.mark.parametrize(
    ("message", "remedy", "said"),
    [
        ("Repository not found.", "look at the URL", "Repository not found; look at the URL"),
        ("no such file", "make one", "no such file; make one"),
        ("It ended.", "", "It ended."),
        ("and so on...", "wait", "and so on...; wait"),
        ("", "wait", "; wait"),
    ],
)
def test_a_full_stop_goes_where_a_remedy_follows(message: str, remedy: str, said: str) -> None:
    assert joined(message, remedy) == said
    assert Problem("a.md", 0, "", message, remedy).text == said


def test_another_joint_may_be_named() -> None:
    assert joined("Repository not found.", "look at the URL", ": ") == "Repository not found: look at the URL"
