"""What does the text say? Kinds of the group `text`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hqd.gates import patterns
from hqd.gates.kind import (
    CannotJudge,
    GateKind,
    Params,
    Piece,
    Range,
    Verdict,
    View,
    counted,
    each,
    listed,
    number,
    shorten,
)  # fmt: skip
from hqd.model.gate import GateStatus

MOST_SAID = 2000
"""Characters of a wanted text that a message repeats."""


class _Values(Params):
    values: tuple[str, ...] = Field(min_length=1, description="texts to look for")
    ignore_case: bool = Field(default=False, description="whether upper and lower case are the same")
    word: bool = Field(default=False, description="whether only whole words count")

    @field_validator("values", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("values")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not text for text in value):
            raise ValueError("an empty text is in everything")
        return value


class MustInclude(_Values):
    """Passes when all (`mode = "any"`: at least one) of `values` stand in the text, letter by letter.

    With `word`, the characters before and after must be no letters, digits or underscores.
    """

    mode: Literal["all", "any"] = Field(default="all", description="how many of the values are asked for")


def must_include(params: MustInclude, piece: Piece) -> Verdict:
    missing = [value for value in params.values if not _search(value, params, piece.text)]
    found = len(params.values) - len(missing)
    needed = len(params.values) if params.mode == "all" else 1
    if found >= needed:
        return Verdict(True, f"{found} of {len(params.values)} found", (), float(found), float(needed))
    if params.mode == "any":
        message = f"None of these is in the text: {listed(missing)}. Use at least one{_how(params)}."
    else:
        message = f"Missing from the text: {listed(missing)}. Use each{_how(params)}."
    return Verdict(False, message, (), float(found), float(needed))


class MustNotInclude(_Values):
    """Passes when none of `values` stands in the text (`mode = "all"`: when they do not all stand in it).

    With `word`, the characters before and after must be no letters, digits or underscores.
    """

    mode: Literal["all", "any"] = Field(default="any", description="any: one is too many; all: only together")


def must_not_include(params: MustNotInclude, piece: Piece) -> Verdict:
    hits = [(value, match) for value in params.values if (match := _search(value, params, piece.text))]
    if not hits or (params.mode == "all" and len(hits) < len(params.values)):
        return Verdict(True, "none found", (), float(len(hits)), 0.0)
    evidence = tuple(piece.at(match.start(), len(value)) for value, match in hits[:10])
    words = [value for value, _ in hits]
    together = " all together" if params.mode == "all" and len(hits) > 1 else ""
    places = ", ".join(str(item.line) for item in evidence)
    message = (
        f"Must not be in the text{together}: {listed(words)} (line {places}). Say it in other words, or leave it out."
    )
    return Verdict(False, message, evidence, float(len(hits)), 0.0)


class Regex(Params):
    """Counts the matches of `pattern` that do not overlap: at least `min`, at most `max`.

    Syntax is Python's, searched anywhere in the text. `flags`: i (ignore case), m (^ and $ at lines), s (. is also a
    new line), x (verbose), a (ASCII). More than one second on a text is an `error`.
    """

    pattern: str = Field(min_length=1, description="the regular expression")
    flags: tuple[Literal["i", "m", "s", "x", "a"], ...] = Field(
        default=(), description="i, m, s, x, a; also as one text"
    )
    min: int = Field(default=1, ge=0, description="fewest matches that pass")
    max: int | None = Field(default=None, ge=0, description="most matches that pass")

    @field_validator("flags", mode="before")
    @classmethod
    def _letters(cls, value: object) -> object:
        return tuple(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max}); with max = 0, write min = 0 too")
        return self


def regex_kind(params: Regex, piece: Piece) -> Verdict:
    enough = params.min + 1 if params.max is None else params.max + 21
    matches = patterns.find_all(params.pattern, params.flags, piece.text, enough)
    count = len(matches)
    if params.max is not None and count > params.max:
        evidence = tuple(piece.at(match.start(), match.end() - match.start()) for match in matches[:10])
        asked = "must not match" if params.max == 0 else f"may match at most {number(params.max, 'times')}"
        seen = number(count, "times") if count < enough else f"at least {count} times"
        message = f"`{shorten(params.pattern)}` {asked}; it matches {seen} (first on line {evidence[0].line})."
        return Verdict(False, message, evidence, float(count), float(params.max))
    if count < params.min:
        times = "once" if params.min == 1 else f"{params.min} times"
        message = f"`{shorten(params.pattern)}` must match at least {times}; it matches {number(count, 'times')}."
        return Verdict(False, message, (), float(count), float(params.min))
    return Verdict(True, f"`{shorten(params.pattern)}` matches", (), float(count), float(params.min))


def _regex_faults(params: Regex) -> tuple[str, ...]:
    problem = patterns.fault(params.pattern, params.flags)
    return (f"pattern: {problem}",) if problem else ()


class Occurs(Range):
    """Counts how often `value` stands in the text, without overlaps. `word` as in `must_include`."""

    value: str = Field(min_length=1, description="the text to count")
    ignore_case: bool = Field(default=False, description="whether upper and lower case are the same")
    word: bool = Field(default=False, description="whether only whole words count")


def occurs(params: Occurs, piece: Piece) -> Verdict:
    starts = [match.start() for match in _literal(params.value, params.ignore_case, params.word).finditer(piece.text)]
    evidence = tuple(piece.at(start, len(params.value)) for start in starts[:10])
    return counted(params, len(starts), f'occurrences of "{shorten(params.value)}"', evidence)


class _Edge(Params):
    value: str = Field(min_length=1, description="the text")
    ignore_case: bool = Field(default=False, description="whether upper and lower case are the same")
    ignore: str = Field(default="", description="characters, besides white space, that may stand around the text")


class StartsWith(_Edge):
    """Passes when the text, white space and the characters of `ignore` aside, starts with `value`."""


def starts_with(params: StartsWith, piece: Piece) -> Verdict:
    text = _trimmed(piece.text, params.ignore)
    wanted = _trimmed(params.value, params.ignore)
    if _folded(text[: len(wanted)], params) == _folded(wanted, params):
        return Verdict(True, f'starts with "{shorten(wanted)}"')
    first = piece.document.lines[0] if piece.text else ""
    message = f'Must start with "{_whole(wanted)}"; starts with "{shorten(text[:80], 80)}".'
    return Verdict(False, message, (piece.on(1, first),))


class EndsWith(_Edge):
    """Passes when the text, white space and the characters of `ignore` aside, ends with `value`."""


def ends_with(params: EndsWith, piece: Piece) -> Verdict:
    text = _trimmed(piece.text, params.ignore)
    wanted = _trimmed(params.value, params.ignore)
    if _folded(text[-len(wanted) :], params) == _folded(wanted, params):
        return Verdict(True, f'ends with "{shorten(wanted)}"')
    message = f'Must end with "{_whole(wanted)}" and nothing after it; ends with "{shorten(text[-80:], 80)}".'
    return Verdict(False, message, (piece.at(max(0, len(piece.text.rstrip()) - 1)),))


class Equals(_Edge):
    """Passes when the text, white space and the characters of `ignore` around it aside, is `value`."""


def equals(params: Equals, piece: Piece) -> Verdict:
    text, wanted = _trimmed(piece.text, params.ignore), _trimmed(params.value, params.ignore)
    if _folded(text, params) == _folded(wanted, params):
        return Verdict(True, "as asked")
    return Verdict(False, f'Must be exactly "{_whole(wanted)}"; is "{shorten(text)}".', (piece.on(1, text),))


class Conditional(Params):
    """If gate `if` passes, gate `then` must pass; if it does not, this gate passes.

    Both are tables with a kind, or names of gates in hqd.toml. An error in either is an error here.
    """

    if_: dict[str, Any] | str = Field(alias="if", description="the gate that asks")
    then: dict[str, Any] | str = Field(description="the gate that must pass then")


def conditional(params: Conditional, view: View) -> Verdict:
    asked = view.nested(params.if_, "if")
    if asked.status is GateStatus.ERROR:
        raise CannotJudge(f"if: {asked.message}")
    if asked.status is not GateStatus.PASS:
        return Verdict(True, "does not apply here", cost=asked.cost)
    then = view.nested(params.then, "then")
    cost = asked.cost + then.cost
    if then.status is GateStatus.ERROR:
        raise CannotJudge(f"then: {then.message}")
    if then.status is GateStatus.SKIP:
        return Verdict(None, then.message, cost=cost)
    return Verdict(then.status is GateStatus.PASS, then.message, then.evidence, then.score, then.threshold, cost)


def _search(value: str, params: _Values, text: str) -> re.Match[str] | None:
    return _literal(value, params.ignore_case, params.word).search(text)


@lru_cache(maxsize=512)
def _literal(value: str, ignore_case: bool, word: bool) -> re.Pattern[str]:
    """A pattern for the very text: it cannot explode, so plain `re` is enough."""
    body = re.escape(value)
    return re.compile(rf"(?<!\w){body}(?!\w)" if word else body, re.IGNORECASE if ignore_case else 0)


def _how(params: _Values) -> str:
    if params.word:
        return ", as a whole word"
    return "" if params.ignore_case else ", written just so"


def _trimmed(text: str, ignore: str) -> str:
    before = None
    while before != text:
        before = text
        text = text.strip().strip(ignore) if ignore else text.strip()
    return text


def _whole(wanted: str) -> str:
    """What is asked for letter by letter is said letter by letter; only what no message can hold is shortened."""
    return wanted if len(wanted) <= MOST_SAID else shorten(wanted, MOST_SAID)


def _folded(text: str, params: _Edge) -> str:
    return text.casefold() if params.ignore_case else text


KINDS = (
    GateKind("must_include", "text", MustInclude, each(must_include)),
    GateKind("must_not_include", "text", MustNotInclude, each(must_not_include)),
    GateKind("regex", "text", Regex, each(regex_kind), check=_regex_faults),
    GateKind("occurs", "text", Occurs, each(occurs)),
    GateKind("starts_with", "text", StartsWith, each(starts_with)),
    GateKind("ends_with", "text", EndsWith, each(ends_with)),
    GateKind("equals", "text", Equals, each(equals)),
    GateKind(
        "conditional",
        "text",
        Conditional,
        conditional,
        pure=False,
        raw=("if", "then"),
        members=lambda params: (params.if_, params.then),
    ),
)
