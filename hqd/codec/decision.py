"""Decisions as text: files of `workspace/decisions/`, and what an agent writes under `## Decisions`.

A file is front matter (`id topic tags playbooks steps check supersedes status task step attempt at commit`) and a text:
a heading, what was decided, and `## Why`. In an output each decision is a heading below `## Decisions`, with lines
`topic: …`, `tags: a, b`, `check: { kind = "…" }` and the like (a blank line ends each), or a fenced toml block of them,
and the text itself; or a list, where there is no more to say than one line each.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hqd.codec.document import read_document
from hqd.codec.front_matter import write_front_matter
from hqd.codec.gate import read_gate
from hqd.codec.layout import DECISIONS, slug
from hqd.codec.lesson import flat_gate
from hqd.codec.shapes import Model, shape
from hqd.model.decision import MAX_TEXT, MAX_TITLE, Decision, Recorded
from hqd.model.problem import Problem, one_line

SECTION = re.compile(r"(#{1,6})[ \t]+decisions?[ \t]*:?[ \t]*#*[ \t]*", re.IGNORECASE)
_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})[ \t]*(\w*)")
_KEYS = ("decision", "why", "topic", "tags", "playbooks", "steps", "check", "supersedes")
_KEY = re.compile(
    rf"[ \t]*(?:[-*+][ \t]+)?\*{{0,2}}({'|'.join(_KEYS)})\*{{0,2}}[ \t]*:\*{{0,2}}[ \t]*(.*)", re.IGNORECASE
)
_ITEM = re.compile(r"(?:[-*+]|\d{1,3}[.)])[ \t]+(.*)")
_BOLD = re.compile(r"(?:\*\*|__)(.+?)(?:\*\*|__)[ \t]*[:.]?[ \t]*(.*)", re.DOTALL)
_WHY = re.compile(r"^#{1,6}[ \t]+why[ \t]*$", re.IGNORECASE | re.MULTILINE)
_LISTS = ("tags", "playbooks", "steps", "supersedes")


def decision_path(decision: Decision) -> str:
    return f"{DECISIONS}/{decision.id}-{slug(decision.title)[:40].strip('-')}.md"


def read_decision(data: bytes, path: str) -> tuple[Decision | None, tuple[Problem, ...]]:
    """The decision in a file, or what is wrong with it. Without `id` the file's name is one."""
    document = read_document(data, path)
    if document.problems:
        return None, document.problems
    name = PurePosixPath(path).stem
    raw: dict[str, Any] = {"id": name, **{key: value for key, value in document.header.items() if value is not None}}
    title, said, why = _text(document.text)
    for key, value in (("title", title or name), ("decision", said), ("why", why)):
        raw.setdefault(key, value)
    if not raw["decision"] and title:
        raw["decision"] = title
    made, problems = _shaped(Decision, raw, path, document.line)
    if made is not None and not (name == made.id or name.startswith(made.id + "-")):
        message = f"is {made.id}, but the file is named {name}"
        wrong = Problem(path, document.line(("id",)), "id", message, f"name it {made.id}-SLUG.md", place=("id",))
        return None, (*problems, wrong)
    return (None if problems else made), problems


def write_decision(decision: Decision) -> bytes:
    """The file of a decision; `read_decision` gives the same decision back."""
    values: dict[str, Any] = {"id": decision.id}
    values |= decision.model_dump(mode="python", exclude_defaults=True, exclude={"check", "title", "decision", "why"})
    if decision.check is not None:
        check = flat_gate(decision.check)
        values["check"] = {key: value for key, value in check.items() if (key, value) != ("name", decision.check.kind)}
    title, said, why = one_line(decision.title), decision.decision.strip(), decision.why.strip()
    awkward = "\n#" in f"\n{said}\n{why}" or title != title.strip("# \t") or _text(_body(title, said, why))[1] != said
    if awkward or decision.title != title:  # a heading inside would be taken for one of hqd's own
        values |= {"title": decision.title, "decision": decision.decision, "why": decision.why or None}
    return (write_front_matter(values) + _body(title, said, why)).encode("utf-8", "replace")


def decision_text(data: bytes, path: str) -> str:
    """What an agent is told of a decision; empty for a file that holds none."""
    decision, _problems = read_decision(data, path)
    if decision is None:
        return ""
    why = f"\nWhy: {decision.why.strip()}\n" if decision.why.strip() else ""
    title = "" if decision.decision.strip() == decision.title else f"{decision.title}\n\n"
    return f"{title}{decision.decision.strip()}\n{why}"


def _body(title: str, said: str, why: str) -> str:
    return f"# {title}\n\n{said}\n" + (f"\n## Why\n\n{why}\n" if why else "")


def _text(text: str) -> tuple[str, str, str]:
    """Title, decision and why of a file's text."""
    lines = text.strip().splitlines()
    title = ""
    if lines and (heading := _HEADING.fullmatch(lines[0])) is not None:
        title, lines = heading[2], lines[1:]
    said, *why = _WHY.split("\n".join(lines), maxsplit=1)
    return title[:MAX_TITLE], said.strip(), why[0].strip() if why else ""


def _shaped(
    model: type[Model], raw: dict[str, Any], path: str, line_of: Any
) -> tuple[Model | None, tuple[Problem, ...]]:
    raw = {key: (value,) if key in _LISTS and isinstance(value, str) else value for key, value in raw.items()}
    faults: list[Problem] = []
    if raw.get("check") is not None:
        raw["check"], wrong = read_gate(raw["check"], path, ("check",), line_of, raw)
        faults += wrong
    made, shapeless = shape(model, raw, path, line_of)
    faults += [each for each in shapeless if not (each.place[:1] == ("check",) and raw["check"] is None)]
    return (None if faults else made), tuple(faults)


# -- what an agent writes ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Entry:
    """One decision as an agent wrote it. `line` is 1-based in the output; 0: it came as data."""

    raw: dict[str, Any]
    line: int = 0
    faults: list[str] = field(default_factory=list)


def read_entry(entry: Entry) -> tuple[Recorded | None, tuple[str, ...]]:
    """What it says, or what is wrong with it, in words for the agent."""
    raw = {key: value for key, value in entry.raw.items() if value is not None}
    for key in ("text", "value"):  # what some call it
        if key in raw and "decision" not in raw:
            raw["decision"] = raw.pop(key)
    for one, other in (("title", "decision"), ("decision", "title")):
        if not raw.get(one) and isinstance(raw.get(other), str):
            raw[one] = raw[other].strip().splitlines()[0][:MAX_TITLE] if raw[other].strip() else ""
    made, problems = _shaped(Recorded, raw, "", lambda place: entry.line)
    said = [*entry.faults, *(f"{each.key}: {each.text}" if each.key else each.text for each in problems)]
    where = f"line {entry.line}, " if entry.line else ""
    name = one_line(str(raw.get("title") or "a decision without a title"))[:80]
    return (None if said else made), tuple(f"{where}{name}: {each}" for each in said)


def read_section(text: str) -> list[Entry]:
    """The decisions under `## Decisions` of an output; empty where there is no such section."""
    if "ecision" not in text and "ECISION" not in text:
        return []
    lines = list(_marked(text))
    found: list[Entry] = []
    for place, line in enumerate(lines):
        opened = SECTION.fullmatch(line.text) if not line.fenced else None
        if opened is not None:
            found += _entries(_inside(lines[place + 1 :], len(opened[1])), len(opened[1]))
    return found


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    fenced: bool  # inside a code block, or its mark
    language: str = ""

    def heading(self) -> re.Match[str] | None:
        return None if self.fenced else _HEADING.fullmatch(self.text)


def _marked(text: str) -> Iterator[_Line]:
    fence, language = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        mark = _FENCE.match(line)
        if fence:
            yield _Line(number, line, True, language)
            if mark is not None and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
        elif mark is not None:
            fence, language = mark[1], mark[2].lower()
            yield _Line(number, line, True, language)
        else:
            yield _Line(number, line, False)


def _inside(lines: Sequence[_Line], level: int) -> list[_Line]:
    """Up to the next heading that is not below this one."""
    for place, line in enumerate(lines):
        heading = line.heading()
        if heading is not None and len(heading[1]) <= level:
            return list(lines[:place])
    return list(lines)


def _entries(lines: Sequence[_Line], level: int) -> list[Entry]:
    starts = [place for place, line in enumerate(lines) if (found := line.heading()) and len(found[1]) == level + 1]
    if starts:
        ends = [*starts[1:], len(lines)]
        return [_titled(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    starts = [place for place, line in enumerate(lines) if not line.fenced and _ITEM.match(line.text)]
    starts = [place for place in starts if _KEY.fullmatch(lines[place].text) is None]
    ends = [*starts[1:], len(lines)]
    return [_listed(lines[start:end]) for start, end in zip(starts, ends, strict=True)]


def _titled(lines: Sequence[_Line]) -> Entry:
    heading = lines[0].heading()
    entry = Entry({"title": heading[2] if heading is not None else ""}, lines[0].number)
    _fill(entry, lines[1:], [])
    return entry


def _listed(lines: Sequence[_Line]) -> Entry:
    item = _ITEM.match(lines[0].text)
    text = item[1].strip() if item is not None else ""
    bold = _BOLD.fullmatch(text)
    entry = Entry({"title": bold[1].rstrip(":.") if bold is not None else text[:MAX_TITLE]}, lines[0].number)
    _fill(entry, lines[1:], [bold[2] if bold is not None else text])
    return entry


def _fill(entry: Entry, lines: Sequence[_Line], said: list[str]) -> None:
    """Keys by line or by block; what is no key goes on with the text before it."""
    texts: dict[str, list[str]] = {"decision": said}
    at, block = "decision", []
    for line in lines:
        if line.fenced and line.language in ("toml", "json"):
            block.append(line)
            continue
        key = _KEY.fullmatch(line.text) if not line.fenced else None
        if key is None:
            at = at if line.text.strip() else "decision"  # a blank line ends what was said under a key
            texts[at].append(line.text.strip() if at != "decision" else line.text)
            continue
        name, value = key[1].lower(), key[2].strip()
        if name in ("decision", "why"):
            at = name
            texts.setdefault(at, []).append(value)
        else:
            entry.raw[name] = _value(name, value, entry)
    for name, parts in texts.items():
        text = "\n".join(parts).strip()
        if text:
            entry.raw[name] = text
    if block:
        _block(entry, block)


def _value(name: str, text: str, entry: Entry) -> Any:
    if name == "check":
        return _table(text, entry)
    if name in _LISTS:
        return tuple(each for part in text.strip("[] ").split(",") if (each := part.strip(" \t\"'`")))
    return text.strip("\"'`") or None


def _table(text: str, entry: Entry) -> Any:
    text = text.strip().strip("`")
    try:
        return tomllib.loads(f"check = {text}")["check"]
    except (ValueError, RecursionError):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    entry.faults.append('check: has to be one table: { kind = "must_include", values = ["…"] }')
    return None


def _block(entry: Entry, lines: Sequence[_Line]) -> None:
    language = lines[0].language
    text = "\n".join(line.text for line in lines if _FENCE.match(line.text) is None)
    try:
        values = tomllib.loads(text) if language == "toml" else json.loads(text)
    except (ValueError, RecursionError) as fault:
        entry.faults.append(f"the {language} block: {one_line(str(fault))}")
        return
    if isinstance(values, Mapping):
        entry.raw.update({str(key): value for key, value in values.items()})


def data_entries(data: Any) -> list[Entry]:
    """Decisions that came as data: a list of tables, or of texts. Anything else is none."""
    rows = data if isinstance(data, list | tuple) else ()
    return [
        Entry(dict(row) if isinstance(row, Mapping) else {"decision": row[:MAX_TEXT]})
        for row in rows
        if isinstance(row, Mapping | str)
    ]


def place_of(path: str) -> bool:
    """Whether a path is a decision's file."""
    folder, _, name = path.rpartition("/")
    return folder == DECISIONS and name.endswith(".md") and not name.startswith((".", "_")) and name != "README.md"
