"""How much is it? Kinds of the group `size`."""

from __future__ import annotations

import math
import re

from pydantic import Field, field_validator

from hqd.gates import languages
from hqd.gates.kind import GateKind, Params, Piece, Range, Verdict, counted, each

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_UNSPACED = re.compile(
    "[\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)


class WordCount(Range):
    """Counts words: runs of letters and digits, with apostrophes inside (`don't` is one word).

    Hyphens and slashes part words (`well-known`, `and/or`); marks of Markdown and other signs are none. Where a
    script writes no spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer), each character is a word.
    """


def words(text: str) -> int:
    """The number of words, as `word_count` defines it."""
    if text.isascii() or not _UNSPACED.search(text):
        return len(_WORD.findall(text))
    spaced = _UNSPACED.sub(" ", text)
    letters = sum(1 for char in _UNSPACED.findall(text) if char.isalnum())
    return letters + len(_WORD.findall(spaced))


def word_count(params: WordCount, piece: Piece) -> Verdict:
    return counted(params, words(piece.text), "words")


class CharCount(Range):
    """Counts characters (Unicode code points) of the text without white space around it.

    With `spaces = false`, white space inside does not count either.
    """

    spaces: bool = Field(default=True, description="whether white space inside counts")


def char_count(params: CharCount, piece: Piece) -> Verdict:
    text = piece.stripped if params.spaces else "".join(piece.text.split())
    return counted(params, len(text), "characters")


class ListItems(Range):
    """Counts items of Markdown lists: lines that start with `-`, `*`, `+`, `1.` or `1)` and a space, outside fences.

    `ordered` true counts only numbered ones, false only bullets; `nested` false only those that are not indented by
    two or more columns. A rule (`---`, `* * *`) is no item.
    """

    ordered: bool | None = Field(default=None, description="only numbered items, or only bullets")
    nested: bool = Field(default=True, description="whether indented items count")


def list_items(params: ListItems, piece: Piece) -> Verdict:
    found = [
        item
        for item in piece.document.items
        if (params.ordered is None or item.ordered is params.ordered) and (params.nested or item.indent < 2)
    ]
    what = {None: "list items", True: "numbered list items", False: "bullet points"}[params.ordered]
    return counted(params, len(found), what, tuple(piece.on(item.line, item.text) for item in found[:5]))


class LineLength(Params):
    """Passes when no line is longer than `max` characters.

    Lines in code fences do not count, nor rows of tables, nor lines of one single word (a long address cannot be
    broken).
    """

    max: int = Field(ge=1, description="most characters of a line")


def line_length(params: LineLength, piece: Piece) -> Verdict:
    long = [
        (number, line)
        for number, line in piece.document.prose
        if len(line) > params.max and len(line.split()) > 1 and not line.lstrip().startswith("|")
    ]
    longest = max((len(line) for _, line in long), default=0)
    if not long:
        return Verdict(True, "no line is too long", (), None, float(params.max))
    numbers = ", ".join(str(piece.line_number(number)) for number, _ in long[:10])
    message = f"{len(long)} lines are longer than {params.max} characters: line {numbers}. Break them."
    evidence = tuple(piece.on(number, line) for number, line in long[:10])
    return Verdict(False, message, evidence, float(longest), float(params.max))


class TokenCount(Range):
    """Counts tokens by an estimate that needs no tokeniser: a quarter of the ASCII characters, plus 2/3 of all others.

    Real tokenisers differ from it and from each other, for English prose by some 15 %; leave that much room.
    """


def tokens(text: str) -> int:
    """The estimate of `token_count`."""
    if text.isascii():
        return math.ceil(len(text) / 4)
    ascii_chars = len(text.encode("ascii", "ignore"))
    return math.ceil(ascii_chars / 4 + (len(text) - ascii_chars) * 2 / 3)


def token_count(params: TokenCount, piece: Piece) -> Verdict:
    return counted(params, tokens(piece.text), "tokens (estimated)")


class Language(Params):
    """Passes when most of the text is in the language `is` (ISO 639-1, such as `en`, `de`, `zh`).

    Told by the script, and within a script by the commonest words and letters; code fences and addresses aside. Of
    near relatives (Norwegian and Danish, Indonesian and Malay, Croatian and Serbian) either passes when they are within
    15 % of each other. Skipped for texts of fewer than 20 letters, or when no common word is found.
    """

    is_: str = Field(alias="is", description="code of the language")

    @field_validator("is_")
    @classmethod
    def _known(cls, value: str) -> str:
        if languages.code_of(value) is None:
            raise ValueError(f"{value!r} is not told apart; known: {', '.join(sorted(languages.KNOWN))}")
        return value


def language(params: Language, piece: Piece) -> Verdict:
    wanted = languages.code_of(params.is_)
    prose = "\n".join(line for _, line in piece.document.prose)
    ranked = languages.ranked(prose)
    if not ranked:
        return Verdict(None, "too short, or without any common word: its language cannot be told")
    best, top = ranked[0]
    mine = dict(ranked).get(wanted or "", 0.0)
    if mine >= 0.85 * top:
        return Verdict(True, f"is in {wanted}", (), round(mine, 3))
    message = f"The text must be in {params.is_}, but seems to be in {best}. Write it in {params.is_}."
    return Verdict(False, message, (piece.on(1, piece.stripped[:100]),), round(mine, 3))


KINDS = (
    GateKind("word_count", "size", WordCount, each(word_count)),
    GateKind("char_count", "size", CharCount, each(char_count)),
    GateKind("list_items", "size", ListItems, each(list_items)),
    GateKind("line_length", "size", LineLength, each(line_length)),
    GateKind("language", "size", Language, each(language)),
    GateKind("token_count", "size", TokenCount, each(token_count)),
)
