"""The audit share: some outputs that gates have stopped are shown to people, who do not see the verdicts. Pure.

Only so can it be known how often an enforcing gate is wrong, and what it misses: people otherwise see nothing but what
gates let through. An audited output is never accepted work: a word on it is a label, the ladder goes on as it would
have, and nothing lands. What safety gates stop is shown to nobody. Each label weighs 1 / share.
"""

from __future__ import annotations

import hashlib

from hqd.model.board import Rules, Task
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateStatus
from hqd.model.names import branch
from hqd.model.playbook import Playbook, StepKind
from hqd.model.record import Cursor, Event, EventKind, Phase, ReviewState
from hqd.model.task import State

SAFETY = frozenset(
    {"protected_paths", "allowed_paths", "secrets", "pii", "hidden_unicode", "prompt_injection", "tests_not_weakened"}
)
"""Kinds of gates that guard people, secrets or hqd itself: what they stop is never audited."""

COMPOSITE = frozenset({"all_of", "any_of", "at_least", "assert_set"})
"""Kinds whose verdict does not tell which gate inside has failed: they are taken for safety gates."""


def coin(*seed: str | int) -> float:
    """A number from 0 to below 1 that follows from its seed alone: the same coin whenever and wherever it is tossed."""
    text = "\0".join(str(part) for part in seed)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def share_of(rules: Rules, playbook: Playbook) -> float:
    """The share of stopped outputs that is audited: the playbook's, else the HQ's; 0: none."""
    found = playbook.audit if playbook.audit is not None else rules.settings.audit
    return found or 0.0


def drawn(task: Task, event: Event, rules: Rules, playbook: Playbook | None) -> Event:
    """The end of an attempt, with the share by which it could be audited, and on its way to people where it is.

    The share is recorded with every output that could be drawn, also those that are not: they are what it is drawn of.
    """
    share = share_of(rules, playbook) if playbook is not None else 0.0
    if playbook is None or share <= 0 or not _may(task, event, playbook):
        return event
    if coin("audit", task.id, event.step or "", event.attempt or 0) >= share:
        return event.model_copy(update={"audit": share})
    base = task.cursor.head or task.cursor.base or ""
    review = ReviewState(
        step=event.step or "", branch=branch(task.id), head=base, base=base, opened=event.at, audit=True
    )
    return event.model_copy(update={"audit": share, "to": State.REVIEW, "review": review})


def _may(task: Task, event: Event, playbook: Playbook) -> bool:
    """Whether this is an agent's output that gates, and no safety gate, have stopped.

    A task whose pull request is open is left alone: people have that before them.
    """
    if event.event is not EventKind.FINISHED or event.outcome is not Outcome.FAILED:
        return False
    if event.failure is not Failure.GATE or event.output is None or task.cursor.review is not None:
        return False
    step = next((each for each in playbook.steps if each.name == event.step), None)
    stops = [result for result in event.gates if result.stops]
    return (
        step is not None
        and step.kind is StepKind.AGENT
        and bool(stops)
        and all(result.status is GateStatus.FAIL and result.kind not in SAFETY | COMPOSITE for result in stops)
    )


def shown(cursor: Cursor, event: Event) -> Cursor:
    """After a failed attempt: before people, where it was drawn; what failed stands in the cursor as ever."""
    if event.to is not State.REVIEW:
        return cursor
    return cursor.model_copy(update={"phase": Phase.REVIEW, "review": event.review, "missing": None})


def judged(cursor: Cursor, event: Event) -> Cursor:
    """After a person's word on an audited output: the ladder goes on where it was, with his words as a finding too."""
    return cursor.model_copy(
        update={"phase": Phase.FAILED, "review": None, "findings": (*cursor.findings, *event.findings)}
    )
