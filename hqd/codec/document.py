"""A markdown file: YAML front matter between `---` lines, and text. Its bytes are never rewritten."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hqd.codec.yaml_lines import MAX_CHARACTERS, BadYaml, line_of, read_yaml
from hqd.model.problem import Place, Problem, spell

_OPEN = re.compile(r"---[ \t]*\r?(?:\n|\Z)")
_CLOSE = re.compile(r"^---[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Document:
    """A file as read. With a problem in it the header is empty, and the text is what could be read."""

    header: Mapping[str, Any]
    text: str
    lines: Mapping[Place, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, place: Place) -> int:
        return line_of(self.lines, place)


def read_document(data: bytes, path: str, max_bytes: int = 1_000_000) -> Document:
    """Splits a file into header and text. Never raises: what is wrong stands in `problems`."""
    fault = _unreadable(data, path, max_bytes)
    if fault is not None:
        return Document({}, "", problems=(fault,))
    text = data.decode("utf-8-sig")
    opened = _OPEN.match(text)
    if opened is None:
        return Document({}, text)
    closed = _CLOSE.search(text, opened.end())
    if closed is None:
        remedy = "close it with a line that is only ---, or begin the text with something else"
        return Document(
            {}, text, problems=(Problem(path, 1, "", "the front matter is opened but never closed", remedy),)
        )
    if closed.start() - opened.end() > MAX_CHARACTERS:
        message = f"front matter of more than {MAX_CHARACTERS} characters"
        return Document({}, "", problems=(Problem(path, 1, "", message, "move the text below the second ---"),))
    rest = text[closed.end() :]
    try:
        header, lines = read_yaml(text[opened.end() : closed.start()], first_line=2)
    except BadYaml as error:
        return Document(
            {}, rest, problems=(Problem(path, error.line, spell(error.place), error.message, error.remedy),)
        )
    return Document(header, rest, lines)


def _unreadable(data: bytes, path: str, max_bytes: int) -> Problem | None:
    if len(data) > max_bytes:
        return Problem(
            path, 0, "", f"the file has more than {max_bytes} bytes", "put large material into workspace/files/"
        )
    if data[:2] in _UTF16:
        return Problem(path, 1, "", "the file is UTF-16", "save it as UTF-8")
    nul = data.find(b"\0")
    if nul >= 0:
        return Problem(path, _line_at(data, nul), "", "a NUL byte: this is no text file", "save it as plain UTF-8 text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Problem(path, _line_at(data, error.start), "", "a byte that is not UTF-8", "save the file as UTF-8")
    if not text.strip():
        return Problem(path, 0, "", "the file is empty", "write what is to be done")
    return None


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1
