"""What a task has been through, read from its records for the people who review it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hqd.codec import layout
from hqd.codec.record import read_record
from hqd.model.board import Task
from hqd.model.gate import GateResult
from hqd.model.playbook import Playbook
from hqd.model.record import EventKind, Record
from hqd.ports import Tree


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that a brief is made of. `gates`: those that let the review be opened, beside the records' own."""

    task: Task
    playbook: Playbook | None
    records: tuple[Record, ...]
    gates: tuple[GateResult, ...] = ()
    documents: tuple[tuple[str, str], ...] = ()  # (step, path): what the accepted attempts were sent
    unasked: float | None = None  # the share of reviews that people are asked for; this one is none of them


def read_story(
    task: Task,
    playbook: Playbook | None,
    tree: Tree,
    gates: tuple[GateResult, ...] = (),
    unasked: float | None = None,
) -> Story:
    """The story of a task as `tree` has it. Raises UnreadableRecord."""
    records = read_records(task.id, tree)
    return Story(task, playbook, records, gates, documents(task, records, tree), unasked)


def read_records(task: str, tree: Tree) -> tuple[Record, ...]:
    """All records of a task, in their order."""
    folder = layout.runs_folder(task)
    numbered = [(layout.record_number(entry.name), entry.name) for entry in tree.entries(folder)]
    found = sorted((number, name) for number, name in numbered if number is not None)
    return tuple(read_record(tree.read(f"{folder}/{name}") or b"", f"{folder}/{name}") for _number, name in found)


def documents(task: Task, records: Sequence[Record], tree: Tree) -> tuple[tuple[str, str], ...]:
    """(step, source) of what was sent to the attempts whose outputs count, from their manifests."""
    counted = {(step, ref.attempt) for step, ref in task.cursor.outputs.items() if not ref.stale}
    found: dict[tuple[str, str], None] = {}
    for record in records:
        if record.event is not EventKind.FINISHED or (record.step, record.attempt) not in counted:
            continue
        for row in _sources(tree.read(record.manifest) if record.manifest else None):
            if row.get("status") == "kept" and isinstance(row.get("source"), str):
                found[(record.step or "", row["source"])] = None
    return tuple(found)


def _sources(data: bytes | None) -> list[dict[str, Any]]:
    """The rows of a manifest; one that was redacted or cannot be read tells nothing."""
    try:
        rows = json.loads(data or b"{}").get("sources", [])
    except (ValueError, AttributeError):
        return []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
