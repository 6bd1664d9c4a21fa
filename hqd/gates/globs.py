"""Globs over repository paths: `*` and `?` stay within one folder, `**` crosses folders, `{a,b}` are alternatives.

A pattern is anchored at the root. One that names a folder (with or without a closing `/`) covers what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache


@lru_cache(maxsize=1024)
def pattern(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression over whole paths."""
    text = glob.removeprefix("./").lstrip("/")
    folder = text.endswith("/")
    text = text.rstrip("/")
    out, place, depth = [], 0, 0
    while place < len(text):
        char = text[place]
        if text.startswith("**/", place):
            out.append("(?:[^/]+/)*")
            place += 3
            continue
        if text.startswith("**", place):
            out.append(".*")
            place += 2
            continue
        if char == "[" and (end := text.find("]", place + 2)) > 0:
            inner = text[place + 1 : end].replace("\\", "\\\\")
            out.append(f"(?!/)[{'^' + inner[1:] if inner[0] == '!' else inner}]")
            place = end + 1
            continue
        if char == "{" and "}" in text[place:]:
            depth += 1
            out.append("(?:")
        elif char == "}" and depth:
            depth -= 1
            out.append(")")
        elif char == "," and depth:
            out.append("|")
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char) or re.escape(char))
        place += 1
    return re.compile("".join(out) + ("/.*" if folder else "(?:/.*)?"), re.DOTALL)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs covers the path."""
    return any(pattern(glob).fullmatch(path) for glob in globs)


def select(paths: Sequence[str], globs: Iterable[str]) -> tuple[str, ...]:
    """The paths that one of the globs covers, in their order."""
    chosen = tuple(globs)
    return tuple(path for path in paths if matches(path, chosen))


def fault(glob: str) -> str | None:
    """What is wrong with a glob; None: nothing."""
    if not glob.strip("/ "):
        return "is empty"
    if ".." in glob.split("/"):
        return "must stay inside the repository (no ..)"
    try:
        pattern(glob)
    except re.error as error:
        return f"is no glob: {error}"
    return None
