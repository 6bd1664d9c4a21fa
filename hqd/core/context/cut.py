"""Cutting a document: at the border of a section, else of a paragraph; never inside a code fence, never unmarked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hqd.core.context.tokens import Counter

_HEADING = re.compile(r"#{1,6}[ \t]+(.*)")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class Cut:
    """The first `chars` characters of a text stay; `mark` says what is missing."""

    chars: int
    mark: str

    def of(self, text: str) -> str:
        return shortened(text, self.chars, self.mark)


def shortened(text: str, chars: int, mark: str) -> str:
    """A text cut as `Cut` says: what a manifest keeps of it is enough to make it again."""
    return f"{text[:chars].rstrip()}\n\n{mark}\n"


def cut(text: str, limit: int, count: Counter, source: str) -> Cut | None:
    """Where to cut so that the text with its mark has at most `limit` tokens; None: not even one paragraph fits."""
    for places in (_borders(text, sections=True), _borders(text, sections=False)):
        found = _longest(text, [place for place in places if 0 < place[0] < len(text)], limit, count, source)
        if found is not None:
            return found
    return None


def _longest(text: str, places: list[tuple[int, str]], limit: int, count: Counter, source: str) -> Cut | None:
    """The last border that fits, by halving: longer beginnings have more tokens. What a counter says is checked."""
    low, high = 0, len(places)
    best = None
    while low < high:
        middle = (low + high) // 2
        chars, section = places[middle]
        here = Cut(chars, _mark(text[chars:], count, source, section))
        if count(here.of(text)) <= limit:
            best, low = here, middle + 1
        else:
            high = middle
    return best


def _mark(rest: str, count: Counter, source: str, section: str) -> str:
    return f"[... {count(rest)} tokens omitted: {source}#{section}]"


def _borders(text: str, *, sections: bool) -> Iterator[tuple[int, str]]:
    """(character, section that begins or goes on there) of every border outside code fences."""
    at, fence, section, blank = 0, "", "", False
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not line.strip(" `~\r\n"):
                fence = ""
        else:
            heading = _HEADING.match(line)
            if heading is not None:
                section = slug(heading[1])
            if (heading is not None) if sections else (blank and line.strip() != ""):
                yield at, section or "start"
            if mark is not None:
                fence = mark[1]
        blank = not line.strip()
        at += len(line)


def slug(heading: str) -> str:
    """A heading as an anchor, as forges make them."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-") or "section"
