"""Likely typos: which known word was meant."""

from __future__ import annotations

from collections.abc import Iterable


def distance(one: str, other: str, limit: int) -> int:
    """Letters to insert, delete, change, or swap with their neighbour, to get from one word to the other.

    `limit` + 1 where it is more.
    """
    if abs(len(one) - len(other)) > limit:
        return limit + 1
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            best = min(row[j - 1] + 1, rows[-1][j] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return min(rows[-1][-1], limit + 1)


def nearest(word: str, known: Iterable[str], limit: int = 2) -> str | None:
    """The known word within `limit` letters of `word`; None where there is none, or it is known itself."""
    ranked = sorted((distance(word.lower(), other.lower(), limit), other) for other in known)
    if not ranked or ranked[0][0] > limit or word in {other for _, other in ranked}:
        return None
    return ranked[0][1]


def meant(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` or, for a word like none of them, the list of what is known."""
    words = sorted(known)
    close = nearest(word, words, limit=min(2, max(1, len(word) // 2)))
    if close is None and len(word) > 2:
        longer = [other for other in words if other.startswith(word)]
        close = longer[0] if len(longer) == 1 else None
    if close is not None:
        return f"did you mean {close}?"
    return f"known: {', '.join(words)}" if words else "there are none"
