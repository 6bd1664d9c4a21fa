"""Moves and recorded events as people read them. Pure."""

from __future__ import annotations

from hqd.core.moves import ClaimStep, End, FailStep, GoTo, Land, Move, Park
from hqd.model.record import Event, EventKind


def words(move: Move) -> str:
    """A move as people read it."""
    match move:
        case ClaimStep():
            by = f" by {move.agent}" if move.agent else ""
            return f"{move.mode} {move.step}{by}" if move.mode != "first" else f"begin {move.step}{by}"
        case GoTo():
            return f"go to {move.step}"
        case FailStep():
            return f"fail {move.step}"
        case Park():
            return f"park: {move.reason.value}"
        case Land():
            return "land"
        case End():
            return "drop" if move.dropped else "done"
        case _:
            return f"wait: {move.missing}"


def said(event: Event) -> str:
    """What was decided, as `words` puts it."""
    match event.event:
        case EventKind.CLAIMED:
            by = f" by {event.agent}" if event.agent else ""
            return f"{event.mode if event.mode != 'first' else 'begin'} {event.step}{by}"
        case EventKind.ROUTED:
            return f"go to {event.step}"
        case EventKind.PARKED:
            return f"park: {event.reason.value if event.reason is not None else ''}"
        case EventKind.FINISHED:
            return f"{event.step} {event.outcome.value if event.outcome is not None else 'ends'}"
        case EventKind.REVIEW_OPENED:
            return "review"
        case EventKind.LANDED:
            return "land"
        case EventKind.DROPPED:
            return "drop"
        case _:
            return event.event.value


def why(was: Move, other: Move) -> str:
    """Why one move came in place of another."""
    if isinstance(other, Park):
        return other.missing
    if isinstance(was, Park):
        return f"what parked it no longer does: {was.missing}"
    if isinstance(was, ClaimStep) and isinstance(other, ClaimStep):
        if was.step != other.step:
            return f"step {other.step} comes in place of {was.step}"
        if was.mode != other.mode:
            return f"another rung: {other.mode} in place of {was.mode}"
        return "another agent or playbook"
    return "another way on"
