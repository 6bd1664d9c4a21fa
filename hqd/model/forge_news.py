"""What the daemon last heard of pull requests, for the commands that people type; it may be lost at any time."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from hqd.model.value import Value

FILE = "forge.json"
"""In .git/hqd. Disposable: without it everything is asked again."""


class ReviewNews(Value):
    """One pull request. `waits`: what is missing; `unheard`: words of people without a say; `quiet`: nothing is due.

    `stamp`: the number of the task's newest record when it was looked at; `at`: when that was.
    """

    number: int
    url: str = ""
    waits: str = ""
    unheard: tuple[str, ...] = ()
    updated: datetime | None = None
    stamp: int = 0
    quiet: bool = False
    at: datetime | None = None
    trouble: str = ""


class RepositoryNews(Value):
    """One repository on a forge. `since`: asked up to there; `asked`: the last good look; `trouble` since `failing`."""

    since: datetime | None = None
    asked: datetime | None = None
    trouble: str = ""
    failing: datetime | None = None


class ForgeNews(Value):
    """By task, and by name in `[repos.*]` (empty: the HQ)."""

    reviews: dict[str, ReviewNews] = Field(default_factory=dict)
    repositories: dict[str, RepositoryNews] = Field(default_factory=dict)
