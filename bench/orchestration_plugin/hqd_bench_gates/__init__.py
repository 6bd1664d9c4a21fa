"""Gate kinds that only the orchestration benchmark needs; each definition stands in the docstring of its parameters."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from hqd.gates.kind import GateKind, Params, Piece, Range, Verdict, counted, each, shorten

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]*_]*(?=\s|$)")
_TITLE = re.compile(
    r"(?:\b(?:mr|mrs|ms|mx|dr|prof|st|gen|gov|capt|col|lt|sgt|rev|hon|sen|rep|pres)|\b[a-hj-z]"
    r"|(?:^|\n)[ \t]*(?:\d{1,3}|[a-z]))$",
    re.IGNORECASE,
)
_SHORT = re.compile(
    r"\b(?:vs|etc|e\.g|i\.e|a\.m|p\.m|inc|ltd|co|corp|jr|sr|no|vol|fig|approx|dept|est|u\.s|u\.k|ph\.d"
    r"|jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\n(?=[ \t]*\d{1,3}[.)][ \t])")
_CAPITAL = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
_BRACKETS = re.compile(r"\[[^\[\]\n]+\](?!\()")
_HIGHLIGHT = re.compile(r"(?<!\*)(\*{1,3})(?![\s*])([^*\n]*[^*\s])\1(?!\*)")
_STARS = re.compile(r"(?<!\S)\*\*\*(?!\S)")
_BLANK = re.compile(r"\n[ \t]*\n")


class SentenceCount(Range):
    """Counts sentences: stretches of text that end with `.`, `!`, `?` or `…` before white space or the end.

    Closing quotes, brackets and emphasis belong to the sentence. A full stop ends nothing after a title (`Dr.`), an
    initial or the number of a list item; after other usual abbreviations (`etc.`, `a.m.`) only when a capital
    follows. A numbered list item starts a sentence, and what follows the last end counts too, when it has a letter.
    """


def sentences(text: str) -> int:
    return sum(_ends(part) for part in _NUMBERED.split(text)) if _NUMBERED.search(text) else _ends(text)


def _ends(text: str) -> int:
    count, start = 0, 0
    for match in _SENTENCE_END.finditer(text):
        if _goes_on(text, match, start):
            continue
        if any(char.isalnum() for char in text[start : match.end()]):
            count += 1
        start = match.end()
    return count + any(char.isalpha() for char in text[start:])


def _goes_on(text: str, match: re.Match[str], start: int) -> bool:
    """Whether the full stop belongs to an abbreviation or a number."""
    if match[0].rstrip("\"'”’)]*_") != ".":
        return False
    before = text[max(start, match.start() - 12) : match.start()]
    rest = text[match.end() : match.end() + 20].lstrip()
    return bool(rest and (_TITLE.search(before) or (_SHORT.search(before) and not rest[0].isupper())))


def sentence_count(params: SentenceCount, piece: Piece) -> Verdict:
    return counted(params, sentences(piece.text), "sentences")


class ParagraphCount(Range):
    """Counts paragraphs that are not empty, parted by `separator`: `blank` lines, or `stars`: `***` standing alone.

    With `nth` and `first_word`, that paragraph (1-based) must also start with the word, in any case; only quotation
    marks may stand before it.
    """

    separator: Literal["blank", "stars"] = Field(default="blank", description="what parts paragraphs")
    nth: int | None = Field(default=None, ge=1, description="the paragraph that must start with first_word")
    first_word: str | None = Field(default=None, description="its first word")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.nth is None) is not (self.first_word is None):
            raise ValueError("nth and first_word go together")
        return self


def paragraph_count(params: ParagraphCount, piece: Piece) -> Verdict:
    pattern = _STARS if params.separator == "stars" else _BLANK
    paragraphs = [part.strip() for part in pattern.split(piece.text) if part.strip()]
    what = "paragraphs, parted by ***" if params.separator == "stars" else "paragraphs, parted by blank lines"
    verdict = counted(params, len(paragraphs), what)
    if not verdict.passed or params.nth is None or params.first_word is None:
        return verdict
    if params.nth > len(paragraphs):
        return Verdict(False, f"There is no paragraph {params.nth}.")
    first = re.match(r"[\"'“‘]*(\w+(?:['’\-]\w+)*)", paragraphs[params.nth - 1])
    if first and first[1].casefold() == params.first_word.casefold():
        return verdict
    message = f'Paragraph {params.nth} must start with the word "{params.first_word}"; it starts with '
    return Verdict(False, f'{message}"{shorten(paragraphs[params.nth - 1], 40)}".')


class Case(Params):
    """Passes when the text has letters, and none of them is of the other case."""

    is_: Literal["upper", "lower"] = Field(alias="is", description="upper or lower")


def case(params: Case, piece: Piece) -> Verdict:
    text = piece.text
    if text.upper() == text.lower():
        return Verdict(False, "There are no letters.")
    if text == (text.upper() if params.is_ == "upper" else text.lower()):
        return Verdict(True, f"all {params.is_} case")
    wrong = str.islower if params.is_ == "upper" else str.isupper
    at = next((place for place, char in enumerate(text) if wrong(char)), 0)
    return Verdict(False, f"All letters must be {params.is_} case.", (piece.at(at, 20),))


class CapitalWords(Range):
    """Counts words of capital letters only, `I` and `A` too; a word is letters, joined by hyphens or apostrophes."""


def capital_words(params: CapitalWords, piece: Piece) -> Verdict:
    count = sum(1 for match in _CAPITAL.finditer(piece.text) if match[0].isupper())
    return counted(params, count, "words in capital letters")


class LetterCount(Range):
    """Counts how often a letter (or other sign) stands in the text, upper and lower case alike."""

    letter: str = Field(min_length=1, max_length=1, description="the letter")


def letter_count(params: LetterCount, piece: Piece) -> Verdict:
    count = piece.text.lower().count(params.letter.lower())
    return counted(params, count, f'times the letter "{params.letter}"')


class Placeholders(Range):
    """Counts placeholders: text in square brackets on one line, such as `[address]`; a Markdown link is none."""


def placeholders(params: Placeholders, piece: Piece) -> Verdict:
    return counted(params, sum(1 for _ in _BRACKETS.finditer(piece.text)), "placeholders such as [address]")


class Highlights(Range):
    """Counts highlighted passages: text between one, two or three `*` on one line, with no space just inside them."""


def highlights(params: Highlights, piece: Piece) -> Verdict:
    return counted(params, sum(1 for _ in _HIGHLIGHT.finditer(piece.text)), "passages highlighted as *so*")


KINDS = (
    GateKind("sentence_count", "bench", SentenceCount, each(sentence_count)),
    GateKind("paragraph_count", "bench", ParagraphCount, each(paragraph_count)),
    GateKind("case", "bench", Case, each(case)),
    GateKind("capital_words", "bench", CapitalWords, each(capital_words)),
    GateKind("letter_count", "bench", LetterCount, each(letter_count)),
    GateKind("placeholders", "bench", Placeholders, each(placeholders)),
    GateKind("highlights", "bench", Highlights, each(highlights)),
)
