"""A past attempt as gates see one: its output and, for gates that look further, its task, files and sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hqd.adapters.archive import GitArchive
from hqd.adapters.branches import GitBranches
from hqd.adapters.git import GitFailed
from hqd.cli.board.reading import View
from hqd.codec.record import UnreadableRecord
from hqd.codec.task import read_task
from hqd.core.language.facts import facts
from hqd.errors import Expected
from hqd.gates.kind import Scope
from hqd.gates.parameters import is_template
from hqd.gates.registry import Registry
from hqd.model.board import Task
from hqd.model.corpus import Case, PastEvent
from hqd.model.gate import GateSpec, Subject
from hqd.model.task import State, TaskDocument, TaskHeader

MOST_DIFF = 400_000


def looks_at_output_only(spec: GateSpec, registry: Registry) -> bool:
    """Whether a verdict follows from gate and output alone, so that it holds wherever that output stands."""
    kind = registry.kinds[spec.kind]
    plain = spec.target == "output" or spec.target.startswith("key:")
    templates = any(is_template(text) for text in _texts(spec.params))
    own = spec.when is None and (spec.message is None or not is_template(spec.message)) and not templates
    return plain and own and kind.pure and not kind.reads and kind.members is None and kind.scope is Scope.TEXT


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    return [text for inner in value for text in _texts(inner)] if isinstance(value, list | tuple) else []


def plain(case: Case, data: bytes) -> Subject:
    """The output alone."""
    text = data.decode("utf-8", "replace")
    return Subject(output=text, data=_data(text) if case.path.endswith(".json") else None)


class Surroundings:
    """Looks up what stood around past attempts. Commits of work that are not in this clone leave files unknown."""

    def __init__(self, seen: View, archive: GitArchive, revision: str | None) -> None:
        self._seen = seen
        self._archive = archive
        self._branches = GitBranches(seen.repo)
        past = archive.past(revision)
        self._attempts = {(end.task, end.n): (claim, end) for claim, end in past.attempts()}
        self._tasks = archive.task_files(revision)

    def subject(self, case: Case, data: bytes) -> Subject:
        """The whole subject of a past attempt. Raises Expected where its record is not to be had."""
        claim, end = self._attempts[case.task, case.n]
        bare = plain(case, data)
        document = self._document(case.task)
        known = self._facts(case, end, document, bare)
        found = replace(bare, task_text=document.text, facts=known)
        said = end.details.get("work") or {}
        head, base = said.get("head"), said.get("base")
        with suppress(GitFailed, KeyError, Expected):
            snapshot = claim.details.get("snapshot") if claim is not None else None
            if snapshot is not None:
                found = replace(found, sources=self._branches.files(str(snapshot)))
            if head and base:
                found = replace(
                    found,
                    files=self._branches.files(head),
                    base=self._branches.files(base),
                    changed=self._branches.changed(base, head),
                    diff=self._branches.diff(base, head, MOST_DIFF)[0],
                )
        return found

    def _document(self, task: str) -> TaskDocument:
        blob = self._tasks.get(task)
        try:
            text = self._seen.history.blob(blob) if blob is not None else b""
        except KeyError:
            text = b""
        return read_task(text, f"{task}.md").document or TaskDocument(header=TaskHeader(), title=task, text="")

    def _facts(self, case: Case, end: PastEvent, document: TaskDocument, bare: Subject) -> Mapping[str, Any]:
        try:
            record = self._archive.record(end)
        except (UnreadableRecord, KeyError) as fault:
            raise Expected(f"{end.record} cannot be read") from fault
        task = Task(case.task, State.ACTIVE, document, "", record.cursor, record.n)
        known = facts(task, _Texts(self._seen), end.moment)
        known["attempt"] = case.attempt
        known["output"] = bare.data if bare.data is not None else bare.output
        return known


class _Texts(dict[str, str]):
    """Blob -> text, read when asked for; a lost one is empty, for expressions that do not look at it."""

    def __init__(self, seen: View) -> None:
        super().__init__()
        self._seen = seen

    def __missing__(self, blob: str) -> str:
        try:
            text = self._seen.history.blob(blob).decode("utf-8", "replace")
        except KeyError:
            text = "null"
        self[blob] = text
        return text


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
