"""Before work is put before people or lands: a main that has moved is brought into it, and its gates run again.

Runs in workers. The reviewed code never changes behind anybody's back: what is brought up to date is a new tip, under
review again; and where the two do not go together, an agent hears of it first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from hqd.core.facts import facts, value_of
from hqd.core.gate_use import resolve_gates
from hqd.core.recovery import MAIN
from hqd.daemon.job import Job
from hqd.daemon.made import clean
from hqd.daemon.workshop import Workshop
from hqd.model.attempt import Report
from hqd.model.drift import Drift, Updated
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject
from hqd.model.names import branch
from hqd.model.playbook import Step, StepKind
from hqd.model.record import Finding, Work

_ASKS_SOMEBODY = frozenset({"judge", "human", "forge_checks"})
"""Kinds that cost a model's or a person's time, or are asked in another way; main does not change what they judged."""

_DIFF = 400_000


@dataclass(frozen=True, slots=True)
class Ready:
    """A job whose work has main's changes. `note`: one line for people; empty where main has not moved."""

    job: Job
    gates: tuple[GateResult, ...] = ()
    note: str = ""


def bring_up(job: Job, shop: Workshop, stop: threading.Event, progress: Callable[[str], None]) -> Ready | Report:
    """Brings the branch of a review step up to date; a report where that needs an agent."""
    cursor, step = job.task.cursor, job.step
    if cursor.head is None or cursor.base is None or cursor.head == cursor.base or step.review is None:
        return Ready(job)
    updates = shop.places(job.repo).updates
    head = updates.newest(job.task.id, cursor.head)
    drift = updates.drift(cursor.base, head)
    if drift is None:
        return Ready(_at(job, head, cursor.base))
    progress("main")
    message = f"Merge main into {branch(job.task.id)}\n\nHqd-Work: {job.task.id}\n"
    updated = updates.bring_up(job.task.id, head, drift, rebase=step.review.update == "rebase", message=message)
    if updated.head is None:
        return _conflict(job, shop, drift, updated)
    base = updated.onto if updated.moved else cursor.base
    job = _at(job, updated.head, base)
    gates = recheck(job, shop, updated.head, updated.onto, stop, progress)
    if stop.is_set():
        return job.ended(Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    red = [result for result in gates if result.stops]
    if red:
        work = Work(base=base, head=updated.head, repo=job.repo)
        return replace(_red(job, shop, drift, red), work=work, gates=gates)
    return Ready(job, gates, f"{drift}; it is brought up to date")


def together(job: Job, shop: Workshop, head: str, drift: Drift, stop: threading.Event) -> Report | None:
    """Whether work that lands by itself goes together with a main that has moved: a report where it does not."""
    updates = shop.places(job.repo).updates
    message = f"Merge main into {branch(job.task.id)}\n\nHqd-Work: {job.task.id}\n"
    updated = updates.bring_up(job.task.id, head, drift, rebase=False, message=message)
    if updated.head is None:
        return _conflict(job, shop, drift, updated)
    base = updated.onto if updated.moved else job.task.cursor.base or updated.onto
    gates = recheck(_at(job, updated.head, base), shop, updated.head, updated.onto, stop, lambda _: None)
    red = [result for result in gates if result.stops]
    if not red:
        return None
    return replace(_red(job, shop, drift, red), work=Work(base=base, head=updated.head, repo=job.repo), gates=gates)


def recheck(
    job: Job, shop: Workshop, head: str, onto: str, stop: threading.Event, progress: Callable[[str], None]
) -> tuple[GateResult, ...]:
    """The gates of the steps that made the work, on commit `head`, which is the work together with main at `onto`."""
    steps = [(step, _specs(job, step)) for step in _made_by(job)]
    if not any(specs for _, specs in steps):
        return ()
    found: list[GateResult] = []
    with ExitStack() as stack:
        copy = None
        if any("command" in repr(specs) for _, specs in steps):
            progress("copy")
            copy = stack.enter_context(shop.copies.borrow(job.task.id, job.repo, head))
        progress("gates")
        branches = shop.places(job.repo).branches
        known = facts(job.task, job.values, job.now, kin=job.kin)
        for step, specs in steps:
            ref = job.task.cursor.outputs[step.name]
            found += shop.gates(job.rules).run(
                specs,
                Subject(
                    output=job.values[ref.blob],
                    data=value_of(ref, job.values) if ref.data else None,
                    task_text=job.task.document.text,
                    facts={**known, "output": value_of(ref, job.values)},
                    files=branches.files(head),
                    base=branches.files(onto),
                    sources=shop.places(None).branches.files(job.snapshot),
                    changed=branches.changed(onto, head),
                    diff=branches.diff(onto, head, _DIFF)[0],
                    cwd=copy.path if copy is not None else None,
                    stop=stop,
                ),
            )
    return tuple(found)


def _made_by(job: Job) -> list[Step]:
    """The agent steps up to this one whose outputs count."""
    end = job.playbook.position(job.step.name) + 1
    outputs = job.task.cursor.outputs
    return [
        step
        for step in job.playbook.steps[:end]
        if step.kind is StepKind.AGENT and step.name in outputs and not outputs[step.name].stale
    ]


def _specs(job: Job, step: Step) -> tuple[GateSpec, ...]:
    last = [each.name for each in job.playbook.steps if each.kind is StepKind.AGENT][-1:]
    own = job.task.document.header.gates if step.name in last else ()
    specs = resolve_gates((*step.gates, *job.playbook.gates, *own), job.rules.settings.gates)
    return tuple(spec for spec in specs if spec.kind not in _ASKS_SOMEBODY)


def _at(job: Job, head: str, base: str) -> Job:
    cursor = job.task.cursor.model_copy(update={"head": head, "base": base})
    return replace(job, task=job.task.changed(cursor=cursor))


def _conflict(job: Job, shop: Workshop, drift: Drift, updated: Updated) -> Report:
    paths = updated.merge.paths if updated.merge is not None else drift.conflicts
    said = (
        f"{drift}. Your copy has the merge as far as git gets by itself. Bring both sides together in "
        f"{', '.join(paths[:10])}: keep what main now says and what the task needs, and leave none of git's markers."
    )
    shown = tuple(f"{side.path}, with both sides between git's markers:\n{side.text}" for side in updated.sides)
    work = Work(base=job.task.cursor.base or "", repo=job.repo, merge=updated.merge)
    findings = _findings(job, shop, said, *shown)
    return replace(job.ended(Outcome.FAILED, Failure.CONFLICT, str(drift), findings), work=work)


def _red(job: Job, shop: Workshop, drift: Drift, red: Sequence[GateResult]) -> Report:
    failed = next((result for result in red if result.status is GateStatus.FAIL), None)
    if failed is None:
        message = f"{red[0].name}: {red[0].message}"
        return job.ended(Outcome.FAILED, Failure.GATE_ERROR, clean(message, shop.secrets()))
    said = f"{drift}. Your copy has main's changes, and together with them the work does not pass its gates."
    told = tuple(f"gate {result.name}: {result.message}" for result in red)
    message = f"together with main {drift.onto[:12]}: {failed.name}: {failed.message}"
    findings = _findings(job, shop, said, *told)
    return job.ended(Outcome.FAILED, Failure.CONFLICT, clean(message, shop.secrets()), findings)


def _findings(job: Job, shop: Workshop, *texts: str) -> tuple[Finding, ...]:
    known = shop.secrets()
    return tuple(
        Finding(source=MAIN, text=clean(text, known), step=job.step.name, attempt=job.attempt) for text in texts
    )
