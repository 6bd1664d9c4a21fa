"""Names that follow from a task's id alone."""

from __future__ import annotations

import re

TASK_ID = re.compile(r"(?P<day>\d{8})-(?P<slug>[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?)-(?P<hex>[0-9a-f]{6})")
"""`YYYYMMDD-slug-hhhhhh`."""


def slug_of(task: str) -> str:
    """The slug in a task id; the text itself where it is no id."""
    found = TASK_ID.fullmatch(task)
    return found["slug"] if found else task


def branch(task: str) -> str:
    """The branch on which a task's work is done."""
    return f"hqd/{task}"


def review_ref(task: str) -> str:
    """The ref that keeps what was reviewed, when the branch is gone."""
    return f"refs/hqd/review/{task}"
