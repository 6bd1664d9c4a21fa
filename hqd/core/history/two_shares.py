"""Two shares of two groups: how far apart they may be, whether by chance, how many cases it takes to see. Pure."""

from __future__ import annotations

import math
from statistics import NormalDist

from hqd.core.history.wilson import Z95, interval


def newcombe(hits: int, n: int, other_hits: int, other_n: int, z: float = Z95) -> tuple[float, float]:
    """The interval of the first share less the second (95 % by default); (-1, 1) where a group is empty.

    Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17
    (1998), method 10: from Wilson's intervals of the two.
    """
    if n <= 0 or other_n <= 0:
        return -1.0, 1.0
    one, other = hits / n, other_hits / other_n
    low, high = interval(hits, n, z)
    other_low, other_high = interval(other_hits, other_n, z)
    apart = one - other
    down = math.sqrt((one - low) ** 2 + (other_high - other) ** 2)
    up = math.sqrt((high - one) ** 2 + (other - other_low) ** 2)
    return max(-1.0, apart - down), min(1.0, apart + up)


def fisher(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """Fisher's exact test, two-sided: the chance of a table as unlikely as this one if both groups were alike."""
    total, drawn = n + other_n, hits + other_hits
    low, high = max(0, drawn - other_n), min(n, drawn)
    chances = [_log_choose(n, each) + _log_choose(other_n, drawn - each) for each in range(low, high + 1)]
    whole = _log_choose(total, drawn)
    seen = chances[hits - low]
    return min(1.0, sum(math.exp(each - whole) for each in chances if each <= seen + 1e-9))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def needed(effect: float, share: float, alpha: float, power: float) -> tuple[int, int]:
    """How many cases each group takes, so that a difference of `effect` is found with `power` at level `alpha`.

    `share`: the second group's part of all cases. For shares around one half, where most are needed; with Fleiss's
    correction, since the exact test is careful (Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions").
    """
    one, other = 0.5 + effect / 2, 0.5 - effect / 2
    rate = share / (1 - share)  # cases of the second group for each of the first
    middle = (one + rate * other) / (1 + rate)
    normal = NormalDist()
    chance, missed = normal.inv_cdf(1 - alpha / 2), normal.inv_cdf(power)
    apart = chance * math.sqrt((1 + rate) * middle * (1 - middle))
    apart += missed * math.sqrt(rate * one * (1 - one) + other * (1 - other))
    plain = apart**2 / (rate * effect**2)
    first = plain / 4 * (1 + math.sqrt(1 + 2 * (rate + 1) / (plain * rate * effect))) ** 2
    return math.ceil(first), math.ceil(first * rate)
