"""Where attempts die: playbook and step against gate, or class of failure. Pure.

An attempt that two gates stop counts in both rows, and its cost too: rows do not add up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from hqd.core.report.share import Share
from hqd.core.report.story import Try
from hqd.model.failure import Failure


@dataclass(frozen=True, slots=True)
class Death:
    """`died`: of the tries of this step. `cost`: dollars of the tries that died here."""

    playbook: str
    step: str
    cause: str  # `gate NAME`, or a class of failure
    died: Share
    cost: float


def deaths(tries: Iterable[Try]) -> tuple[Death, ...]:
    """The rows, the most deaths first. Tries that do not count (provider down, interrupted) are left out."""
    tried: Counter[tuple[str, str]] = Counter()
    died: Counter[tuple[str, str, str]] = Counter()
    cost: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for each in tries:
        if not each.counted:
            continue
        tried[each.playbook, each.step] += 1
        for cause in causes(each):
            died[each.playbook, each.step, cause] += 1
            cost[each.playbook, each.step, cause] += each.cost or 0.0
    rows = [
        Death(playbook, step, cause, Share(count, tried[playbook, step]), round(cost[playbook, step, cause], 6))
        for (playbook, step, cause), count in died.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.died.hits, row.playbook, row.step, row.cause)))


def causes(each: Try) -> tuple[str, ...]:
    """What a failed try died of; nothing for one that passed."""
    if each.passed:
        return ()
    stopped = [f"gate {gate.name}" for gate in each.stopped_by]
    if stopped and each.failure in (Failure.GATE, Failure.POLICY):
        return tuple(dict.fromkeys(stopped))
    return (each.failure.value if each.failure is not None else "failed",)
