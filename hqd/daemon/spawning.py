"""Children of a spawn step: written straight into queue/, between the claim and the end of their parent's attempt.

All of it is one batch: after a crash either all children are there and the parent knows them, or none is.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.core.decide import SpawnTasks, park
from hqd.core.secret_scan import redact
from hqd.core.steps.spawn import Child
from hqd.daemon.book import new_task
from hqd.daemon.draft import Draft
from hqd.daemon.people.intake import Door, free_id
from hqd.model.failure import ParkReason
from hqd.model.record import Event, EventKind
from hqd.model.task import State


def spawn(draft: Draft, action: SpawnTasks, door: Door, known: Collection[str], now: datetime) -> None:
    """Adds the claim, the children that are not there yet, and the end of the attempt. `known`: secret values."""
    parent = draft.happen(draft.tasks[action.task], action.claim)
    ids = tuple(child.id or _accept(draft, child, parent.id, door, known, now) for child in action.children)
    draft.happen(parent, action.finished.model_copy(update={"children": ids}))


def _accept(draft: Draft, child: Child, parent: str, door: Door, known: Collection[str], now: datetime) -> str:
    data = redact(child_file(child), known)[0]
    blob = blob_id(data)
    document, faults = door.book.document(f"{layout.INBOX}/{layout.slug(child.title)}.md", data, blob)
    task = new_task(free_id(draft, child.title, door, now), document, blob, None)
    event = Event(event=EventKind.ACCEPTED, to=State.QUEUE, at=now, parent=parent, playbook=child.playbook)
    accepted = draft.happen(task, event, body=data, source="")
    errors = [fault.text for fault in faults if fault.stops]
    if errors:
        draft.happen(accepted, park(ParkReason.BAD_TASK, "; ".join(errors[:3]), now, accepted))
    return task.id


def child_file(child: Child) -> bytes:
    """The task file of a child. A JSON string is a YAML string too."""
    header = [f"title: {json.dumps(child.title, ensure_ascii=False)}"]
    if child.playbook is not None:
        header.append(f"playbook: {json.dumps(child.playbook)}")
    return "\n".join(["---", *header, "---", "", child.body.rstrip("\n"), ""]).encode("utf-8", "replace")
