"""What people are told of a batch: which events are news, and the facts that a message may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqd.core.language.facts import task_facts
from hqd.daemon.batch import Written
from hqd.model.record import EventKind
from hqd.ports import Notifier

KINDS = {
    EventKind.PARKED: "blocked",
    EventKind.ASKED: "ask",
    EventKind.REVIEW_OPENED: "review",
    EventKind.DONE: "done",
    EventKind.DROPPED: "dropped",
    EventKind.LANDED: "landed",
    EventKind.HELD: "hold",
    EventKind.LIFTED: "lifted",
}
"""Event -> the word that `[[notify]] on` uses."""


def tell(written: Sequence[Written], notifier: Notifier) -> None:
    for each in written:
        if each.event.event is EventKind.REVIEW_OPENED and each.event.sample is not None:
            continue  # nobody is asked for it
        kind = "review" if each.event.audited else KINDS.get(each.event.event)
        if kind is not None:
            notifier.tell(kind, facts(each))


def facts(written: Written) -> dict[str, Any]:
    """`task`, `event`, `state`, `step`, `reason`, `missing`, `by`, `at`; for holds `hold` and `on` too."""
    event, after, hold = written.event, written.after, written.hold
    event = event.blinded() if event.audited else event
    known: dict[str, Any] = {
        "event": event.event.value,
        "step": event.step or "",
        "reason": event.reason.value if event.reason is not None else "",
        "missing": event.missing or event.message or "",
        "by": event.by,
        "at": event.at.isoformat(),
    }
    if after is not None:
        known["task"] = task_facts(after)
        known["state"] = after.state.value
    if hold is not None:
        known |= {"hold": hold.name, "on": hold.on, "reason": hold.reason, "missing": hold.missing}
        known["task"] = {"title": hold.on, "id": "", "slug": ""}
    return known
