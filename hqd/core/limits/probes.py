"""One probe at a time: is something under way already that will tell whether a hold's cause is gone? Pure."""

from __future__ import annotations

from collections import Counter

from hqd.core.reviews.holds import FORGE
from hqd.model.board import Board, Rules
from hqd.model.record import Hold
from hqd.model.task import State


def tried(hold: Hold, board: Board, rules: Rules, agents: Counter[str]) -> bool:
    """Whether an attempt, or an opening, is under way that meets the hold's cause. `agents`: runs of each."""
    kind, _, name = hold.on.partition(":")
    if kind == FORGE:
        active = (
            task for task in board.tasks.values() if task.state is State.ACTIVE and name in ("", task.cursor.repo)
        )
        return any((step := board.step_of(task)) is not None and step.review is not None for task in active)
    if kind == "agent":
        return agents[name] > 0
    settings = rules.settings.agents
    return kind == "provider" and any(
        settings[each].provider == name for each in agents if agents[each] > 0 and each in settings
    )
