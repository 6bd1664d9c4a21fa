"""Globs over repository paths: `*` and `?` stay within one folder, `**` crosses folders, `{a,b}` are alternatives.

A pattern is anchored at the root. `pattern` also covers what is in a folder that it names; `exact` names files alone,
but for one with a closing `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

WILD = frozenset("*?[{")
"""Characters by which a part of a glob is more than a name."""


@lru_cache(maxsize=1024)
def pattern(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression over whole paths."""
    body, folder = _body(glob)
    return re.compile(body + ("/.*" if folder else "(?:/.*)?"), re.DOTALL)


@lru_cache(maxsize=1024)
def exact(glob: str) -> re.Pattern[str]:
    """As `pattern`, but `docs/*` is not what lies in the folders of docs."""
    body, folder = _body(glob)
    return re.compile(body + ("/.*" if folder else ""), re.DOTALL)


def _body(glob: str) -> tuple[str, bool]:
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
    return "".join(out), folder


def matches(path: str, globs: Iterable[str]) -> bool:
    """Whether one of the globs covers the path."""
    return any(pattern(glob).fullmatch(path) for glob in globs)


def leaves(glob: str) -> bool:
    """Whether a glob names something outside the repository."""
    return glob.startswith(("/", "~")) or ".." in glob.split("/")


def beginning(glob: str) -> str:
    """The folder that everything a glob names lies in: its parts before the first that is no plain name."""
    parts = glob.removeprefix("./").strip("/").split("/")
    plain = []
    for part in parts[:-1]:
        if WILD & set(part):
            break
        plain.append(part)
    return "/".join(plain)
