"""Recorded history as the pure core takes it: tasks as they were accepted, events as events, attempts judged again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqd.cli.board.reading import View
from hqd.cli.history.past import archive_of
from hqd.codec import layout
from hqd.core.evolve import evolve
from hqd.core.language.facts import facts
from hqd.core.replay.gating import Judge
from hqd.daemon.book import new_task, parse
from hqd.errors import IllegalTransition
from hqd.gates.kind import Scope
from hqd.gates.registry import Registry
from hqd.model.board import Task
from hqd.model.corpus import Past, PastEvent
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject
from hqd.model.record import Event, EventKind, Record
from hqd.model.task import State

_EVENT_KEYS = {info.alias or name for name, info in Event.model_fields.items()}
_RECORD_ONLY = {info.alias or name for name, info in Record.model_fields.items()} - _EVENT_KEYS


def event_of(past: PastEvent) -> Event:
    """The event as it was recorded, without the cursor that followed. Raises ValueError for what is none."""
    known: dict[str, Any] = {key: value for key, value in past.details.items() if key not in _RECORD_ONLY}
    known |= {
        "event": past.event,
        "to": past.to,
        "at": past.moment,
        "by": past.by,
        "via": past.via,
        "step": past.step,
        "attempt": past.attempt,
        "agent": past.agent,
        "model": past.model,
        "outcome": past.outcome,
        "failure": past.failure,
        "reason": past.reason,
        "output": past.output,
        "output_blob": past.output_blob,
    }
    if past.event != EventKind.FINISHED.value:
        known["playbook"] = past.playbook  # of a finished one it is the claim's, and no part of the record
    return Event.model_validate(known)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A task as it was accepted, and the events of history that came after."""

    task: Task
    events: Sequence[PastEvent]

    @property
    def first_claim(self) -> PastEvent | None:
        return next((each for each in self.events if each.event == EventKind.CLAIMED.value), None)


def accepted(seen: View, past: Past, after: int = -1) -> Iterable[Accepted]:
    """Every task that was accepted after place `after` of the line, in order.

    A file that a person edited later is read at the commit of its acceptance.
    """
    tasks = {
        task: events
        for task, events in past.tasks().items()
        if events[0].event == EventKind.ACCEPTED.value and events[0].order > after
    }
    blobs = _task_blobs(seen, tasks)
    texts = dict(archive_of(seen).texts(list(blobs.values())))
    for task, events in tasks.items():
        path = layout.task_path(task, State.QUEUE)
        data = texts.get(blobs.get(task, ""))
        document = parse(path, data if data is not None else b"")[0]
        start = new_task(task, document, blobs.get(task, ""), None)
        try:
            yield Accepted(evolve(start, event_of(events[0])), events[1:])
        except (IllegalTransition, ValueError):
            continue


def _task_blobs(seen: View, tasks: Mapping[str, Sequence[PastEvent]]) -> dict[str, str]:
    """The blob of each task's file as it was accepted."""
    states = [folder for folder in layout.STATE_FOLDERS.values() if folder != layout.INBOX]
    args = ("ls-tree", "-r", "-z", "--full-tree", seen.tree.commit, "--", *states)
    found: dict[str, str] = {}
    for row in seen.repo.git.read(*args).text.split("\0"):
        head, _, path = row.partition("\t")
        place = layout.locate(path)
        if place is not None:
            found[place[1]] = head.rsplit(" ", 1)[1]
    for task, events in tasks.items():
        if task not in found or any(each.event == EventKind.EDITED.value for each in events):
            entry = seen.history.tree(events[0].commit).entry(layout.task_path(task, State.QUEUE))
            if entry is not None:
                found[task] = entry.id
    return found


def judging(registry: Registry, values: Mapping[str, str]) -> Callable[[Task, Event, str | None], Judge]:
    """Judges of recorded outputs: by programs that look at texts alone; anything else is not known."""

    def of(task: Task, event: Event, text: str | None) -> Judge:
        def judge(spec: GateSpec) -> GateResult | None:
            if text is None or not looks_at_text(registry, spec, event):
                return None
            found = registry.run((spec,), _subject(task, event, text, values))[0]
            return None if found.status is GateStatus.ERROR else found

        return judge

    return of


def looks_at_text(registry: Registry, spec: GateSpec, event: Event) -> bool:
    """Whether a gate's verdict on a recorded attempt follows from its text: no process, no judge, no files."""
    kind = registry.kinds.get(spec.kind)
    if kind is None or not kind.pure or kind.cost:
        return False
    if spec.target not in ("output", "task") and not spec.target.startswith("key:"):
        return False
    files = event.work is not None and bool(event.work.files)
    return kind.scope is Scope.TEXT or (kind.scope is Scope.WORK and not files)


def _subject(task: Task, event: Event, text: str, values: Mapping[str, str]) -> Subject:
    known = facts(task, values, event.at)
    data = _data(text) if event.output_data else None
    known["output"] = data if event.output_data else text
    known["attempt"] = event.attempt or 0
    return Subject(output=text, data=data, task_text=task.document.text, facts=known)


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
