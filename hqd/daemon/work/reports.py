"""A worker's report becomes one `finished` event, with its files beside the record."""

from __future__ import annotations

from datetime import datetime

from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.core.decide import hold_for
from hqd.core.limits import circuit
from hqd.core.reviews import audit
from hqd.core.reviews.holds import forge_hold
from hqd.daemon.draft import Draft
from hqd.daemon.work.values import Values
from hqd.model.attempt import Report
from hqd.model.board import Rules, Task
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult
from hqd.model.record import Event, EventKind, Phase, ReviewState, Work
from hqd.model.task import State


def finish(draft: Draft, report: Report, values: Values, now: datetime, agent: str | None) -> Task | None:
    """Adds the result of an attempt. None where it has no claim any more (dropped meanwhile): it is discarded.

    A result is written only under the claim that it was made for.
    """
    task = draft.tasks.get(report.task)
    if task is None or not claimed(task, report):
        return None
    event = finished_event(task, report, now, agent)
    if event.output_blob is not None and report.output_role is not None:
        values.put(event.output_blob, report.files[report.output_role].decode("utf-8", "replace"))
    rules = draft.board.rules_of(task)
    event = _through_the_circuit(draft, task, event, rules)
    event = audit.drawn(task, event, rules, draft.board.playbook_of(task))
    if event.outcome is Outcome.REFUSED and event.agent is not None:
        draft.refused_probe(circuit.on_agent(draft.holds, event.agent, rules.settings.agents))
    after = draft.happen(task, event, files=report.files)
    forge = forge_hold(event, task.cursor.repo)
    if forge is not None:
        draft.refused_probe(frozenset({forge.name}))
        draft.hold(forge, now)
    elif event.agent is None or not circuit.on_agent(draft.holds, event.agent, rules.settings.agents):
        hold = hold_for(after, event, rules, now)
        if hold is not None:
            draft.hold(hold, now)
    return after


def _through_the_circuit(draft: Draft, task: Task, event: Event, rules: Rules) -> Event:
    """Counts transient failures of an agent in a row; those that open its circuit or find it open do not count."""
    draft.streaks = circuit.after(draft.streaks, task.id, event)
    if event.failure is not Failure.TRANSIENT or event.agent is None:
        return event
    agents, streak = rules.settings.agents, draft.streaks.get(event.agent)
    if not circuit.on_agent(draft.holds, event.agent, agents):
        if streak is None or not circuit.is_open(streak):
            return event
        hold, replaced = circuit.hold(event.agent, event, streak, agents, draft.holds)
        for name in replaced:
            draft.lift(name, event.at, "hqd", f"{hold.on} is held instead")
        draft.hold(hold, event.at)
    draft.streaks.pop(event.agent, None)  # whoever lifts the hold gives the agent a fresh start
    return circuit.refused(event)


def opened(task: Task, review: ReviewState, gates: tuple[GateResult, ...], note: str, now: datetime) -> Event:
    """The event of a review that is open now."""
    step = task.cursor.step
    return Event(
        event=EventKind.REVIEW_OPENED,
        to=State.REVIEW,
        at=now,
        step=step,
        review=review,
        gates=gates,
        message=note or None,
        sample=review.sample,
    )


def claimed(task: Task, report: Report) -> bool:
    cursor = task.cursor
    return (
        cursor.phase is Phase.CLAIMED
        and cursor.claim is not None
        and cursor.claim.nonce == report.nonce
        and cursor.step == report.step
    )


def finished_event(task: Task, report: Report, now: datetime, agent: str | None) -> Event:
    """The event of a report. Paths name the files beside the record that this event becomes."""
    n = task.n + 1
    output = None if report.output_role is None else layout.beside(task.id, n, report.output_role)
    blob = None if report.output_role is None else blob_id(report.files[report.output_role])
    work = report.work
    if "patch.diff" in report.files:
        base = task.cursor.head or task.cursor.base or ""
        patch = layout.beside(task.id, n, "patch.diff")
        work = work.model_copy(update={"patch": patch}) if work is not None else Work(base=base, patch=patch)
    return Event(
        event=EventKind.FINISHED,
        to=State.QUEUE,
        at=now,
        step=report.step,
        attempt=report.attempt,
        agent=agent,
        model=report.model,
        outcome=report.outcome,
        failure=report.failure,
        message=report.message or None,
        findings=report.findings,
        prompt=layout.beside(task.id, n, "prompt.md") if "prompt.md" in report.files else None,
        prompt_hash=report.prompt_hash,
        raw=layout.beside(task.id, n, "raw.txt") if "raw.txt" in report.files else None,
        output=output,
        output_blob=blob,
        output_data=report.output_data,
        manifest=layout.beside(task.id, n, "manifest.json") if "manifest.json" in report.files else None,
        usage=report.usage if report.usage.tokens or report.usage.cost else None,
        wall=round(report.wall, 3),
        stop=report.stop,
        gates=report.gates,
        work=work,
        fingerprint=report.fingerprint,
        retry_after=report.retry_after,
        decisions=tuple(dict(decision) for decision in report.decisions),
        sample=report.sample,
        arm=report.arm,
    )
