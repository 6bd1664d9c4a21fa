"""How many lines of delivered work a person changed. Pure, over texts."""

from __future__ import annotations

from collections.abc import Sequence, Set
from difflib import SequenceMatcher

MOST_LINES = 4_000
"""Longer texts are compared as bags of lines: enough to say that, and about how much, was changed."""


def touched(base: str | None, main: str | None, ours: str, theirs: str | None, *, insertions: bool) -> int:
    """Lines removed from and put into what we delivered, on the way from `ours` to `theirs` (None: deleted).

    `base`: what we began from (None: nothing), whose lines we did not deliver. `main`: what stood there just before;
    its lines are nobody's edit. `insertions`: new lines between ours count by themselves too, not only where they
    replace one of ours. White space at ends of lines is nothing.
    """
    mine, other, old = _lines(ours), _lines(theirs or ""), _lines(base or "")
    if mine == other:
        return 0
    known = {*old, *_lines(main or "")}
    if max(len(mine), len(other), len(old)) > MOST_LINES:
        return _as_bags(mine, other, old, known)
    delivered = _delivered(old, mine)
    count = 0
    for tag, low, high, other_low, other_high in SequenceMatcher(None, mine, other, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        removed = sum(delivered[low:high])
        if removed or insertions:
            count += removed + sum(1 for line in other[other_low:other_high] if line not in known)
    return count


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()] if text.strip() else []


def _delivered(old: Sequence[str], mine: Sequence[str]) -> list[bool]:
    """Which lines of `mine` did not stand in `old`."""
    if not old:
        return [True] * len(mine)
    new = [True] * len(mine)
    for _a, start, length in SequenceMatcher(None, old, mine, autojunk=False).get_matching_blocks():
        new[start : start + length] = [False] * length
    return new


def _as_bags(mine: Sequence[str], other: Sequence[str], old: Sequence[str], known: Set[str]) -> int:
    ours, theirs = set(mine) - set(old), set(other)
    return len(ours - theirs) + len(theirs - set(mine) - known)
