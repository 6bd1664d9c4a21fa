"""Which edit of a playbook made it better or worse: versions side by side, neighbours compared. Pure.

Only like is compared with like: one step, one agent set up one way, one model, all judged by one fixed gate set. What
is left is observation all the same: tasks of different weeks differ too. Small samples are called what they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist

from hqd.core.history.wilson import interval
from hqd.core.report.share import Share

ENOUGH = 10
"""Fewer cases than this on either side, and nothing is said of a difference."""

ALPHA = 0.05


class Said(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    OPEN = "no difference shown"
    FEW = "not enough"


@dataclass(frozen=True, slots=True)
class Trial:
    """One case: of which version, by whom, and whether it was good. `order`: place on main's line."""

    version: str
    order: int
    step: str
    maker: str  # agent, model and set-up
    good: bool


@dataclass(frozen=True, slots=True)
class Version:
    """What one version came to."""

    version: str
    step: str
    maker: str
    good: Share


@dataclass(frozen=True, slots=True)
class Compared:
    """Two neighbours. `difference` of their shares with its interval, widened for all comparisons made at once."""

    before: Version
    after: Version
    difference: float
    low: float
    high: float
    said: Said


def versions(trials: Sequence[Trial]) -> tuple[Version, ...]:
    """One row for each version, step and maker; versions in the order in which they were first used."""
    first: dict[str, int] = {}
    counts: dict[tuple[str, str, str], list[int]] = {}
    for trial in sorted(trials, key=lambda each: each.order):
        first.setdefault(trial.version, trial.order)
        count = counts.setdefault((trial.step, trial.maker, trial.version), [0, 0])
        count[0] += trial.good
        count[1] += 1
    ordered = sorted(counts, key=lambda key: (key[0], key[1], first[key[2]]))
    return tuple(
        Version(version, step, maker, Share(*counts[step, maker, version])) for step, maker, version in ordered
    )


def compare(rows: Sequence[Version]) -> tuple[Compared, ...]:
    """Every two neighbours of one step and maker, by Newcombe's interval for a difference of shares.

    Bonferroni: with k comparisons that have enough cases, each interval covers with 1 - 0.05 / k.
    """
    pairs = [
        (before, after) for before, after in pairwise(rows) if (before.step, before.maker) == (after.step, after.maker)
    ]
    many = sum(_enough(before, after) for before, after in pairs)
    z = NormalDist().inv_cdf(1 - ALPHA / (2 * max(1, many)))
    return tuple(_compared(before, after, z) for before, after in pairs)


def _enough(before: Version, after: Version) -> bool:
    return before.good.n >= ENOUGH and after.good.n >= ENOUGH


def _compared(before: Version, after: Version, z: float) -> Compared:
    difference, low, high = newcombe(before.good, after.good, z)
    if not _enough(before, after):
        said = Said.FEW
    elif high < 0:
        said = Said.WORSE
    else:
        said = Said.BETTER if low > 0 else Said.OPEN
    return Compared(before, after, difference, low, high, said)


def newcombe(before: Share, after: Share, z: float) -> tuple[float, float, float]:
    """`after` - `before` with its interval: Newcombe's hybrid score method (Stat. Med. 17, 1998, no. 10)."""
    p1, p2 = before.rate or 0.0, after.rate or 0.0
    low1, high1 = interval(before.hits, before.n, z)
    low2, high2 = interval(after.hits, after.n, z)
    difference = p2 - p1
    return (
        difference,
        max(-1.0, difference - math.hypot(p2 - low2, high1 - p1)),
        min(1.0, difference + math.hypot(high2 - p2, p1 - low1)),
    )
