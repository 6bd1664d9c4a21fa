"""Wilson's score interval for a share: honest for few cases and near 0 and 1."""

from __future__ import annotations

import math

Z95 = 1.959963984540054


def interval(hits: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Lower and upper end for `hits` of `n` (95 % by default); (0, 1) where there is nothing to go by.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if n <= 0:
        return 0.0, 1.0
    share = hits / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
