"""Reads a unified diff as git prints it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


@dataclass(slots=True)
class FileDiff:
    """One file: added lines with their new numbers, removed ones with their old numbers. `path` None: deleted."""

    path: str | None = None
    old_path: str | None = None
    added: list[tuple[int, str]] = field(default_factory=list)
    removed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path or self.old_path or "diff"


class _Reader:
    """Takes a diff line by line. Hunks are read by their counts, so that no content passes for a header."""

    def __init__(self) -> None:
        self.files: list[FileDiff] = []
        self._old = self._new = self._old_left = self._new_left = 0

    def take(self, line: str) -> None:
        if self._old_left > 0 or self._new_left > 0:
            self._content(line)
        elif line.startswith("diff --git "):
            self.files.append(FileDiff())
        elif line.startswith("--- "):
            if not self.files or self.files[-1].old_path or self.files[-1].path:  # `diff -u`, without git's header
                self.files.append(FileDiff())
            self.files[-1].old_path = _path(line[4:])
        elif line.startswith("+++ ") and self.files:
            self.files[-1].path = _path(line[4:])
        elif self.files and (hunk := _HUNK.match(line)):
            self._old, self._new = int(hunk[1]), int(hunk[3])
            self._old_left = int(hunk[2]) if hunk[2] else 1
            self._new_left = int(hunk[4]) if hunk[4] else 1

    def _content(self, line: str) -> None:
        mark = line[:1]
        if mark == "\\":  # no newline at end of file
            return
        if mark != "-":
            if mark == "+":
                self.files[-1].added.append((self._new, line[1:]))
            self._new, self._new_left = self._new + 1, self._new_left - 1
        if mark != "+":
            if mark == "-":
                self.files[-1].removed.append((self._old, line[1:]))
            self._old, self._old_left = self._old + 1, self._old_left - 1


def parse(diff: str) -> tuple[FileDiff, ...]:
    """The files of a diff, in its order."""
    reader = _Reader()
    for line in diff.split("\n"):
        reader.take(line)
    return tuple(reader.files)


def _path(written: str) -> str | None:
    """The path of a `+++ b/path` line, without prefix and git's quoting; None for /dev/null."""
    text = written.rstrip("\t\r")
    if text == "/dev/null":
        return None
    if text.startswith('"') and text.endswith('"'):
        raw = _ESCAPE.sub(_unescape, text[1:-1].encode("utf-8", "surrogateescape"))
        text = raw.decode("utf-8", "replace")
    return text[2:] if text.startswith(("a/", "b/")) else text


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 0xFF]) if len(code) == 3 else _LETTERS.get(code, code)
