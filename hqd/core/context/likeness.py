"""Whether two documents say nearly the same: rapidfuzz's normalised edit similarity, at least 0.95."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

NEARLY = 0.95
LONGEST = 20_000
"""Characters that are compared; two longer texts that begin so much alike are the same document for a reader."""

_SHORTEST = 80
"""Characters below which likeness says nothing: two one-line notes that differ in a number are two notes."""


@lru_cache(maxsize=16_384)
def nearly_same(one: str, other: str) -> bool:
    """Whether the texts differ in at most a twentieth of what they say; white space does not count."""
    left, right = _plain(one), _plain(other)
    if left == right:
        return True
    short, long = sorted((len(left), len(right)))
    if short < _SHORTEST or short < long * (2 * NEARLY - 1):
        return False
    left, right = left[:LONGEST], right[:LONGEST]
    if not _may_be(left, right):
        return False
    from rapidfuzz.distance import Indel  # here: hardly two documents are so alike that they have to be measured

    return Indel.normalized_similarity(left, right, score_cutoff=NEARLY) >= NEARLY


@lru_cache(maxsize=2048)
def _plain(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=2048)
def _letters(text: str) -> Counter[str]:
    return Counter(text)


def _may_be(left: str, right: str) -> bool:
    """A cheap bound: characters that only one of them has are edits at least."""
    mine, other = _letters(left), _letters(right)
    apart = sum(abs(mine[char] - other[char]) for char in mine.keys() | other.keys())
    return 1 - apart / (len(left) + len(right)) >= NEARLY
