"""The ends of a spawn step's attempts: its children are made, or too many of them were dropped. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hqd.core.moves import FailStep
from hqd.core.steps.spawn import Child
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Event, EventKind
from hqd.model.task import State


def spawned(claim: Event, children: Sequence[Child]) -> Event:
    """Passed; the daemon adds the ids of the children."""
    made = sum(1 for child in children if child.id is None)
    kept = f", {len(children) - made} were there already" if made < len(children) else ""
    return Event(
        event=EventKind.FINISHED,
        to=State.QUEUE,
        at=claim.at,
        step=claim.step,
        attempt=claim.attempt,
        outcome=Outcome.PASSED,
        message=f"{made} {'child' if made == 1 else 'children'} made{kept}",
        spawned=" ".join(child.key for child in children),
    )


def failed(claim: Event, move: FailStep) -> Event:
    """One more attempt, which looked at the children and failed."""
    return Event(
        event=EventKind.FINISHED,
        to=State.QUEUE,
        at=claim.at,
        step=claim.step,
        attempt=claim.attempt,
        outcome=Outcome.FAILED,
        failure=Failure.CHILD,
        message=f"step {move.step}: " + "; ".join(finding.text for finding in move.findings[:3]),
        findings=move.findings,
    )
