"""Asks `decide` until nothing is left, and puts what it says into the draft. Merges come after the batch."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from hqd.core.decide import Action, Happen, HoldUp, LandWork, LiftHold, SpawnTasks, Start, decide
from hqd.core.decisions import files
from hqd.daemon.draft import Draft
from hqd.daemon.people.intake import Door
from hqd.daemon.spawning import spawn

MOST_ROUNDS = 40
"""How often a turn asks `decide` again; each round moves a task at least one event on."""


def decide_all(draft: Draft, door: Door, known: Collection[str], now: datetime) -> list[LandWork]:
    """The merges that are asked for. `known`: secret values, which no child's text may contain."""
    for _round in range(MOST_ROUNDS):
        actions = decide(draft.now_board(), now)
        if all(isinstance(action, LandWork) for action in actions):
            return [action for action in actions if isinstance(action, LandWork)]
        topics: set[str] = set()
        for action in actions:
            if isinstance(action, Happen) and _settles_again(draft, action, topics):
                continue  # the next round looks at it beside what the first one has settled
            if isinstance(action, SpawnTasks):
                spawn(draft, action, door, known, now)
            else:
                _apply(draft, action, now)
    return []


def _settles_again(draft: Draft, action: Happen, topics: set[str]) -> bool:
    """Whether an event files a decision on a topic on which another one of this round does; counts its topics in."""
    filed = files(draft.tasks[action.task], action.event)
    mine = {each.topic.casefold() for each in filed if each.topic is not None}
    again = bool(mine & topics)
    topics |= mine
    return again


def _apply(draft: Draft, action: Action, now: datetime) -> None:
    if isinstance(action, Happen):
        draft.happen(draft.tasks[action.task], action.event)
    elif isinstance(action, Start):
        draft.start(action)
    elif isinstance(action, HoldUp):
        draft.hold(action.hold, now)
    elif isinstance(action, LiftHold):
        draft.lift(action.name, now, "hqd", action.why)
