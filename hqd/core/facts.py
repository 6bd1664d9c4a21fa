"""The values of the expression language: what `when`, `feedback` and templates see of a task (design section 11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hqd.model.board import Task
from hqd.model.names import branch, slug_of
from hqd.model.record import OutputRef


def task_facts(task: Task) -> dict[str, Any]:
    """`task.…` in expressions."""
    header = task.document.header
    return {
        "id": task.id,
        "slug": slug_of(task.id),
        "title": task.document.title,
        "text": task.document.text,
        "tags": list(header.tags),
        "repo": header.repo,
        "playbook": task.cursor.playbook or header.playbook,
        "branch": branch(task.id),
        "priority": header.priority,
    }


def facts(task: Task, values: Mapping[str, str], now: datetime, *, output_of: str | None = None) -> dict[str, Any]:
    """All roots of the expression language for one task.

    `values` maps blob ids to the text of outputs. `output_of` names the step whose output is
    `output`; without it `output` is undefined, and so is the output of a step that is stale or has none.
    """
    cursor = task.cursor
    outputs = {name: value_of(ref, values) for name, ref in cursor.outputs.items() if not ref.stale}
    found: dict[str, Any] = {
        "task": task_facts(task),
        "inputs": dict(task.document.header.inputs),
        "outputs": outputs,
        "answers": dict(cursor.answers),
        "children": {name: list(ids) for name, ids in cursor.children.items()},
        "gates": {name: {"status": status} for name, status in cursor.gates.items()},
        "cost": cursor.cost,
        "attempt": cursor.attempts.get(cursor.step or "", 0),
        "round": cursor.round,
        "now": now,
        "findings": [finding.text for finding in cursor.findings],
    }
    if output_of is not None and output_of in outputs:
        found["output"] = outputs[output_of]
    return found


def value_of(ref: OutputRef, values: Mapping[str, str]) -> Any:
    """An output as expressions see it: its text, or the data of a typed output. Raises KeyError when lost."""
    text = values[ref.blob]
    return json.loads(text) if ref.data else text
