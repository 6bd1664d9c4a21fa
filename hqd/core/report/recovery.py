"""What recovery is worth: per failure class and rung, how often it was tried, how often it helped, its cost. Pure.

Read from records alone. A rung is credited with the very next end of the step that had failed: a pass is `accepted`.
A route rung is credited, and charged with all attempts on its way, when the step that it left is done again. Attempts
that a provider refused unseen, or that were interrupted, are no trial of a rung.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hqd.core.history.wilson import interval
from hqd.core.report.facts import Fact
from hqd.model.failure import Failure, Outcome
from hqd.model.record import EventKind

FEW = 5
"""Below so many trials nothing is said of a rung that has never helped."""


@dataclass(frozen=True, slots=True)
class Row:
    """One class and rung. `cost` in dollars; `low`, `high`: Wilson's 95 % interval of accepted of tried."""

    failure: str
    rung: str
    tried: int
    accepted: int
    cost: float
    low: float
    high: float

    @property
    def never(self) -> bool:
        """Tried often enough to be seen to help, and never did."""
        return self.tried >= FEW and self.accepted == 0


@dataclass(slots=True)
class _Count:
    tried: int = 0
    accepted: int = 0
    cost: float = 0.0


@dataclass(slots=True)
class _Walk:
    """One task's records in order."""

    counts: dict[tuple[str, str], _Count]
    failed: dict[str, Failure] = field(default_factory=dict)  # step -> class of its last failure
    left: tuple[str, str, str] | None = None  # class, rung and step that a route rung left
    way: float = 0.0  # dollars spent since then
    human: bool = False
    trial: tuple[str, str] | None = None

    def see(self, record: Fact) -> None:
        if record.event is EventKind.CLAIMED:
            self.trial = self._rung(record)
        elif record.event is EventKind.FINISHED:
            self._end(record)
        elif record.event is EventKind.ROUTED and record.route is not None and "#" in record.route:
            origin, _, key = record.route.partition("#")
            failure = self.failed.get(origin)
            if failure is not None and key.startswith(("ladder", "replan")):
                self.left, self.way = (failure.value, f"route to {record.step}", origin), 0.0
        elif record.event in (EventKind.RESUMED, EventKind.ANSWERED):
            self.human = True

    def _rung(self, record: Fact) -> tuple[str, str] | None:
        """The class and rung that a claim tries; None: a first try."""
        failure = self.failed.get(record.step or "")
        if self.human and failure is not None:
            return failure.value, "human"
        if self.left is not None and self.left[2] == record.step:
            return self.left[0], self.left[1]
        if failure is None or record.mode == "first":
            return None
        agent = f" {record.agent}" if record.mode == "agent" else ""
        return failure.value, f"{record.mode}{agent}"

    def _end(self, record: Fact) -> None:
        step, cost = record.step or "", record.cost or 0.0
        self.way += cost
        if record.outcome in (Outcome.REFUSED, Outcome.INTERRUPTED):
            return
        if self.trial is not None:
            count = self.counts.setdefault(self.trial, _Count())
            count.tried += 1
            count.accepted += record.outcome is Outcome.PASSED
            returned = self.left is not None and self.left[2] == step
            count.cost += self.way if returned else cost
            self.left = None if returned else self.left
        self.human = self.human and self.trial is None
        self.trial = None
        if record.outcome is Outcome.PASSED:
            self.failed.pop(step, None)
        elif record.failure is not None and record.failure is not Failure.NO_PROGRESS:
            self.failed[step] = record.failure


def recovery(tasks: Iterable[Sequence[Fact]]) -> tuple[Row, ...]:
    """The rows over the records of many tasks, the most tried first within each class."""
    counts: dict[tuple[str, str], _Count] = {}
    for records in tasks:
        walk = _Walk(counts)
        for record in records:
            walk.see(record)
    rows = [
        Row(failure, rung, each.tried, each.accepted, round(each.cost, 6), *interval(each.accepted, each.tried))
        for (failure, rung), each in counts.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.failure, -row.tried, row.rung)))
