"""Before work is put before people or lands: a main that has moved is brought into it, and its gates run again.

Runs in workers. The reviewed code never changes behind anybody's back: what is brought up to date is a new tip, under
review again; and where the two do not go together, an agent hears of it first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from hqd.core.gate_use import resolve_gates
from hqd.core.language.facts import facts, value_of
from hqd.core.recovery import MAIN, PEOPLE
from hqd.daemon.work.job import Job
from hqd.daemon.work.made import clean
from hqd.daemon.work.workshop import Workshop
from hqd.model.attempt import Report
from hqd.model.drift import Drift, Updated
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject
from hqd.model.names import branch
from hqd.model.playbook import Step, StepKind
from hqd.model.record import Cursor, Finding, Work

_ASKS_SOMEBODY = frozenset({"judge", "human", "forge_checks"})
"""Kinds that cost a model's or a person's time, or are asked in another way; main does not change what they judged."""

_DIFF = 400_000


@dataclass(frozen=True, slots=True)
class Ready:
    """A job whose work has main's changes. `note`: one line for people; empty where main has not moved.

    `judged`: the same as gates are to see it, without what people have merged into it of a main that is not here yet.
    """

    job: Job
    judged: Job
    gates: tuple[GateResult, ...] = ()
    note: str = ""


def bring_up(
    job: Job, shop: Workshop, stop: threading.Event, progress: Callable[[str], None], theirs: str | None = None
) -> Ready | Report:
    """Brings the branch of a review step up to date; a report where that needs an agent.

    `theirs`: where a person has put the branch since the work was begun. Their commits count, and what the agents have
    made meanwhile is brought onto them; then main's are.
    """
    cursor, step = job.task.cursor, job.step
    if cursor.head is None or cursor.base is None or cursor.head == cursor.base or step.review is None:
        return Ready(job, job)
    updates, drifts = shop.places(job.repo).updates, []
    head, drift = updates.newest(job.task.id, cursor.head), None
    if theirs is not None:
        head, drift = updates.beside(head, _had(cursor), theirs)
    job = _at(job, head, updates.base(cursor.base, head))
    if drift is not None:
        drifts.append(drift)
        job, report = _joined(job, shop, drift, progress)
        if report is not None:
            return report
    drift = updates.drift(job.task.cursor.base or cursor.base, job.task.cursor.head or head)
    if drift is not None:
        drifts.append(drift)
        job, report = _joined(job, shop, drift, progress)
        if report is not None:
            return report
    return _rechecked(job, shop, drifts, stop, progress) if drifts else Ready(job, _seen(job, shop))


def _seen(job: Job, shop: Workshop) -> Job:
    head, base = job.task.cursor.head or "", job.task.cursor.base or ""
    return _at(job, head, shop.places(job.repo).updates.base(base, head, seen=True))


def _had(cursor: Cursor) -> list[str]:
    """What was up for review when the work was begun, at the latest where its branch began."""
    review = cursor.review
    known = (review.head, review.replaced) if review is not None else ()
    return [commit for commit in (*known, cursor.base) if commit is not None]


def _joined(job: Job, shop: Workshop, drift: Drift, progress: Callable[[str], None]) -> tuple[Job, Report | None]:
    """The job with the other side's changes in its work; a report where git cannot bring the two together."""
    progress(drift.side)
    cursor, updates, step = job.task.cursor, shop.places(job.repo).updates, job.step
    rebase = step.review is not None and step.review.update == "rebase"
    side = "what people pushed" if drift.people else "main"
    message = f"Merge {side} into {branch(job.task.id)}\n\nHqd-Work: {job.task.id}\n"
    updated = updates.bring_up(job.task.id, cursor.head or "", drift, rebase=rebase, message=message)
    if updated.head is None:
        return job, _conflict(job, shop, drift, updated)
    moved = updated.moved and not drift.people
    base = updated.onto if moved else updates.base(cursor.base or updated.onto, updated.head)
    return _at(job, updated.head, base), None


def _rechecked(
    job: Job, shop: Workshop, drifts: Sequence[Drift], stop: threading.Event, progress: Callable[[str], None]
) -> Ready | Report:
    """The gates of the steps that made the work, on what has become of it."""
    head, base = job.task.cursor.head or "", job.task.cursor.base or ""
    judged = _seen(job, shop)
    gates = recheck(judged, shop, head, judged.task.cursor.base or base, stop, progress)
    if stop.is_set():
        return job.ended(Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    red = [result for result in gates if result.stops]
    if red:
        return replace(_red(job, shop, drifts[-1], red), work=Work(base=base, head=head, repo=job.repo), gates=gates)
    return Ready(job, judged, gates, f"{'; '.join(map(str, drifts))}; it is brought up to date")


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
            copy = stack.enter_context(shop.copies.borrow(job.task.id, job.repo, head, stop))
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
    theirs = "what people have changed" if drift.people else "what main now says"
    said = (
        f"{drift}. Your copy has the merge as far as git gets by itself. Bring both sides together in "
        f"{', '.join(paths[:10])}: keep {theirs} and what the task needs, and leave none of git's markers."
    )
    shown = tuple(f"{side.path}, with both sides between git's markers:\n{side.text}" for side in updated.sides)
    work = Work(base=job.task.cursor.base or "", repo=job.repo, merge=updated.merge)
    findings = _findings(job, shop, drift, said, *shown)
    message = f"{drift}, in conflict with it in {', '.join(paths[:5])}" if drift.people else str(drift)
    return replace(job.ended(Outcome.FAILED, Failure.CONFLICT, message, findings), work=work)


def _red(job: Job, shop: Workshop, drift: Drift, red: Sequence[GateResult]) -> Report:
    failed = next((result for result in red if result.status is GateStatus.FAIL), None)
    if failed is None:
        message = f"{red[0].name}: {red[0].message}"
        return job.ended(Outcome.FAILED, Failure.GATE_ERROR, clean(message, shop.secrets()))
    said = f"{drift}. Your copy has those changes, and together with them the work does not pass its gates."
    told = tuple(f"gate {result.name}: {result.message}" for result in red)
    side = "what people pushed," if drift.people else "main"
    message = f"together with {side} {drift.onto[:12]}: {failed.name}: {failed.message}"
    findings = _findings(job, shop, drift, said, *told)
    return job.ended(Outcome.FAILED, Failure.CONFLICT, clean(message, shop.secrets()), findings)


def _findings(job: Job, shop: Workshop, drift: Drift, *texts: str) -> tuple[Finding, ...]:
    known, source = shop.secrets(), PEOPLE if drift.people else MAIN
    return tuple(
        Finding(source=source, text=clean(text, known), step=job.step.name, attempt=job.attempt) for text in texts
    )
