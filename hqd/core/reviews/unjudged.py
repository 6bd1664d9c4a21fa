"""What no gate has judged of work that people are asked about. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hqd.model.failure import Outcome
from hqd.model.gate import NOT_JUDGED, GateResult, Level
from hqd.model.record import Event, EventKind

_MOST = 400


def unjudged(records: Iterable[Event]) -> tuple[tuple[str, GateResult], ...]:
    """(step, verdict) of gates that let the work of a step's newest passed attempt through without judging it.

    Shadow gates are told to nobody: people would no longer judge blindly what the gate is measured by.
    """
    newest: dict[str, tuple[GateResult, ...]] = {}
    for record in records:
        passed = record.event is EventKind.FINISHED and record.outcome is Outcome.PASSED
        if passed or record.event is EventKind.REVIEW_OPENED:
            newest[record.step or ""] = record.gates
    return tuple(
        (step, result)
        for step, results in newest.items()
        for result in results
        if result.unjudged and result.level is not Level.SHADOW
    )


def in_words(result: GateResult) -> str:
    """`tests: already red before this attempt, …`, to stand under the heading "not judged": one line, bounded."""
    said = " ".join(result.message.removeprefix(NOT_JUDGED).split())
    return f"{result.name}: {said if len(said) <= _MOST else said[: _MOST - 1] + '…'}"
