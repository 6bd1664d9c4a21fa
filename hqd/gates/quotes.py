"""Does the text cite, and quote truly? `citations` and `quotes_verbatim` (design section 11)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from pydantic import Field

from hqd.gates import globs
from hqd.gates.kind import CannotJudge, GateKind, Params, Piece, Verdict, View, listed, shorten, together
from hqd.gates.likeness import earlier_output
from hqd.gates.markdown import Document, plain, without_code_spans
from hqd.gates.references import resolved
from hqd.gates.size import words
from hqd.gates.targets import text_of
from hqd.model.gate import Evidence, Subject

_FOOTNOTE = re.compile(r"\[\^([^\[\]\s]{1,100})\](?!:)")
_NUMBER = re.compile(r"(?<!!)\[(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\](?![(:\[])")
_ENTRY = re.compile(r"\s*(?:[-*+]\s+)?\[(\d{1,3})\]:?\s+\S")
_LISTED = re.compile(r"\s*(\d{1,3})[.)]\s+\S")
_LIST_NAMES = frozenset({"references", "sources", "bibliography", "citations", "works cited", "notes", "footnotes"})
_QUOTED = re.compile(r'"([^"]+)"|“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|”([^”]+)”')
_MARKS = re.compile(r"\[\^?[\w.\-]{1,20}\](?!\()")
_GAP = re.compile(r"\[?(?:…|\.\.\.|\. \. \.)\]?|\[[^\[\]]*\]")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_SIGNS = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-"})
_EDGES = " \t\"'.,;:!?()[]-"
LONGEST_FUZZY = 5000
"""Characters of a part that may differ a little; a longer one counts word for word only."""
QUOTE_WORDS = 4
"""Fewest words in double quotes that make a quote; fewer are a title or an ironic word."""


class Citations(Params):
    """Counts citations, each thing cited once: at least `min`.

    A citation is a Markdown link or web address (not an image, not a link within the text), a footnote `[^x]`, or a
    number `[n]` (`[1, 3]` and `[2-4]` are several), outside code. A footnote without its note fails. With `sources`
    (globs of the HQ's files, or beginnings of web addresses), each must cite one of them: a link by its target, a
    footnote or number by the line that explains it (`[^x]: …`, `[n] …`, or item n of a list under References). No
    citation at all passes, unless `min` says otherwise.
    """

    min: int = Field(default=0, ge=0, description="fewest things cited")
    sources: tuple[str, ...] = Field(default=(), description="what may be cited: globs, or beginnings of addresses")


@dataclass(frozen=True, slots=True)
class _Citation:
    key: str
    target: str | None  # of a link
    entry: str | None  # the line that explains a footnote or number
    evidence: Evidence


def citations(params: Citations, view: View) -> Verdict:
    allowed = _Allowed(params.sources, view.subject) if params.sources else None
    verdicts = tuple((piece, _cited(params, piece, allowed)) for piece in view.pieces)
    return verdicts[0][1] if len(verdicts) == 1 else together(verdicts)


def _cited(params: Citations, piece: Piece, allowed: _Allowed | None) -> Verdict:
    found = {citation.key: citation for citation in reversed(tuple(_find(piece)))}
    dangling = [one for one in found.values() if one.key.startswith("^") and one.entry is None]
    if dangling:
        names = listed([f"[{one.key}]" for one in dangling])
        message = f"These footnotes have no note: {names}. Add a line such as `[{dangling[0].key}]: source`."
        return Verdict(False, message, tuple(one.evidence for one in dangling[:10]))
    strange = [one for one in found.values() if not allowed.covers(one, piece)] if allowed else []
    score, threshold = float(len(found) - len(strange)), float(params.min)
    if strange:
        names = listed([one.target or f"[{one.key}]" for one in strange])
        message = f"Cited, but none of the sources: {names}. Cite only {listed(params.sources)}."
        return Verdict(False, message, tuple(one.evidence for one in strange[:10]), score, threshold)
    if len(found) < params.min:
        where = f" of {listed(params.sources)}" if params.sources else ""
        message = f"{len(found)} citations found; at least {params.min}{where} are asked for. Cite by a Markdown link, "
        return Verdict(False, message + "a footnote `[^1]` or a number `[1]` with its entry.", (), score, threshold)
    return Verdict(True, f"{len(found)} citations", (), score, threshold)


def _find(piece: Piece) -> Iterator[_Citation]:
    document = piece.document
    for link in document.links:
        if link.target and not link.image and not link.target.startswith("#"):
            yield _Citation(link.target.split("#")[0], link.target, None, piece.on(link.line, link.target))
    entries = _entries(document)
    explained = {number for number, _ in entries.values()}
    for number, line in document.prose:
        if "[" not in line:
            continue
        text = without_code_spans(line)
        for match in _FOOTNOTE.finditer(text):
            note = document.definitions.get(f"^{match[1].casefold()}")
            yield _Citation(f"^{match[1]}", None, note[0] if note else None, piece.on(number, line))
        start = _ENTRY.match(text) if number in explained else None
        for match in _NUMBER.finditer(text, start.end() - 1 if start else 0):
            for label in _numbers(match[1]):
                if label not in document.definitions:  # else it is a link already
                    entry = entries.get(label)
                    yield _Citation(label, None, entry[1] if entry else None, piece.on(number, line))


def _numbers(text: str) -> Iterator[str]:
    for part in re.split(r"[,;]", text):
        low, *high = (int(one) for one in re.split(r"[–-]", part))
        last = high[0] if high and low <= high[0] <= low + 50 else low
        yield from (str(number) for number in range(low, last + 1))


def _entries(document: Document) -> dict[str, tuple[int, str]]:
    """Lines that explain `[n]`: label -> (line number, line).

    Under a heading such as References: `[n] …` and item n of a list. Elsewhere a line that starts with `[n]` explains
    it only where `[n]` stands in the text before; else it is a sentence that starts with what it cites.
    """
    found: dict[str, tuple[int, str]] = {}
    cited: set[str] = set()
    start = max((at.line for at in document.headings if plain(at.text) in _LIST_NAMES), default=0)
    for number, line in document.prose:
        listing = bool(start) and number > start
        match = _ENTRY.match(line) or (_LISTED.match(line) if listing else None)
        if match and (listing or match[1] in cited):
            found.setdefault(match[1], (number, line))
        elif "[" in line:
            cited.update(label for one in _NUMBER.finditer(line) for label in _numbers(one[1]))
    return found


class _Allowed:
    """What may be cited."""

    def __init__(self, sources: tuple[str, ...], subject: Subject) -> None:
        self.addresses = tuple(source for source in sources if "://" in source)
        wanted = tuple(source for source in sources if "://" not in source)
        self.paths = frozenset(path for path, _ in source_texts(wanted, subject)) if wanted else frozenset[str]()

    def covers(self, citation: _Citation, piece: Piece) -> bool:
        if citation.target is not None:
            return self._target(citation.target, piece)
        if citation.entry is None:
            return False
        document = Document(citation.entry)
        if any(self._target(link.target or "", piece) for link in document.links):
            return True
        return any(path in citation.entry or posixpath.basename(path) in citation.entry for path in self.paths)

    def _target(self, target: str, piece: Piece) -> bool:
        if any(target.startswith(address.rstrip("*")) for address in self.addresses):
            return True
        return bool({resolved(target, piece.path), resolved(target, "")} & self.paths)


class QuotesVerbatim(Params):
    """Passes when every quote stands in one of `sources`, word for word.

    A quote is a block quote (`>`; not a `[!NOTE]` box), or text of 4 or more words in double quotes of any style.
    Case, white space, emphasis, the shape of quotation marks and dashes, and punctuation at the ends do not matter;
    `…`, `...` and `[words]` stand for something left out: the parts must follow each other. With `ratio` below 1, a
    part counts when a passage of the source is that similar to it (edit distance, best window). `sources` are globs
    of the HQ's files at the task's snapshot, `task`, or `outputs.STEP`. No quote passes, unless `min` says otherwise.
    """

    sources: tuple[str, ...] = Field(min_length=1, description="where quotes may come from")
    ratio: float = Field(default=1.0, gt=0, le=1, description="similarity that is close enough; 1: word for word")
    min: int = Field(default=0, ge=0, description="fewest quotes")


def quotes_verbatim(params: QuotesVerbatim, view: View) -> Verdict:
    texts = source_texts(params.sources, view.subject)
    sources = tuple(_normal_source(text) for _, text in texts)
    verdicts = tuple((piece, _quoted(params, piece, sources)) for piece in view.pieces)
    return verdicts[0][1] if len(verdicts) == 1 else together(verdicts)


def _quoted(params: QuotesVerbatim, piece: Piece, sources: tuple[str, ...]) -> Verdict:
    found = tuple(quotes(piece.document))
    false = [(line, text) for line, text in found if not any(_within(text, one, params.ratio) for one in sources)]
    score = float(len(found) - len(false))
    if false:
        lines = "\n".join(f'- line {piece.line_number(line)}: "{shorten(text, 160)}"' for line, text in false[:5])
        message = f"{len(false)} of {len(found)} quotes do not stand in {listed(params.sources)}:\n{lines}\n"
        message += "Quote word for word, or say it in your own words without quotation marks."
        return Verdict(
            False, message, tuple(piece.on(line, text) for line, text in false[:10]), score, float(len(found))
        )
    if len(found) < params.min:
        message = f"{len(found)} quotes found; at least {params.min} are asked for, word for word from "
        return Verdict(False, message + f"{listed(params.sources)}.", (), score, float(params.min))
    return Verdict(True, f"{len(found)} quotes", (), score, float(params.min))


def quotes(document: Document) -> Iterator[tuple[int, str]]:
    """(line, text) of every quote."""
    block: list[tuple[int, str]] = []
    paragraph: list[tuple[int, str]] = []
    for number, line in [*document.prose, (0, "")]:
        if line.lstrip().startswith(">"):
            yield from _in_marks(paragraph)
            paragraph = []
            block.append((number, line.lstrip().lstrip("> ")))
            continue
        yield from _block(block)
        block = []
        if line.strip():
            paragraph.append((number, without_code_spans(line)))
        else:
            yield from _in_marks(paragraph)
            paragraph = []


def _block(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    if not lines or lines[0][1].startswith("[!"):
        return
    kept = [line for _, line in lines]
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith(("—", "–", "--"))):
        kept.pop()  # who said it
    text = " ".join(kept).strip()
    if words(text):
        yield lines[0][0], text


def _in_marks(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    if not lines:
        return
    text = "\n".join(line for _, line in lines)
    for match in _QUOTED.finditer(text):
        inner = next(group for group in match.groups() if group is not None)
        if words(inner) >= QUOTE_WORDS:
            yield lines[text.count("\n", 0, match.start())][0], " ".join(inner.split())


def _within(quote: str, source: str, ratio: float) -> bool:
    place = 0
    for part in _GAP.split(_normal_signs(_MARKS.sub("", quote))):
        wanted = _normal(part).strip(_EDGES)
        if not wanted:
            continue
        at = source.find(wanted, place)
        if at < 0:
            return ratio < 1 and _close(quote, source, ratio)
        place = at + len(wanted)
    return True


def _close(quote: str, source: str, ratio: float) -> bool:
    """Whether every part of the quote has a passage that is near enough, in any order."""
    from rapidfuzz import fuzz  # here: only a quote that is not verbatim needs it

    parts = [_normal(part).strip(_EDGES) for part in _GAP.split(_normal_signs(_MARKS.sub("", quote)))]
    return all(
        len(part) <= LONGEST_FUZZY
        and len(part) * ratio <= len(source)
        and fuzz.partial_ratio(part, source, score_cutoff=ratio * 100) > 0
        for part in parts
        if part
    )


def _normal(text: str) -> str:
    bare = _LINK.sub(r"\1", _normal_signs(text)) if "](" in text else _normal_signs(text)
    lines = (line.lstrip("> \t") if line.lstrip().startswith(">") else line for line in bare.split("\n"))
    return " ".join(" ".join(lines).replace("*", "").replace("_", "").replace("`", "").split()).casefold()


@lru_cache(maxsize=32)
def _normal_source(text: str) -> str:
    return _normal(text)


def _normal_signs(text: str) -> str:
    return text.translate(_SIGNS)


def source_texts(names: tuple[str, ...], subject: Subject) -> tuple[tuple[str, str], ...]:
    """(name, text) of sources: `task`, `outputs.STEP`, or globs of the HQ's files. Raises CannotJudge for none."""
    found: list[tuple[str, str]] = []
    for name in names:
        if name == "task":
            found.append((name, subject.task_text))
        elif name.startswith("outputs."):
            found.append((name, earlier_output(name, subject)))
        else:
            found.extend(_source_files(name, subject))
    return tuple(found)


def _source_files(glob: str, subject: Subject) -> list[tuple[str, str]]:
    store = subject.sources
    if store is None:
        raise CannotJudge(f"sources: {glob} cannot be read: there are no files of the HQ here")
    found = [(path, store.read(path)) for path in globs.select(store.paths(), (glob,))]
    texts = [(path, text_of(raw)) for path, raw in found if raw is not None]
    if not texts:
        raise CannotJudge(f"sources: the HQ has no file {glob}")
    return texts


_READS = ("sources", "task_text", "outputs")
KINDS = (
    GateKind("citations", "references", Citations, citations, reads=_READS),
    GateKind("quotes_verbatim", "references", QuotesVerbatim, quotes_verbatim, reads=_READS),
)
