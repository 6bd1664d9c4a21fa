"""Rule files that repositories have already, as values: AGENTS.md, CLAUDE.md, Cursor, Copilot, skills, ADRs.

Text to values only: which of them a task is sent, is decided elsewhere. What these files mean: agents.md (nearest file
last), the manuals of Claude Code (imports, `paths`), Cursor (`globs`, `alwaysApply`), Copilot (`applyTo`), the Agent
Skills format, and MADR. Front matter that cannot be read is a problem of that file, which is then read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
_STATUS_HEADING = re.compile(r"#{1,6}[ \t]+status\b[ \t]*:?[ \t]*(.*?)[ \t]*#*", re.IGNORECASE)
_STATUS_LINE = re.compile(r"[ \t]*(?:[-*+][ \t]+)?[*_]*status[*_]*[ \t]*:[*_]*[ \t]*(\S.*)", re.IGNORECASE)
_STATUS_ROW = re.compile(r"\|[ \t*_]*status[ \t*_:]*\|[ \t]*([^|]+)\|.*", re.IGNORECASE)
_HEADING = re.compile(r"#{1,6}[ \t]|(?:-{2,}|={2,})[ \t]*$")
_NO_MORE = re.compile(r"\b(?:superseded|superceded|deprecated|rejected|withdrawn|obsolete|not (?:yet )?accepted)\b")
_ACCEPTED = re.compile(r"\baccepted\b")
_STATUS_LINES = 8  # of a section: whoever supersedes an accepted decision writes so below


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One rule file. `globs` None: the file has no scope of its own; empty: it names nothing.

    `always`: it says of itself that it is always meant. `body`: the text without front matter. `status` of a decision
    record: "accepted", else its own words; empty: it does not say.
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
    return RuleFile(
        body=body,
        name=_line(header.get("name")),
        description=_line(header.get("description")),
        globs=globs,
        always=header.get("alwaysApply") in (True, "true"),
        status=_plain_status([_line(status)] if status is not None else _status_lines(body)),
        problem=problem,
    )


def _status_lines(body: str) -> list[str]:
    """What a decision record says of its status: Nygard's section, or MADR's line, or a row of a table."""
    lines = list(_outside_fences(body))
    for place, line in enumerate(lines):
        heading = _STATUS_HEADING.fullmatch(line.strip())
        under = line.strip().lower() == "status" and place + 1 < len(lines) and _HEADING.match(lines[place + 1].strip())
        said = _STATUS_LINE.fullmatch(line) or _STATUS_ROW.fullmatch(line.strip())
        if heading is not None and heading[1]:
            return [heading[1]]
        if heading is not None or under:
            return _section(lines[place + (2 if under else 1) :])
        if said is not None:
            return [said[1]]
    return []


def _section(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        if _HEADING.match(line) or len(found) >= _STATUS_LINES:
            break
        if line.strip():
            found.append(line)
    return found


def _plain_status(lines: Sequence[str]) -> str:
    said = [" ".join(line.strip(" \t*_-+.").split())[:80].lower() for line in lines]
    for line in said:
        if _NO_MORE.search(line):
            return line
    return "accepted" if any(_ACCEPTED.search(line) for line in said) else next(iter(said), "")


def index_line(path: str, rule: RuleFile, *, files: bool = True) -> str:
    """What an agent is told of a document that it may want to read. `files`: whether it can read files itself."""
    name = rule.name or path.rsplit("/", 1)[-1]
    where = f"It is in the file {path}; read that when it is called for."
    if not files:
        where = f"The whole of it ({path}) is sent with tasks that name it."
    return f"{name}: {rule.description}\n{where}\n"


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
