"""Gates that might tell a bad text from its correction: simple kinds, parameters taken from the difference. Pure.

These are guesses. Each is tried on both texts and on accepted work before anybody sees it; how many were tried is told,
because the best of many guesses looks better than it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from hqd.model.gate import GateSpec

MOST = 40
"""Guesses at most for one pair."""

_PHRASES = 12
_WORD = re.compile(r"[\w'’-]+", re.UNICODE)
_HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*+]|\d+[.)])[ \t]+\S", re.MULTILINE)
_MARKERS: tuple[tuple[str, str], ...] = (
    ("unfinished work", r"\b(?:TODO|TBD|FIXME|XXX)\b"),
    ("a template's braces", r"\{\{.*?\}\}"),
    ("filling text", r"(?i)lorem ipsum"),
    ("an assistant's preface", r"(?i)^\s*(?:sure|certainly|of course|here (?:is|are)|as an ai)\b"),
    ("a fence around the whole", r"\A\s*```"),
    ("a bracketed placeholder", r"\[(?:insert|your|name|date|placeholder)[^\]\n]{0,40}\](?!\()"),
)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "the a an and or of to in on for with as is are was were be been it its this that these those you your we our "
        "they their he she his her at by from not no do does did will would can could should have has had if but so",
    )
)


def guesses(bad: str, good: str, background: Collection[str] = (), said: str = "") -> tuple[GateSpec, ...]:
    """Gates in order of how plain they are. `background`: accepted texts; phrases that stand there are no guess.
    `said`: what people said of the failure; gates that look for just that come first."""
    found: list[GateSpec] = []
    for spec in _all(bad, good, background):
        if spec not in found:
            found.append(spec)
        if len(found) == MOST:
            break
    return tuple(sorted(found, key=lambda spec: -meant(spec, said)))


def meant(spec: GateSpec, said: str) -> int:
    """How much of what the gate looks for people's words name: letters of the longest literal; 0: nothing."""
    return max((len(text) for text in literals(spec) if text.casefold() in said.casefold()), default=0)


def _all(bad: str, good: str, background: Collection[str]) -> Iterator[GateSpec]:
    for _what, pattern in _MARKERS:
        if re.search(pattern, bad, re.MULTILINE) and not re.search(pattern, good, re.MULTILINE):
            yield _gate("regex", {"pattern": pattern}, negate=True)
    missing = [title for title in _headings(good) if title.casefold() not in {h.casefold() for h in _headings(bad)}]
    if missing:
        yield _gate("has_sections", {"sections": missing[:8]})
    yield from _forbidden(bad, good, background)
    yield from _counts(bad, good)
    yield from _wanted(bad, good, background)
    yield _gate("hidden_unicode", {})
    yield _gate("no_conflict_markers", {})
    yield _gate("json", {})


def _forbidden(bad: str, good: str, background: Collection[str]) -> Iterator[GateSpec]:
    for phrase in _phrases(bad, good, background):
        yield _gate("must_not_include", {"values": [phrase], "ignore_case": True, "word": True})


def _wanted(bad: str, good: str, background: Collection[str]) -> Iterator[GateSpec]:
    """What the correction has and accepted work mostly has: a wish that only one text ever met is no rule."""
    texts = [text.casefold() for text in background]
    for phrase in _phrases(good, bad, ()):
        if not texts or sum(phrase in text for text in texts) >= 0.9 * len(texts):
            yield _gate("must_include", {"values": [phrase], "ignore_case": True})


def _phrases(here: str, there: str, background: Collection[str]) -> list[str]:
    """Phrases of one to four words in `here` and neither `there` nor in the background; the telling ones first.

    A phrase that only holds a shorter one of them is left out: `money back` says all that `your money back` does.
    """
    other = there.casefold()
    others = [text.casefold() for text in background]
    text = here.casefold()
    words = [found[0] for found in _WORD.finditer(text)]
    counted: Counter[str] = Counter()
    for size in (1, 2, 3, 4):
        for place in range(len(words) - size + 1):
            part = words[place : place + size]
            if part[0] in _COMMON or part[-1] in _COMMON or all(len(word) < 3 for word in part):
                continue
            phrase = " ".join(part)
            if phrase in text and phrase not in other and not any(phrase in each for each in others):
                counted[phrase] += 1
    shortest = [phrase for phrase in counted if not any(len(o) < len(phrase) and o in phrase for o in counted)]
    longer = [phrase for phrase in counted if len(phrase.split()) == 2 and phrase not in shortest]
    ranked = sorted(shortest, key=lambda phrase: (-counted[phrase], -len(phrase), text.index(phrase)))
    return [*ranked[: _PHRASES - 4], *longer[:4]]


def _counts(bad: str, good: str) -> Iterator[GateSpec]:
    """A bound in the middle between the two, where they differ enough to be told apart."""
    measures: tuple[tuple[str, int, int], ...] = (
        ("word_count", len(_WORD.findall(bad)), len(_WORD.findall(good))),
        ("char_count", len(bad.strip()), len(good.strip())),
        ("list_items", len(_BULLET.findall(bad)), len(_BULLET.findall(good))),
        ("headings", len(_headings(bad)), len(_headings(good))),
    )
    for kind, wrong, right in measures:
        if wrong < right and right - wrong >= max(1, right // 4):
            yield _gate(kind, {"min": (wrong + right + 1) // 2})
        elif wrong > right and wrong - right >= max(1, wrong // 4):
            yield _gate(kind, {"max": (wrong + right) // 2})
    longest = max((len(line) for line in bad.splitlines()), default=0)
    allowed = max((len(line) for line in good.splitlines()), default=0)
    if longest > allowed + 20:
        yield _gate("line_length", {"max": max(allowed, 80)})


def _headings(text: str) -> list[str]:
    return [found[1].strip() for found in _HEADING.finditer(text)]


def _gate(kind: str, params: dict[str, Any], *, negate: bool = False) -> GateSpec:
    return GateSpec.model_validate({"name": kind, "kind": kind, "params": params, "not": negate})


def literals(spec: GateSpec) -> Sequence[str]:
    """Texts in a gate's parameters that name one case rather than a kind of case, if they stand in one text only."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for each in value.values():
                walk(each)
        elif isinstance(value, list | tuple):
            for each in value:
                walk(each)

    walk({key: value for key, value in spec.params.items() if key not in ("mode", "flags", "schema")})
    if spec.kind == "regex":
        plain = [re.sub(r"\\.|\(\?\w+\)", " ", text) for text in found]
        found = [part for text in plain for part in re.findall(r"[\w][\w '’-]{3,}", text)]
    return [text for text in found if len(text.strip()) >= 4]
