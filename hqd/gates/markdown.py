"""A small, fast reader of Markdown: headings, list items, links, tables and where code is.

It reads what gates need and no more. Code is what stands in fences (``` or ~~~); indented text is not code,
since agents indent lists far more often than they write code that way. A leading `---` … `---` block is front
matter, not text. All lines are 1-based.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_FENCE = re.compile(r" {0,3}(?:> ?)*(?:[-*+] +|\d{1,9}[.)] +)?(`{3,}|~{3,})(.*)$")
_ATX = re.compile(r" {0,3}(#{1,6})(?![^ \t])")
_ATX_END = re.compile(r"(?:^|(?<=[ \t]))#++$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_ITEM = re.compile(r"([ \t]*)(?:([-*+])|(\d{1,9})[.)])[ \t]+(\S.*)$")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_INLINE_LINK = re.compile(
    r"(!?)\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*+)\]"
    r"\(\s*+(?:<([^<>\n]*)>|((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*+\))*+))(?:\s++(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*+\)"
)
_REFERENCE_LINK = re.compile(r"(!?)\[((?:[^\[\]\\]|\\.)+)\](?:\[((?:[^\[\]\\]|\\.)*)\])?(?![(:\[])")
_DEFINITION = re.compile(r" {0,3}\[((?:[^\[\]\\]|\\.)+)\]:[ \t]*(?:<([^<>]*)>|(\S+))?(.*)$")
_AUTOLINK = re.compile(r"<([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*)>")
_BARE_URL = re.compile(r"(?<![\w(<\[/])https?://[^\s<>\"'`\])]+")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_DELIMITER_ROW = re.compile(r"\|?[ \t]*:?-+:?[ \t]*+(?:\|[ \t]*:?-+:?[ \t]*+)*\|?")
_CELL = re.compile(r"(?<!\\)\|")
_EMPHASIS = re.compile(r"[*_`~]+")
_LINK_TEXT = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_NUMBERING = re.compile(r"(?:\d+(?:\.\d+)*[.):]?|[ivxIVX]+[.)])[ \t]+")


LONG_LINE = 5000
"""Longer lines, in characters, are not looked through for inline code: unmatched backticks would make that slow."""


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Item:
    """A list item. `indent` in columns; `ordered`: numbered."""

    line: int
    indent: int
    ordered: bool
    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link or image. `target` is None where a reference has no definition."""

    text: str
    target: str | None
    line: int
    image: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    line: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block: language, content, line of its opening fence; `closed` False: the fence never ends."""

    language: str
    text: str
    line: int
    closed: bool


class Document:
    """A Markdown text, read piece by piece as it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def front_matter_end(self) -> int:
        """The number of the closing `---` line; 0 where there is no front matter."""
        if not self.text.startswith("---") or self.lines[0].rstrip() != "---":
            return 0
        for number, line in enumerate(self.lines[1:], start=2):
            if line.rstrip() in ("---", "..."):
                return number
        return 0

    @cached_property
    def _split(self) -> tuple[list[tuple[int, str]], tuple[Block, ...]]:
        """Lines outside fences and front matter, and the fenced blocks."""
        start = self.front_matter_end
        if "```" not in self.text and "~~~" not in self.text:
            return list(enumerate(self.lines[start:], start=start + 1)), ()
        prose: list[tuple[int, str]] = []
        blocks: list[Block] = []
        fence, language, opened, inside = "", "", 0, list[str]()
        for number, line in enumerate(self.lines[start:], start=start + 1):
            found = _FENCE.match(line)
            if not fence:
                if found and not (found[1][0] == "`" and "`" in found[2]):
                    fence, language, opened, inside = found[1], found[2].strip(), number, []
                else:
                    prose.append((number, line))
            elif found and found[1].startswith(fence) and not found[2].strip():
                blocks.append(Block(language, "\n".join(inside), opened, closed=True))
                fence = ""
            else:
                inside.append(line)
        if fence:
            blocks.append(Block(language, "\n".join(inside), opened, closed=False))
        return prose, tuple(blocks)

    @property
    def prose(self) -> list[tuple[int, str]]:
        """(line number, line) of everything outside code fences and front matter."""
        return self._split[0]

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self._split[1]

    @cached_property
    def headings(self) -> tuple[Heading, ...]:
        found: list[Heading] = []
        previous = (0, "")
        for number, line in self.prose:
            if "#" in line and (atx := _ATX.match(line)):
                text = _ATX_END.sub("", line[atx.end() :].strip()).rstrip()
                found.append(Heading(len(atx[1]), text, number))
                previous = (number, "")
                continue
            if line and line.lstrip()[:1] in ("=", "-") and (setext := _SETEXT.match(line)) and _underlines(previous):
                found.append(Heading(1 if setext[1][0] == "=" else 2, previous[1].strip(), previous[0]))
                previous = (number, "")
                continue
            previous = (number, line)
        return tuple(found)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        found: list[Item] = []
        for number, line in self.prose:
            if (item := _ITEM.match(line)) and not _RULE.match(line):
                found.append(Item(number, len(item[1].expandtabs(4)), item[2] is None, item[4]))
        return tuple(found)

    @cached_property
    def definitions(self) -> dict[str, tuple[str, int]]:
        """Reference definitions `[label]: target` (footnotes too): label -> (rest of the line, line)."""
        found: dict[str, tuple[str, int]] = {}
        for number, line in self.prose:
            if "]:" in line and (match := _DEFINITION.match(line)):
                target = match[2] if match[2] is not None else (match[3] or "")
                whole = target if not match[1].startswith("^") else f"{target}{match[4]}"
                found.setdefault(_label(match[1]), (whole, number))
        return found

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """Inline, reference and angle-bracket links, and bare http addresses, outside code, in order."""
        found: list[Link] = []
        for number, line in self.prose:
            if "[" in line or "<" in line or "://" in line:
                found.extend(self._links_of(number, without_code_spans(line)))
        return tuple(found)

    def _links_of(self, number: int, line: str) -> list[Link]:
        found: list[tuple[int, Link]] = []
        taken = [False] * len(line)
        if "](" in line:
            for match in _INLINE_LINK.finditer(line):
                target = match[3] if match[3] is not None else match[4]
                found.append((match.start(), Link(match[2], target, number, image=bool(match[1]))))
                taken[match.start() : match.end()] = [True] * (match.end() - match.start())
        if "<" in line or "://" in line:
            for pattern, group in ((_AUTOLINK, 1), (_BARE_URL, 0)):
                for match in pattern.finditer(line):
                    if not taken[match.start()]:
                        target = match[group].rstrip(".,;:!?")
                        found.append((match.start(), Link(target, target, number)))
                        taken[match.start() : match.end()] = [True] * (match.end() - match.start())
        if "[" in line and not _DEFINITION.match(line):
            found.extend(self._references(number, line, taken))
        return [link for _, link in sorted(found, key=lambda pair: pair[0])]

    def _references(self, number: int, line: str, taken: list[bool]) -> list[tuple[int, Link]]:
        found: list[tuple[int, Link]] = []
        for match in _REFERENCE_LINK.finditer(line):
            label = _label(match[3] or match[2])
            if taken[match.start()] or label.startswith("^"):
                continue
            if label in self.definitions:
                target: str | None = self.definitions[label][0]
            elif match[3] is not None:
                target = None
            else:
                continue  # plain brackets
            found.append((match.start(), Link(match[2], target, number, image=bool(match[1]))))
        return found

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Pipe tables: a header row, a delimiter row of as many cells, then rows up to a line without a pipe."""
        if "|" not in self.text:
            return ()
        found: list[Table] = []
        prose = self.prose
        place = 0
        while place < len(prose) - 1:
            (number, head), (_, rule) = prose[place], prose[place + 1]
            columns = _cells(head)
            if "|" not in head or not _DELIMITER_ROW.fullmatch(rule.strip()) or len(columns) != len(_cells(rule)):
                place += 1
                continue
            end = place + 2
            while end < len(prose) and "|" in prose[end][1]:
                end += 1
            found.append(Table(number, columns, tuple(_cells(line) for _, line in prose[place + 2 : end])))
            place = end
        return tuple(found)

    @cached_property
    def code_spans(self) -> tuple[tuple[int, str], ...]:
        """(line, content) of inline code."""
        return tuple(
            (number, match[2].strip())
            for number, line in self.prose
            if "`" in line and len(line) <= LONG_LINE
            for match in _CODE_SPAN.finditer(line)
        )

    def section(self, place: int) -> str:
        """The text under heading number `place`, up to the next heading of its level or above."""
        heading = self.headings[place]
        end = len(self.lines) + 1
        for later in self.headings[place + 1 :]:
            if later.level <= heading.level:
                end = later.line
                break
        return "\n".join(self.lines[heading.line : end - 1])


def unfenced(text: str) -> str:
    """The text without surrounding blank space and without one code fence around the whole of it."""
    stripped = text.strip()
    if not stripped.startswith(("```", "~~~")):
        return stripped
    first, _, rest = stripped.partition("\n")
    fence = first[: len(first) - len(first.lstrip(first[0]))]
    body, _, last = rest.rpartition("\n")
    if last.strip() != fence or "\n" + fence in "\n" + body:
        return stripped
    return body.strip()


def plain(text: str) -> str:
    """Heading text for comparing: no emphasis, links, numbering or closing colon; case folded; single spaces."""
    bare = _EMPHASIS.sub("", _LINK_TEXT.sub(r"\1", text))
    bare = _NUMBERING.sub("", bare.strip(), count=1) if _NUMBERING.match(bare.strip()) else bare
    return " ".join(bare.split()).rstrip(":：").rstrip().casefold()


def without_code_spans(line: str) -> str:
    """The line with inline code blanked out, same length."""
    if "`" not in line or len(line) > LONG_LINE:
        return line
    return _CODE_SPAN.sub(lambda match: " " * len(match[0]), line)


def _underlines(previous: tuple[int, str]) -> bool:
    """Whether a line of = or - makes the line before it a heading."""
    line = previous[1]
    return bool(line.strip()) and not (_ITEM.match(line) or line.lstrip().startswith((">", "|", "#")))


def _cells(line: str) -> tuple[str, ...]:
    inner = line.strip()
    inner = inner[1:] if inner.startswith("|") else inner
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return tuple(cell.strip().replace("\\|", "|") for cell in _CELL.split(inner))


def _label(text: str) -> str:
    return " ".join(text.split()).casefold()
