"""Reads JSON, YAML, TOML and CSV with one error: `Unreadable`, which says where and why."""

from __future__ import annotations

import csv
import datetime
import io
import json
import tomllib
from typing import Any, NoReturn

from hqd.gates.markdown import Document

MAX_YAML_ALIASES = 100
"""More aliases than a person writes: an alias bomb grows when it is walked, not when it is read."""


MAX_YAML = 100_000
"""Longest YAML that is read, in characters: the reader is slow, and an agent's output may be megabytes."""


class Unreadable(Exception):
    """The text is not of this format. `line` is 1-based, 0 where none is known."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


def json_value(text: str) -> Any:
    """One JSON document, as RFC 8259 has it: no NaN, no trailing commas, no comments. Raises Unreadable."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(f"{error.msg} at line {error.lineno}, column {error.colno}", error.lineno) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError as error:
        raise Unreadable(str(error)) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def yaml_value(text: str) -> Any:
    """One YAML document of plain values; dates become ISO text. Raises Unreadable."""
    from ruamel.yaml import YAML  # here: few gates read YAML, and all commands that know gates would wait for it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > MAX_YAML:
        raise Unreadable(f"longer than {MAX_YAML:,} characters")
    if text.count("*") > MAX_YAML_ALIASES and _aliases(text) > MAX_YAML_ALIASES:
        raise Unreadable(f"more than {MAX_YAML_ALIASES} aliases")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        where = f" at line {line}, column {mark.column + 1}" if mark is not None else ""
        raise Unreadable(f"{error.problem or error.context}{where}", line) from None
    except YAMLError as error:
        raise Unreadable(" ".join(str(error).split())) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError as error:  # a date that is none, a number too long
        raise Unreadable(str(error)) from None
    return _plain(value)


def _aliases(text: str) -> int:
    return sum(1 for word in text.split() if word.startswith("*") and len(word) > 1)


def _plain(value: Any, depth: int = 0) -> Any:
    """The value with the types of JSON only, as JSON Schema sees it."""
    if depth > 100:
        raise Unreadable("nested too deeply")
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def toml_value(text: str) -> dict[str, Any]:
    """One TOML document. Raises Unreadable."""
    try:
        value: dict[str, Any] = _plain(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(str(error)) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    return value


def csv_rows(text: str, delimiter: str = ",") -> list[list[str]]:
    """All rows with at least one cell; quoting is strict. Raises Unreadable."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise Unreadable(f"{error} at line {reader.line_num}", reader.line_num) from None


def front_matter(text: str) -> dict[str, Any]:
    """The YAML mapping between the leading `---` lines. Raises Unreadable where there is none."""
    document = Document(text)
    end = document.front_matter_end
    if not end:
        raise Unreadable("there is no front matter: the first line must be ---, and a later line --- must end it", 1)
    try:
        value = yaml_value("\n".join(document.lines[1 : end - 1]))
    except Unreadable as error:
        raise Unreadable(error.message, error.line + 1 if error.line else 0) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable("front matter must be keys and values (key: value)", 2)
    return value
