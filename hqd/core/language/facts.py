"""The values of the expression language: what `when`, `feedback` and templates see of a task (design section 11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from hqd.model.board import Task
from hqd.model.names import branch, slug_of
from hqd.model.record import OutputRef

_NOBODY: Mapping[str, Task] = MappingProxyType({})


def task_facts(task: Task) -> dict[str, Any]:
    """`task.…` in expressions."""
    header = task.document.header
    return {
        "id": task.id,
        "slug": slug_of(task.id),
        "title": task.document.title,
        "text": task.document.text,
        "tags": list(header.tags),
        "repo": task.cursor.repo or header.repo,
        "playbook": task.cursor.playbook or header.playbook,
        "branch": branch(task.id),
        "priority": header.priority,
    }


def facts(
    task: Task,
    values: Mapping[str, str],
    now: datetime,
    *,
    output_of: str | None = None,
    kin: Mapping[str, Task] = _NOBODY,
) -> dict[str, Any]:
    """All roots of the expression language for one task. `kin`: at least its children, open and ended ones.

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
        "children": {name: [_child(each, kin, values) for each in ids] for name, ids in cursor.children.items()},
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


def _child(task_id: str, kin: Mapping[str, Task], values: Mapping[str, str]) -> dict[str, Any]:
    """One of `children.NAME` (design section 11). `output`: its newest, none where it has none."""
    task = kin.get(task_id)
    if task is None:
        return {"id": task_id, "title": "", "state": "unknown", "output": None, "outputs": {}, "cost": 0.0}
    refs = {name: ref for name, ref in task.cursor.outputs.items() if not ref.stale}
    outputs = {name: value_of(ref, values) for name, ref in refs.items()}
    newest = max(refs, key=lambda name: refs[name].n, default=None)
    return {
        "id": task.id,
        "title": task.document.title,
        "state": task.state.value,
        "output": outputs[newest] if newest is not None else None,
        "outputs": outputs,
        "cost": task.cursor.cost,
    }


def value_of(ref: OutputRef, values: Mapping[str, str]) -> Any:
    """An output as expressions see it: its text, or the data of a typed output. Raises KeyError when lost."""
    text = values[ref.blob]
    return json.loads(text) if ref.data else text
