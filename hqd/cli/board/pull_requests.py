"""What a task's pull request waits for, as the daemon last heard it: lines for people."""

from __future__ import annotations

from datetime import datetime

from hqd.cli import terminal
from hqd.cli.board.reading import View
from hqd.cli.board.waiting import UNASKED, unasked
from hqd.model.board import Task
from hqd.model.forge_news import RepositoryNews
from hqd.model.task import State

MOST_UNHEARD = 5


def waiting(seen: View, task: Task, moment: datetime) -> str:
    """One line: what is missing on the forge, where, and since when nobody could look. Empty: it is on no forge."""
    state = task.cursor.review
    if task.state is not State.REVIEW or state is None or state.number is None:
        return ""
    news = seen.forge.reviews.get(task.id)
    known = news is not None and news.number == state.number and bool(news.waits)
    whom = UNASKED if unasked(task) else "a person's word"
    waits = news.waits if news is not None and known else f"pull request #{state.number} waits for {whom}"
    where = f" ({state.url})" if state.url else ""
    return waits + where + _trouble(seen, task, moment)


def unheard(seen: View, task: Task) -> list[str]:
    """Words on its pull request of people who may not write: shown here, sent to nobody."""
    news = seen.forge.reviews.get(task.id)
    found = list(news.unheard) if news is not None else []
    more = len(found) - MOST_UNHEARD
    return found if more <= 0 else [*found[:MOST_UNHEARD], f"… and {more} more"]


def _trouble(seen: View, task: Task, moment: datetime) -> str:
    about = seen.forge.repositories.get(task.cursor.repo or "", RepositoryNews())
    news = seen.forge.reviews.get(task.id)
    if about.trouble and about.failing is not None:
        return f"; the forge could not be asked for {terminal.age(about.failing, moment)}: {about.trouble}"
    return f"; {news.trouble}" if news is not None and news.trouble else ""
