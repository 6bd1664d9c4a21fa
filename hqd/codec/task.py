"""A task file: bytes to a `TaskDocument`, or to the problems that say where it is wrong. Never an exception."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from hqd.codec.document import Document, read_document
from hqd.codec.gate import read_gates
from hqd.codec.shapes import shape
from hqd.model.duration import seconds
from hqd.model.problem import Problem, ProblemLevel, one_line
from hqd.model.spelling import nearest
from hqd.model.task import TaskDocument, TaskHeader

MAX_BYTES = 1_000_000
MAX_TITLE = 300

KEYS = frozenset(TaskHeader.model_fields) - {"extra"}
_LISTS = ("tags", "needs", "aliases")
_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t]*#*[ \t]*\r?$", re.MULTILINE)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A task as read. `document` is None where a problem stops it; warnings (likely typos) leave it whole."""

    document: TaskDocument | None
    problems: tuple[Problem, ...] = ()


def read_task(data: bytes, path: str, max_bytes: int = MAX_BYTES) -> ReadTask:
    """Reads a task file. The title is the front matter's, else the first `# ` heading, else the file's name."""
    document = read_document(data, path, max_bytes)
    if document.problems:
        return ReadTask(None, document.problems)
    header, faults = read_header(document, path)
    if header is None or any(fault.stops for fault in faults):
        return ReadTask(None, faults)
    title = one_line(header.title or _heading(document.text) or _name(path)).strip()[:MAX_TITLE]
    return ReadTask(TaskDocument(header=header, title=title or _name(path), text=document.text), faults)


def read_header(document: Document, path: str) -> tuple[TaskHeader | None, tuple[Problem, ...]]:
    raw = {key: value for key, value in document.header.items() if key in KEYS and value is not None}
    extra = {key: value for key, value in document.header.items() if key not in KEYS}
    _ease(raw)
    faults = [*_typos(extra, document, path)]
    if "gates" in raw:
        gates, wrong = read_gates(raw["gates"], path, ("gates",), document.line, document.header)
        raw["gates"] = gates
        faults += wrong
    header, wrong_shape = shape(TaskHeader, {**raw, "extra": extra}, path, document.line)
    faults += wrong_shape
    if header is not None and header.budget is not None and header.budget.wall is not None:
        try:
            seconds(header.budget.wall)
        except ValueError as error:
            place = ("budget", "wall")
            faults.append(Problem(path, document.line(place), "budget.wall", str(error), place=place))
    return header, tuple(sorted(faults, key=lambda fault: fault.line))


def _ease(raw: dict[str, Any]) -> None:
    """What people write and clearly mean: one tag without brackets, a title that looks like a number, a time in UTC."""
    for key in _LISTS:
        value = raw.get(key)
        if isinstance(value, str):
            raw[key] = [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(raw.get(key), list):
            raw[key] = [str(item) if _scalar(item) else item for item in raw[key]]
    moment = raw.get("not_before")
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raw["not_before"] = moment.replace(tzinfo=UTC)
    for key in ("title", "playbook", "repo"):
        if _scalar(raw.get(key)):
            raw[key] = str(raw[key])


def _scalar(value: Any) -> bool:
    return value is not None and not isinstance(value, str | bool | list | dict)


def _typos(extra: Mapping[str, Any], document: Document, path: str) -> list[Problem]:
    found = []
    for key in extra:
        known = nearest(key, KEYS)
        if known is not None:
            found.append(
                Problem(
                    path,
                    document.line((key,)),
                    one_line(key),
                    f"likely a typo of {known}",
                    f"write {known}, or choose a key that is further from it",
                    ProblemLevel.WARNING,
                    (key,),
                )
            )
    return found


def _heading(text: str) -> str | None:
    """The first level-1 heading that is not inside a fenced block."""
    found = _HEADING.search(_FENCE.sub("", text) if "```" in text or "~~~" in text else text)
    return found[1] if found else None


def _name(path: str) -> str:
    return PurePosixPath(path).stem or "task"
