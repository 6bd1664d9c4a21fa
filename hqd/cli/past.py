"""History told for figures: the stories of all tasks, with labels where they are wanted, and what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass

from hqd.cli.finding import every_task
from hqd.cli.finding import told as told_task
from hqd.cli.reading import View
from hqd.core.report.facts import Fact, fact_of
from hqd.core.report.story import Story, stories


@dataclass(frozen=True, slots=True)
class Told:
    stories: tuple[Story, ...]
    remarks: tuple[str, ...] = ()


def told(seen: View, *, labels: bool = True) -> Told:
    """All tasks of main's history. `labels`: with later edits and reverts."""
    facts: dict[str, list[Fact]] = {}
    remarks: list[str] = []
    for task in every_task(seen.tree):
        found = told_task(seen.tree, task)
        facts[task] = [fact_of(task, record) for record in found.records]
        remarks += found.unreadable
    return Told(stories(facts), tuple(remarks))
