"""How long to wait after a failure that is nobody's fault. Deterministic: the jitter comes from a seed."""

from __future__ import annotations

import hashlib
from datetime import timedelta

FIRST = 2.0
LONGEST = 300.0


def delay(tries: int, retry_after: float | None, *, seed: str) -> timedelta:
    """Exponential from 2 s to 5 min with up to a quarter of jitter; a provider's retry-after is a floor.

    `tries` counts the failures in a row, from 1.
    """
    base = min(LONGEST, FIRST * 2 ** (tries - 1))
    share = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:2], "big") / 65535
    wait = base * (1 + share / 4)
    if retry_after is not None:
        wait = max(wait if tries > 1 else 0.0, min(retry_after, 3600.0) * (1 + share / 10))
    return timedelta(seconds=round(wait, 3))
