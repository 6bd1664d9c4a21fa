"""What a gate looks at: `target = output | task | file:GLOB | diff | key:PATH`.

output      the attempt's output. Kinds about work (`no_conflict_markers`, `secrets`, `hidden_unicode`,
            `prompt_injection`) also look at every file that the attempt added or changed.
task        the task's text, without front matter
file:GLOB   each file after the attempt that the glob covers; none: the gate fails
diff        the lines that the attempt added, file by file, with the line numbers of the new file
key:PATH    the value at PATH (`a.b.0.c`, `*` for every element) of the typed output; where the output is not typed, of
            the JSON that it is, else of its front matter. Text as it is, anything else as JSON. No such key: the gate
            fails
"""

from __future__ import annotations

import json
from typing import Any

from hqd.gates import diffs, globs, parsing
from hqd.gates.kind import CannotJudge, Piece, Scope, Verdict
from hqd.gates.markdown import unfenced
from hqd.model.gate import Files, Subject


def fault(target: str) -> str | None:
    """What is wrong with a target as written; None: nothing."""
    if target in ("output", "task", "diff"):
        return None
    kind, _, rest = target.partition(":")
    if kind == "file":
        problem = globs.fault(rest)
        return f"file:GLOB {problem}" if problem else None
    if kind == "key":
        return None if rest.strip(".") else "key:PATH needs a path, such as key:summary.title"
    return f"must be output, task, file:GLOB, diff or key:PATH, is {target!r}"


class Targets:
    """Resolves targets of one subject, each once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._resolved: dict[tuple[str, Scope], tuple[Piece, ...] | Verdict] = {}

    def resolve(self, target: str, scope: Scope) -> tuple[Piece, ...] | Verdict:
        """The texts, or the failure to report where the target is not there. Raises CannotJudge."""
        if scope is Scope.NONE:
            return ()
        found = self._resolved.get((target, scope))
        if found is None:
            found = self._resolved[target, scope] = self._find(target, scope)
        return found

    def _find(self, target: str, scope: Scope) -> tuple[Piece, ...] | Verdict:
        subject = self._subject
        if target == "output":
            output = Piece(subject.name, subject.output, data=subject.data)
            return (output, *changed_files(subject)) if scope is Scope.WORK else (output,)
        if target == "task":
            return (Piece("task", subject.task_text),)
        if target == "diff":
            return added_lines(subject.diff) or (Piece("diff", ""),)
        kind, _, rest = target.partition(":")
        if kind == "file":
            return _files(subject, rest)
        if kind == "key":
            return _keys(subject, rest)
        raise CannotJudge(f"target: {fault(target)}")


def need_files(files: Files | None, what: str = "the attempt has no files") -> Files:
    """The files. Raises CannotJudge where there are none."""
    if files is None:
        raise CannotJudge(f"{what}: this gate needs a step that works on files")
    return files


def text_of(raw: bytes) -> str:
    """A file's text; bytes that are no UTF-8 become replacement characters; CRLF becomes LF."""
    text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n") if "\r" in text else text


def changed_files(subject: Subject) -> tuple[Piece, ...]:
    """Every text file that the attempt added or changed, as it is now."""
    if subject.files is None:
        return ()
    pieces = []
    for change in subject.changed:
        if change.status == "deleted" or change.binary:
            continue
        raw = subject.files.read(change.path)
        if raw is not None and b"\0" not in raw[:8192]:
            pieces.append(Piece(change.path, text_of(raw), raw=raw))
    return tuple(pieces)


def added_lines(diff: str) -> tuple[Piece, ...]:
    """The added lines of a unified diff, one piece a file."""
    return tuple(
        Piece(file.name, "\n".join(line for _, line in file.added), numbers=tuple(number for number, _ in file.added))
        for file in diffs.parse(diff)
        if file.added
    )


def _files(subject: Subject, glob: str) -> tuple[Piece, ...] | Verdict:
    files = need_files(subject.files)
    pieces = []
    for path in globs.select(files.paths(), (glob,)):
        raw = files.read(path)
        if raw is not None:
            pieces.append(Piece(path, text_of(raw), raw=raw))
    if not pieces:
        return Verdict(False, f"There is no file {glob}. Write it.", settled=True)
    return tuple(pieces)


def _keys(subject: Subject, path: str) -> tuple[Piece, ...] | Verdict:
    data = subject.data if subject.data is not None else structured(subject.output)
    if data is None:
        return Verdict(
            False, f"The output has no key {path}: it is neither JSON nor does it have front matter.", settled=True
        )
    found = list(_walk(data, path.strip(".").split("."), ""))
    if not found:
        known = ", ".join(sorted(map(str, data))) if isinstance(data, dict) else f"a {type(data).__name__}"
        return Verdict(False, f"The output has no key {path}. It has: {known or 'no keys'}.", settled=True)
    return tuple(Piece(where, _as_text(value), data=value) for where, value in found)


def _walk(data: Any, parts: list[str], where: str) -> list[tuple[str, Any]]:
    if not parts:
        return [(where, data)]
    part, rest = parts[0], parts[1:]

    def join(key: object) -> str:
        return f"{where}.{key}" if where else str(key)

    if part == "*" and isinstance(data, dict | list):
        pairs = data.items() if isinstance(data, dict) else enumerate(data)
        return [found for key, value in pairs for found in _walk(value, rest, join(key))]
    if isinstance(data, dict) and part in data:
        return _walk(data[part], rest, join(part))
    if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
        return _walk(data[int(part)], rest, join(part))
    return []


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def structured(text: str) -> Any:
    """The value of a text that is JSON or starts with front matter; None for any other text."""
    body = unfenced(text)
    if body[:1] in "{[" and body:
        try:
            return parsing.json_value(body)
        except parsing.Unreadable:
            return None
    try:
        return parsing.front_matter(text)
    except parsing.Unreadable:
        return None
