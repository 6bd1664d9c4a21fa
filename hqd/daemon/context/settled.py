"""Candidates from what is settled: the decisions in force that a rule asks for, newest first, one for each topic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from hqd.core.context.source import Candidate
from hqd.core.decisions import Filed, Settled, in_scope
from hqd.daemon.work.job import Job
from hqd.model.duration import seconds
from hqd.model.playbook import DecisionChoice

if TYPE_CHECKING:
    from hqd.daemon.context.collect import Ruled

MOST_TOLD = 20
"""Decisions that are no longer in force, which the account of one rule names."""


def decided(ruled: Ruled, job: Job, settled: Settled) -> Iterator[Candidate]:
    """What a rule's `decisions` names; those that were superseded or withdrawn as candidates that cannot be used."""
    wanted = ruled.rule.decisions
    if not wanted:
        return
    choice = wanted if isinstance(wanted, DecisionChoice) else DecisionChoice()
    told = f"decisions{_told(choice)}"
    stable = ruled.rule.when is None and bool(choice.tags or choice.playbooks) and not _relative(choice.since)
    found = False
    for each in settled.active:
        if _asked(each, choice, job):
            found = True
            yield ruled.candidate(each.path, each.blob, told, **_fields(each), stable=stable)
    over = [(each, why) for each, why in settled.inactive if _asked(each, choice, job)]
    for each, why in over[:MOST_TOLD]:
        fields: dict[str, Any] = {**_fields(each), "required": False, "problem": why}
        yield ruled.candidate(each.path, each.blob, told, **fields, stable=stable)
    if not found:
        yield ruled.candidate("decisions", "", told, problem="nothing of the kind is settled yet", stable=stable)


def _fields(each: Filed) -> dict[str, Any]:
    decision = each.decision
    by = f"task {decision.task}" if decision.task else "a person"
    moment = decision.at.isoformat() if decision.at is not None else ""
    heading = f"Decision in force: {decision.id} (by {by})"
    return {"form": "decision", "heading": heading, "topic": (decision.topic or "").casefold(), "moment": moment}


def _asked(each: Filed, choice: DecisionChoice, job: Job) -> bool:
    """Whether a rule means this decision; without tags and playbooks it means what the task is in the scope of."""
    decision = each.decision
    since = _since(choice.since, job.now)
    if since is not None and (decision.at is None or _aware(decision.at) < since):
        return False
    if choice.tags or choice.playbooks:
        tags, books = set(choice.tags), set(choice.playbooks)
        return (not tags or bool(tags & set(decision.tags))) and (not books or bool(books & set(decision.playbooks)))
    return in_scope(decision, job.playbook.name, job.task.document.header.tags)


def _relative(since: str | None) -> bool:
    return since is not None and not since[:4].isdigit()


def _since(since: str | None, now: datetime) -> datetime | None:
    if since is None:
        return None
    if _relative(since):
        return now - timedelta(seconds=seconds(since))
    return datetime.combine(date.fromisoformat(since), time.min, UTC)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _told(choice: DecisionChoice) -> str:
    parts = [f" tagged {', '.join(choice.tags)}"] if choice.tags else []
    parts += [f" of {', '.join(choice.playbooks)}"] if choice.playbooks else []
    parts += [f" since {choice.since}"] if choice.since else []
    return "".join(parts) or " in scope"
