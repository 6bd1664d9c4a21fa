"""Mutants: accepted texts with the failure put back. The correction of the evidence is applied backwards. Pure.

The gate's own parameters are never looked at: a mutant made from them would prove that the gate finds what it looks
for, which is no news. What is taken is only the difference between the good text and the bad one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_TOKEN = re.compile(r"\s+|[\w'’-]+|[^\w\s]", re.UNICODE)
_GAP = 2
MOST_TOKENS = 4_000
"""Tokens of a text that are compared; of a longer one the beginning."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place of the correction, backwards: `good` becomes `bad`. `at`: where, as a share of the good text."""

    good: str
    bad: str
    at: float
    share: float  # of the good text that this hunk is


def hunks(good: str, bad: str) -> tuple[Hunk, ...]:
    """The difference, from good to bad. Places with a word or two between them are one: a phrase is not torn."""
    one, other = _TOKEN.findall(good)[:MOST_TOKENS], _TOKEN.findall(bad)[:MOST_TOKENS]
    spans: list[tuple[int, int, int, int]] = []
    for tag, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if spans and sum(not token.isspace() for token in one[spans[-1][1] : a]) <= _GAP:
            spans[-1] = (spans[-1][0], b, spans[-1][2], d)
        else:
            spans.append((a, b, c, d))
    total = max(1, len(one))
    return tuple(Hunk("".join(one[a:b]), "".join(other[c:d]), a / total, (b - a) / total) for a, b, c, d in spans)


def mutant(text: str, correction: Sequence[Hunk]) -> str | None:
    """An accepted text with the correction taken back; None where nothing of it can be applied here.

    What was replaced or cut out is looked for in the text; where it is not there, the same share of it at the same
    place is. What had been added in the bad text is put in at the same place.
    """
    made = text
    for hunk in sorted(correction, key=lambda each: -each.at):
        made = _apply(made, hunk)
    return made if made != text else None


def mutants(texts: Sequence[str], correction: Sequence[Hunk], most: int = 20) -> Iterator[str]:
    """One for each text that takes it."""
    made = (mutant(text, correction) for text in texts)
    for count, each in enumerate(one for one in made if one is not None):
        if count == most:
            return
        yield each


def _apply(text: str, hunk: Hunk) -> str:
    if hunk.good.strip() and hunk.good in text:
        return text.replace(hunk.good, hunk.bad, 1)
    tokens = _TOKEN.findall(text)
    place = min(len(tokens), round(hunk.at * len(tokens)))
    end = min(len(tokens), place + round(hunk.share * len(tokens)))
    if hunk.bad.strip():
        end = place  # put in, without tearing out what has nothing to do with it
    before, after = "".join(tokens[:place]), "".join(tokens[end:])
    if not hunk.bad.strip():
        return before + after
    left = "" if not before or before[-1].isspace() or hunk.bad[0].isspace() else " "
    right = "" if not after or after[0].isspace() or hunk.bad[-1].isspace() else " "
    return f"{before}{left}{hunk.bad}{right}{after}"
