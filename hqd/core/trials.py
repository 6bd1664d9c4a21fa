"""The tries of a step, as its cursor remembers them: what a diagnosis is made of. Pure."""

from __future__ import annotations

from hqd.model.failure import Failure
from hqd.model.gate import GateStatus
from hqd.model.record import Cursor, Event, Trial

KEPT = 3
_WORDS = 200
_GATES = 6


def after(cursor: Cursor, event: Event, step: str) -> dict[str, tuple[Trial, ...]]:
    """The tries of all steps, with this failed one; a prompt that was refused unsent is none. A step keeps its newest
    three."""
    if event.failure is None or event.failure is Failure.NO_PROGRESS:
        return cursor.trials
    known = cursor.trials.get(step, ())
    red = [result for result in event.gates if result.stops and result.status is GateStatus.FAIL][:_GATES]
    failed = {result.name: " ".join(result.message.split())[:_WORDS] for result in red}
    before = known[-1].failed if known else {}
    trial = Trial(
        attempt=int(event.attempt or 0),
        failure=event.failure,
        message=" ".join((event.message or "").split())[:_WORDS],
        fingerprint=event.fingerprint,
        failed=failed,
        scores={
            result.name: (result.score, result.threshold)
            for result in red
            if result.score is not None and result.threshold is not None
        },
        worse=bool(before) and bool(failed.keys() - before.keys()),
    )
    return {**cursor.trials, step: (*known, trial)[-KEPT:]}
