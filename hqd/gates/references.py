"""Does what the text points at exist? Kinds of the group `references` about files; see also quotes.py."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from pydantic import Field, field_validator

from hqd.gates import globs
from hqd.gates.kind import CannotJudge, GateKind, Params, Piece, Verdict, View, listed
from hqd.gates.markdown import Document, Link
from hqd.gates.presence import sound_globs
from hqd.gates.targets import text_of
from hqd.model.gate import Evidence, Subject

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
_ANCHOR = re.compile(r"<[a-zA-Z][^<>]*\s(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)")
_HEADING_ID = re.compile(r"\{#([^}\s]+)\}\s*$")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
_PATH = re.compile(r"(?:\.{1,2}/)*[\w@.\-]+(?:/[\w@.\-]+)*/?")
_LINE_SUFFIX = re.compile(r":\d+(?:[:\-]\d+)?$")
_HOST = re.compile(r"[\w\-]+(?:\.[\w\-]+)*\.[a-zA-Z]{2,}")
_EXTENSIONS = re.compile(
    r"c|cc|cfg|conf|cpp|cs|css|csv|go|h|hpp|html|ini|ipynb|java|js|json|jsx|kt|lock|lua|md|mdc|mdx|mjs|php"
    r"|pl|png|jpg|jpeg|gif|svg|pdf|ps1|py|pyi|rb|rs|rst|scss|service|sh|sql|swift|tf|toml|ts|tsx|txt|vue|xml|yaml|yml|zig"
)


LONGEST_PATH = 300
"""Inline code longer than this, in characters, is no path."""


class _Ignoring(Params):
    ignore: tuple[str, ...] = Field(default=(), description="globs of paths that need not be there")

    @field_validator("ignore")
    @classmethod
    def _sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return sound_globs(value)


class LinksResolve(_Ignoring):
    """Passes when every relative link and image of the Markdown text leads to a file or folder.

    Looked up from the file's own folder (the root, for an output), `/x` from the root, among the files after the
    attempt and the HQ's files. Web addresses and other schemes are not looked at, nor what stands in code. A
    reference link without a definition (`[text][label]`) leads nowhere.
    """


class Places:
    """All paths that a link may lead to."""

    def __init__(self, subject: Subject) -> None:
        self._stores = [store for store in (subject.files, subject.sources) if store is not None]
        if not self._stores:
            raise CannotJudge("there are no files here that a path could lead to")
        self.files = frozenset(path for store in self._stores for path in store.paths())
        self.folders = frozenset(folder for path in self.files for folder in _parents(path))

    def has(self, path: str) -> bool:
        return path in self.files or path.rstrip("/") in self.folders or path == "."

    def text(self, path: str) -> str | None:
        for store in self._stores:
            raw = store.read(path)
            if raw is not None:
                return text_of(raw)
        return None


def links_resolve(params: LinksResolve, view: View) -> Verdict:
    places = Places(view.subject)
    broken: list[tuple[str, Evidence]] = []
    count = 0
    for piece in view.pieces:
        for link in piece.document.links:
            if link.target is None:
                broken.append((f"[{link.text}] has no definition", piece.on(link.line, link.text)))
                continue
            path = local(link, piece)
            if path is None:
                continue
            count += 1
            if not places.has(path) and not globs.matches(path, params.ignore):
                broken.append((link.target, piece.on(link.line, f"[{link.text}]({link.target})")))
    return _verdict(broken, count, "links lead nowhere", "Link to a file that exists, or leave the link out.")


def local(link: Link, piece: Piece) -> str | None:
    """The repository path that a link leads to; None for other documents' addresses and places in the same one."""
    if link.target is None or _SCHEME.match(link.target):
        return None
    return resolved(link.target, piece.path)


def resolved(target: str, where: str) -> str | None:
    """A link target as a path from the root; None where it names only a place in the same text."""
    path = unquote(target.split("#")[0].split("?")[0])
    if not path:
        return None
    folder = posixpath.dirname(where)
    return posixpath.normpath(path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path))


class AnchorsResolve(_Ignoring):
    """Passes when every link with a `#place` leads to a heading or anchor: in the text itself, or in a Markdown file.

    A heading's place is its text in lower case without punctuation, spaces as hyphens, `-1`, `-2` for repeats (the
    rule of GitHub); `<a id="x">` and `{#x}` count too. A file that is missing is the matter of `links_resolve`.
    """


def anchors_resolve(params: AnchorsResolve, view: View) -> Verdict:
    places = Places(view.subject) if view.subject.files or view.subject.sources else None
    broken: list[tuple[str, Evidence]] = []
    count = 0
    for piece in view.pieces:
        for link in piece.document.links:
            if link.target is None or "#" not in link.target or _SCHEME.match(link.target):
                continue
            path = resolved(link.target, piece.path)
            document = _document(path, piece, places)
            if document is None or (path is not None and globs.matches(path, params.ignore)):
                continue
            count += 1
            if unquote(link.target.split("#", 1)[1]).casefold() not in anchors(document):
                broken.append((link.target, piece.on(link.line, f"[{link.text}]({link.target})")))
    return _verdict(broken, count, "links lead to no heading", "Use the heading's own words, lower case, with hyphens.")


def _document(path: str | None, piece: Piece, places: Places | None) -> Document | None:
    if path is None:
        return piece.document
    if places is None or not path.endswith((".md", ".mdx", ".markdown")):
        return None
    text = places.text(path)
    return Document(text) if text is not None else None


def anchors(document: Document) -> frozenset[str]:
    """Every place that a link into this text may name, case folded."""
    found: set[str] = {"top"}
    seen: dict[str, int] = {}
    for heading in document.headings:
        own = _HEADING_ID.search(heading.text)
        if own:
            found.add(own[1].casefold())
        slug = heading_slug(_HEADING_ID.sub("", heading.text).strip())
        repeats = seen.get(slug, 0)
        seen[slug] = repeats + 1
        found.add(f"{slug}-{repeats}" if repeats else slug)
    if "<" in document.text:
        found.update(match[1].casefold() for match in _ANCHOR.finditer(document.text))
    return frozenset(found)


def heading_slug(text: str) -> str:
    bare = re.sub(r"!?\[([^\[\]]*)\]\([^()]*\)", r"\1", text).replace("`", "").replace("*", "")
    return _NOT_IN_SLUG.sub("", bare.strip().casefold()).replace(" ", "-")


class PathsExist(_Ignoring):
    """Passes when every path in inline code is there after the attempt, or in the HQ.

    Inline code is a path when it is made of names and `/` and either its last name has a usual file extension, or it
    starts with `./` or `../`, or its first name is a folder that exists. A line number at its end (`a.py:12`) does
    not count. Absolute paths, addresses, and anything with `*`, `<`, `$`, `{` or spaces is not looked at.
    """


def paths_exist(params: PathsExist, view: View) -> Verdict:
    places = Places(view.subject)
    broken: list[tuple[str, Evidence]] = []
    count = 0
    for piece in view.pieces:
        for line, path in _paths(piece, places):
            count += 1
            known = places.has(posixpath.normpath(path)) or places.has(resolved(path, piece.path) or ".")
            if not known and not globs.matches(posixpath.normpath(path), params.ignore):
                broken.append((path, piece.on(line, path)))
    return _verdict(broken, count, "paths do not exist", "Name files as they are, from the root.")


def _paths(piece: Piece, places: Places) -> Iterator[tuple[int, str]]:
    for line, code in piece.document.code_spans:
        text = _LINE_SUFFIX.sub("", code)
        if len(text) > LONGEST_PATH or not _PATH.fullmatch(text) or text.strip("./") == "":
            continue
        first, _, rest = text.partition("/")
        extension = text.rstrip("/").rpartition("/")[2].rpartition(".")[2].lower()
        usual = "." in text and _EXTENSIONS.fullmatch(extension) and (bool(rest) or not text.startswith("."))
        if (
            rest
            and "." in first
            and first not in (".", "..")
            and _HOST.fullmatch(first)
            and first not in places.folders
        ):
            continue  # an address without its scheme
        if usual or text.startswith(("./", "../")) or (rest and first in places.folders):
            yield line, text


def _verdict(broken: list[tuple[str, Evidence]], count: int, what: str, remedy: str) -> Verdict:
    if not broken:
        return Verdict(True, f"{count} looked at", (), float(count))
    names = listed(list(dict.fromkeys(name for name, _ in broken)))
    message = f"{len(broken)} {what}: {names}. {remedy}"
    return Verdict(False, message, tuple(evidence for _, evidence in broken[:20]), float(len(broken)), 0.0)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


_READS = ("files", "sources")
KINDS = (
    GateKind("links_resolve", "references", LinksResolve, links_resolve, reads=_READS),
    GateKind("anchors_resolve", "references", AnchorsResolve, anchors_resolve, reads=_READS),
    GateKind("paths_exist", "references", PathsExist, paths_exist, reads=_READS),
)
