"""A share as it is told: counts first, then Wilson's interval. Never "0 %" and never "100 %".

0 of 40 does not say that it never happens, but that it happens in 8.8 % of cases at most (95 % sure).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from hqd.core.history.wilson import interval


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n` cases. Weighted cases (1/probability) may be fractions."""

    hits: float
    n: float

    @property
    def rate(self) -> float | None:
        return self.hits / self.n if self.n > 0 else None

    @property
    def low(self) -> float:
        return interval(self.hits, self.n)[0]

    @property
    def high(self) -> float:
        return interval(self.hits, self.n)[1]

    def __add__(self, other: Share) -> Share:
        return Share(self.hits + other.hits, self.n + other.n)

    def __str__(self) -> str:
        """`12 of 40 (30 %, 18 to 45 %)`, `0 of 40 (≤ 8.8 %)`, `40 of 40 (≥ 91.2 %)`, `none yet`."""
        if self.n <= 0:
            return "none yet"
        counts = f"{self.hits:.4g} of {self.n:.4g}" if self.n % 1 else f"{self.hits:.0f} of {self.n:.0f}"
        if self.hits <= 0:
            return f"{counts} (≤ {percent(self.high)})"
        if self.hits >= self.n:
            return f"{counts} (≥ {percent(self.low)})"
        return f"{counts} ({percent(self.hits / self.n)}, {percent(self.low)[:-2]} to {percent(self.high)})"

    def facts(self) -> dict[str, float | list[float] | None]:
        """For --json."""
        rate = self.rate
        return {
            "hits": self.hits,
            "n": self.n,
            "rate": None if rate is None else round(rate, 6),
            "interval": [round(self.low, 6), round(self.high, 6)],
        }


def share(cases: Iterable[bool]) -> Share:
    """How many of the cases hold."""
    known = list(cases)
    return Share(sum(known), len(known))


def weighted(cases: Iterable[tuple[bool, float]]) -> Share:
    """A share of cases that each stand for `weight` of them: the weighted rate, on the effective number of cases.

    Kish's effective sample size, (sum of weights)² / (sum of squares): weights must not make twenty cases of one.
    """
    known = [(holds, weight) for holds, weight in cases if weight > 0]
    if not known:
        return Share(0, 0)
    whole = sum(weight for _holds, weight in known)
    n = whole * whole / sum(weight * weight for _holds, weight in known)
    return Share(n * sum(weight for holds, weight in known if holds) / whole, n)


def percent(part: float) -> str:
    """`8.8 %`, `30 %`, `99.6 %`: two digits that say something, and no rounding up to all or down to nothing."""
    value = 100 * part
    if value <= 0 or value >= 100:
        return f"{min(100, max(0, value)):.0f} %"
    if value < 10:
        return f"{float(f'{value:.2g}'):g} %"
    if value > 90:
        return f"{math.floor(value * 10) / 10:g} %"
    return f"{value:.0f} %"


def median(values: Iterable[float]) -> float | None:
    """The middle one, or the mean of the two in the middle; None of nothing."""
    known = sorted(values)
    if not known:
        return None
    half = len(known) // 2
    return known[half] if len(known) % 2 else (known[half - 1] + known[half]) / 2


def quantile(values: Iterable[float], part: float) -> float | None:
    """The smallest value that at least `part` of all do not exceed (nearest rank); None of nothing."""
    known = sorted(values)
    return known[max(0, math.ceil(part * len(known)) - 1)] if known else None


def dollars(cost: float | None) -> str:
    """`$0.0123`, `$4.20`; `unknown` where nobody told."""
    if cost is None:
        return "unknown"
    return f"${cost:,.2f}" if cost >= 0.1 or cost == 0 else f"${cost:.4f}"


def span(seconds: float | None) -> str:
    """`42 s`, `7.5 min`, `3.2 h`, `5.1 d`; a dash where there is none."""
    if seconds is None:
        return "—"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
