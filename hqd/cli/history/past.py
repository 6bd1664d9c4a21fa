"""History told for figures: the stories of all tasks, with labels where they are wanted, and what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass

from hqd.adapters.archive import GitArchive, no_collection
from hqd.cli import terminal
from hqd.cli.board.reading import View
from hqd.core.report.facts import facts_of
from hqd.core.report.story import Story, stories
from hqd.model.corpus import Past
from hqd.model.settings import LessonSettings


@dataclass(frozen=True, slots=True)
class Told:
    stories: tuple[Story, ...]
    remarks: tuple[str, ...] = ()


def told(seen: View, *, labels: bool = True) -> Told:
    """All tasks of main's history. `labels`: with later edits and reverts."""
    archive = archive_of(seen)
    with terminal.spinner("reading history"), no_collection():
        if not labels:
            past = archive.past(seen.tree.commit)
            return Told(stories(facts_of(past.events)), remarks_of(past))
        past, corpus = archive.both(seen.tree.commit, label_days(seen))
        return Told(stories(facts_of(past.events), corpus.cases), remarks_of(past))


def archive_of(seen: View) -> GitArchive:
    return GitArchive(seen.repo)


def label_days(seen: View) -> float:
    """For how many days after its landing an edit or a revert counts against an output."""
    settings = seen.current.settings.lessons if seen.current is not None else LessonSettings()
    return float(settings.label_days)


def remarks_of(past: Past) -> tuple[str, ...]:
    """What of history is not to be had, one line each."""
    return tuple(f"{remark.message} ({remark.where})" if remark.where else remark.message for remark in past.remarks)
