"""Rule files that repositories have already, as values: AGENTS.md, CLAUDE.md, Cursor, Copilot, skills, ADRs.

Text to values only: which of them a task is sent, is decided elsewhere. What these files mean: agents.md (nearest file
last), the manuals of Claude Code (imports, `paths`), Cursor (`globs`, `alwaysApply`), Copilot (`applyTo`), the Agent
Skills format, and MADR. Front matter that cannot be read is a problem of that file, which is then read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hqd.codec.document import read_document
from hqd.codec.yaml_lines import BadYaml

MAX_BYTES = 1_000_000

_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_SPAN = re.compile(r"`[^`\n]*`")
_IMPORT = re.compile(r"(?:^|(?<=\s))@((?:\./|\.\./|~/|/)?[\w.\-][\w./\-]*)")
_OPEN_FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_KEY = re.compile(r"([A-Za-z]\w*)[ \t]*:[ \t]*(.*)")
_STATUS = re.compile(
    r"^(?:#{1,6}\s+status\s*\n+\s*|\*{0,2}status\*{0,2}\s*:\s*)[*_]*(\w+)", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One rule file. `globs` None: the file has no scope of its own; empty: it names nothing.

    `always`: it says of itself that it is always meant. `body`: the text without front matter.
    """

    body: str
    name: str = ""
    description: str = ""
    globs: tuple[str, ...] | None = None
    always: bool = False
    status: str = ""
    problem: str | None = None


def read_rule_file(data: bytes, path: str) -> RuleFile:
    """Any of the rule files with front matter; unknown keys are left alone."""
    header, body, problem = _front(data, path)
    globs = next(
        (_list(header[key]) for key in ("globs", "paths", "applyTo") if header.get(key) not in (None, "")), None
    )
    status = header.get("status")
    found = _STATUS.search(body) if status is None else None
    return RuleFile(
        body=body,
        name=_line(header.get("name")),
        description=_line(header.get("description")),
        globs=globs,
        always=header.get("alwaysApply") in (True, "true"),
        status=(_line(status) if status is not None else found[1] if found is not None else "").lower(),
        problem=problem,
    )


def index_line(path: str, rule: RuleFile) -> str:
    """What an agent is told of a document that it may want to read."""
    name = rule.name or path.rsplit("/", 1)[-1]
    return f"{name}: {rule.description}\nIt is in the file {path}; read that when it is called for.\n"


def imports(text: str) -> tuple[str, ...]:
    """The paths that `@path` names outside code, in order, each once. What has neither `/` nor `.` is a name."""
    found: dict[str, None] = {}
    for line in _outside_fences(text):
        for match in _IMPORT.finditer(_SPAN.sub(lambda span: " " * len(span[0]), line)):
            path = match[1].rstrip(".,;:")
            if "/" in path or "." in path:
                found[path] = None
    return tuple(found)


def _outside_fences(text: str) -> Iterator[str]:
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            continue
        if mark is not None:
            fence = mark[1]
            continue
        yield line


def _front(data: bytes, path: str) -> tuple[Mapping[str, Any], str, str | None]:
    """Header, body, and what is wrong. Globs that begin with `*` are no YAML, but all tools read them: so does this."""
    try:
        document = read_document(data, path, MAX_BYTES)
    except BadYaml as fault:
        return {}, data.decode("utf-8", "replace"), fault.message
    if not document.problems:
        return document.header, document.text, None
    text = data.decode("utf-8", "replace")
    opened = _OPEN_FRONT.match(text.removeprefix("\ufeff"))
    if opened is None:
        return {}, text, document.problems[0].message
    header: dict[str, Any] = {}
    for line in opened[1].splitlines():
        pair = _KEY.match(line)
        if pair is not None:
            header[pair[1]] = pair[2].strip().strip("\"'")
    problem = None if any(key in header for key in ("globs", "paths", "applyTo")) else document.problems[0].message
    return header, text.removeprefix("\ufeff")[opened.end() :], problem


def _list(value: Any) -> tuple[str, ...]:
    """Globs as a list, or in one text with commas between (not those in braces)."""
    if isinstance(value, str):
        value = re.split(r",(?![^{]*\})", value.strip().removeprefix("[").removesuffix("]"))
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(text for item in items if (text := str(item).strip().strip("\"'")))


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:1024] if value is not None else ""
