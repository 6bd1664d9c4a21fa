"""One attempt, from its job to its report. Runs in a worker thread and writes nothing but its copy.

An agent's word is a claim: hqd derives the facts itself (files changed, gates, cost). Whatever happens in here
becomes a report; only a bug is an exception, and the worker's edge turns it into `crashed`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from hqd.core.gate_use import outcome_of, resolve_gates
from hqd.core.language.expressions import compile_text
from hqd.core.language.facts import facts
from hqd.core.lessons.scope import lesson_gates
from hqd.core.steps.delivery import guarded
from hqd.core.steps.typed import read as read_typed
from hqd.daemon.rulebook import PinnedFiles
from hqd.daemon.work import decided, gather, program
from hqd.daemon.work.job import Job
from hqd.daemon.work.made import Made, prompt_hash, report, without_head
from hqd.daemon.work.workshop import Workshop
from hqd.errors import Expected, ExpressionFault, SetupFailed
from hqd.model.attempt import Answer, Question, Report
from hqd.model.failure import HOLD_FAILURES, Failure, Outcome
from hqd.model.gate import Subject
from hqd.model.playbook import GateUse, StepKind
from hqd.model.record import Merge, Work
from hqd.ports import Copy

Progress = Callable[[str], None]


def run(job: Job, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    """Makes the attempt. Never raises for what agents, files, expressions or gates do."""
    found = Made(job)
    try:
        if job.step.kind is StepKind.AGENT:
            return _agent(found, shop, stop, progress)
        if job.step.kind is StepKind.RUN:
            return _program(found, shop, stop, progress)
        return _gates_only(found, shop, stop, progress)
    except ExpressionFault as fault:
        return report(found, shop, Outcome.FAILED, Failure.EXPRESSION, fault.message)
    except gather.MissingContext as fault:
        if fault.manifest is not None:
            found.files["manifest.json"] = _written(fault.manifest)
        return report(found, shop, Outcome.FAILED, Failure.CONTEXT, fault.message)
    except SetupFailed as fault:
        return _not_set_up(found, shop, fault, stop)
    except Expected as fault:
        return report(found, shop, Outcome.FAILED, Failure.TRANSIENT, fault.message)


def _not_set_up(found: Made, shop: Workshop, fault: SetupFailed, stop: threading.Event) -> Report:
    """On main as it is, the repository's own trouble, which holds it; on top of the task's work, that work's."""
    if stop.is_set():
        return report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "stopped in the middle of the set-up")
    if found.job.task.cursor.head is None:
        return report(found, shop, Outcome.REFUSED, Failure.SETUP, fault.message)
    return report(found, shop, Outcome.FAILED, Failure.AGENT_ERROR, fault.message)


def _gates_only(found: Made, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    """A gate step, or what stands before a review: the newest output (or the task), and the whole work so far."""
    job = found.job
    ref = next((ref for ref in reversed(job.task.cursor.outputs.values()) if not ref.stale), None)
    found.text = job.values[ref.blob] if ref is not None else job.task.document.text
    specs = (*_gates(job, (*job.step.gates_before, *job.step.gates)), *_lessons(job))
    with ExitStack() as stack:
        copy = None
        if "command" in repr([spec.kind for spec in specs]) or any("command" in repr(spec.params) for spec in specs):
            progress("copy")
            head = job.task.cursor.head or job.main
            copy = stack.enter_context(shop.copies.borrow(job.task.id, job.repo, head, stop))
        progress("gates")
        found.gates = shop.gates(job.rules).run(specs, _subject(found, shop, copy, stop))
    if stop.is_set():
        return report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    return _judge(found, shop, stop)


def _agent(found: Made, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    job = found.job
    own = shop.history.tree(job.commit)
    if not _may_begin(found, shop, stop):
        return _judge(found, shop, stop)
    schema = gather.schema(job, PinnedFiles(shop.history, job.rules.pin))
    found.prompt = gather.prompt(job, shop.context)
    found.files["manifest.json"] = _written(found.prompt.manifest)
    found.files["prompt.md"] = found.prompt.text.encode()
    if job.mode != "again" and prompt_hash(found) in job.task.cursor.prompts:
        message = "the prompt is the same as one that failed already in this round; not sent again"
        return report(found, shop, Outcome.FAILED, Failure.NO_PROGRESS, message)
    with ExitStack() as stack:
        copy = None
        if job.files:
            progress("copy")
            copy = stack.enter_context(shop.copies.borrow(job.task.id, job.repo, job.tip, stop))
            _lay_patch(job, copy, own)
        progress("agent")
        found.answer = _ask(found, shop, copy, schema, stop, progress)
        return _examine(found, shop, copy, schema, stop, progress)


def _written(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def _may_begin(found: Made, shop: Workshop, stop: threading.Event) -> bool:
    """The gates before a step: nothing is spent, and nothing happens outside, while one of them stops it."""
    job = found.job
    if not job.step.gates_before:
        return True
    found.text = job.task.document.text
    found.gates = shop.gates(job.rules).run(_gates(job, job.step.gates_before), _subject(found, shop, None, stop))
    found.text = ""
    return not any(result.stops for result in found.gates)


def _program(found: Made, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    """A run step, in a copy of main: a program that an agent has changed is not what is started."""
    job = found.job
    if not _may_begin(found, shop, stop):
        return _judge(found, shop, stop)
    schema = gather.schema(job, PinnedFiles(shop.history, job.rules.pin))
    progress("copy")
    with shop.copies.borrow(job.task.id, job.repo, job.main, stop) as copy:
        progress("program")
        found.answer = answer = program.act(job, shop, copy.path, _known(found), stop)
        found.text = answer.text
        if answer.raw and answer.raw != answer.text.encode():
            found.files["raw.txt"] = answer.raw
        if answer.failure is not None:
            outcome = Outcome.INTERRUPTED if answer.failure is Failure.INTERRUPTED else Outcome.FAILED
            return report(found, shop, outcome, answer.failure, answer.message)
        wrong = _typed(found, shop, schema)
        if wrong is not None:
            return wrong
        unusable = decided.take(found, shop)
        if unusable is not None:
            return report(found, shop, Outcome.FAILED, Failure.MALFORMED, unusable)
        progress("gates")
        _pass_gates(found, shop, copy, (*_gates(job, job.step.gates), *_lessons(job)), stop)
        return _judge(found, shop, stop)


def _typed(found: Made, shop: Workshop, schema: Mapping[str, Any] | None) -> Report | None:
    """Reads a typed output out of the text; a report where it does not fit."""
    if schema is not None:
        found.data, wrong = read_typed(found.text, schema)
        if wrong is not None:
            return report(found, shop, Outcome.FAILED, Failure.MALFORMED, wrong)
        found.typed, found.text = True, json.dumps(found.data, indent=1, ensure_ascii=False)
    return None


def _lay_patch(job: Job, copy: Copy, own: Any) -> None:
    """A retry goes on from the failed attempt's files; a patch that no longer fits starts from the base."""
    path = job.task.cursor.patch
    if path is None or job.mode == "fresh":
        return
    patch = own.read(path)
    if patch:
        try:
            copy.apply(patch)
        except Expected:
            return


def _ask(
    found: Made,
    shop: Workshop,
    copy: Copy | None,
    schema: Mapping[str, Any] | None,
    stop: threading.Event,
    progress: Progress,
) -> Answer:
    job, prompt = found.job, found.prompt
    settings = job.settings
    if settings is None or prompt is None:
        return Answer("", b"", failure=Failure.PROVIDER, message=f"agent {job.agent!r} is not in hqd.toml")
    known = facts(job.task, job.values, job.now, kin=job.kin)
    known["attempt"] = job.attempt
    output_file = shop.scratch / f"{job.task.id}-{job.nonce}.json"
    question = Question(
        agent=job.agent or "",
        settings=settings,
        task=job.task.id,
        step=job.step.name,
        attempt=job.attempt,
        stable=prompt.stable,
        prompt=prompt.prompt,
        cwd=copy.path if copy is not None else None,
        output_file=output_file,
        slot=copy.slot if copy is not None else 0,
        timeout=job.timeout,
        max_bytes=job.rules.settings.limits.output_bytes,
        schema=schema,
        budget_usd=job.budget_usd,
        budget_tokens=job.budget_tokens,
        facts=known,
        tools=settings.tools or job.step.tools,
    )
    try:
        return shop.agents[settings.provider].answer(question, stop, progress)
    finally:
        output_file.unlink(missing_ok=True)


def _examine(
    found: Made,
    shop: Workshop,
    copy: Copy | None,
    schema: Mapping[str, Any] | None,
    stop: threading.Event,
    progress: Progress,
) -> Report:
    """What the answer is worth: the agent's own word, its form, its files, the gates."""
    job, answer = found.job, found.answer
    assert answer is not None  # noqa: S101 - set by the only caller
    found.text = answer.text
    if answer.raw and answer.raw != answer.text.encode():
        found.files["raw.txt"] = answer.raw
    if stop.is_set():
        return report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    if answer.failure is not None:
        _keep_patch(found, copy)
        outcome = Outcome.REFUSED if answer.failure in HOLD_FAILURES else Outcome.FAILED
        return report(found, shop, outcome, answer.failure, answer.message)
    if answer.needs_human is not None:
        return report(found, shop, Outcome.FAILED, Failure.NEEDS_HUMAN, answer.needs_human)
    if answer.replan is not None:
        return report(found, shop, Outcome.FAILED, Failure.REPLAN, answer.replan)
    wrong = _typed(found, shop, schema)
    if wrong is not None:
        return wrong
    unusable = decided.take(found, shop)
    if unusable is not None:
        _keep_patch(found, copy)
        return report(found, shop, Outcome.FAILED, Failure.MALFORMED, unusable)
    breach = _deliver(found, shop, copy)
    if breach is not None:
        return breach
    progress("gates")
    _pass_gates(found, shop, copy, _all_gates(job), stop)
    if stop.is_set():
        return report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    return _judge(found, shop, stop, copy)


def _pass_gates(found: Made, shop: Workshop, copy: Copy | None, specs: Sequence[Any], stop: threading.Event) -> None:
    """The step's gates, and those of decisions in force; their verdicts come after those from before the step."""
    settled = decided.checks(found.job, shop)
    every = (*specs, *(gate for _filed, gate in settled))
    ran = shop.gates(found.job.rules).run(every, _subject(found, shop, copy, stop))
    found.gates = (*found.gates, *decided.cite(ran, settled, shop))


def _deliver(found: Made, shop: Workshop, copy: Copy | None) -> Report | None:
    """Brings the attempt's files home as commits that no branch names yet; refuses what agents may not touch."""
    job = found.job
    trailer = f"{job.step.name}: {job.task.document.title}\n\nHqd-Work: {job.task.id}\n"
    if copy is not None:
        found.work = copy.collect(trailer)
        touched = [path for path in found.work.files if _protected(path, job)]
        if touched:
            _keep_patch(found, copy)
            found.work = without_head(found.work)
            message = f"the agent changed {', '.join(touched[:5])}, which no agent may touch"
            return report(found, shop, Outcome.FAILED, Failure.POLICY, message)
    merge = job.task.cursor.merge
    if job.step.deliver is not None:
        path = compile_text(job.step.deliver).render(_known(found)).strip()
        head = found.work.head if found.work is not None and found.work.head else job.tip
        try:
            made = shop.places(job.repo).branches.commit_files(
                job.task.id,
                head,
                {path: found.text.encode()},
                trailer,
                overwrite=job.step.overwrite or (merge is not None and path in merge.paths),
            )
        except Expected as fault:
            return report(found, shop, Outcome.FAILED, Failure.POLICY, f"deliver {path}: {fault.message}")
        files = tuple(dict.fromkeys([*(found.work.files if found.work else ()), path]))
        found.work = Work(base=job.tip, head=made, files=files, repo=job.repo)
    if merge is not None and (copy is not None or job.step.deliver is not None):
        return _settle(found, shop, copy, merge, trailer)
    return None


def _settle(found: Made, shop: Workshop, copy: Copy | None, merge: Merge, message: str) -> Report | None:
    """What the agent made of the merge with main takes the place of the merge; markers that are left are a finding."""
    job, work = found.job, found.work
    head = work.head if work is not None and work.head else merge.commit
    made, left = shop.places(job.repo).updates.settle(merge, head, message)
    if left:
        _keep_patch(found, copy)
        found.work = without_head(work) if work is not None else None
        said = f"git's conflict markers are left in {', '.join(left[:5])}: bring both sides together there"
        return report(found, shop, Outcome.FAILED, Failure.GATE, said)
    files = work.files if work is not None else ()
    found.work = Work(base=job.task.cursor.base or merge.onto, head=made, files=files, repo=job.repo)
    return None


def _protected(path: str, job: Job) -> bool:
    """What no agent may change in an HQ (design section 4), nor git's attributes anywhere."""
    name = path.rsplit("/", 1)[-1].lower()
    if name in (".gitattributes", ".gitmodules"):
        return True
    if job.repo is not None:
        target = job.rules.settings.repos.get(job.repo)
        return target is not None and guarded(path, target.protected)
    lowered = path.lower()
    return lowered == "hqd.toml" or lowered.startswith(("workspace/", "playbooks/", "lessons/"))


def _known(found: Made) -> dict[str, Any]:
    job = found.job
    known = facts(job.task, job.values, job.now, kin=job.kin)
    known["attempt"] = job.attempt
    known["output"] = found.data if found.typed else found.text
    return known


def _subject(found: Made, shop: Workshop, copy: Copy | None, stop: threading.Event) -> Subject:
    job, work = found.job, found.work
    branches, merge = shop.places(job.repo).branches, job.task.cursor.merge
    base = job.accepted
    head = work.head if work is not None and work.head else base
    if job.step.kind in (StepKind.GATE, StepKind.REVIEW):
        base = job.task.cursor.base or base  # they look at all that the task has done
    elif merge is not None and head != base:
        base = merge.onto  # main's own changes are not the attempt's
    moved = head != base
    found.diff = branches.diff(base, head, 400_000)[0] if moved else ""
    return Subject(
        output=found.text,
        data=found.data,
        task_text=job.task.document.text,
        facts=_known(found),
        files=branches.files(head),
        base=branches.files(base),
        sources=shop.places(None).branches.files(job.snapshot),
        changed=branches.changed(base, head) if moved else (),
        diff=found.diff,
        accepted=_accepted(job, shop),
        cwd=copy.path if copy is not None else None,
        stop=stop,
    )


def _accepted(job: Job, shop: Workshop) -> tuple[tuple[str, str], ...]:
    """Earlier outputs, read only where some gate asks for them."""
    if not any("not_duplicate" in repr(gate) for gate in _all_gates(job)):
        return ()
    return shop.accepted.outputs(shop.history.tree(job.commit), job.playbook.name, job.step.name)


def _all_gates(job: Job) -> tuple[Any, ...]:
    """The step's gates, the playbook's, and the acceptance checks of this very task (only at the last agent step)."""
    last = [step.name for step in job.playbook.steps if step.kind is StepKind.AGENT][-1:]
    own: tuple[GateUse, ...] = job.task.document.header.gates if job.step.name in last else ()
    return (*_gates(job, (*job.step.gates, *job.playbook.gates, *own)), *_lessons(job))


def _gates(job: Job, uses: Sequence[GateUse]) -> tuple[Any, ...]:
    return resolve_gates(uses, job.rules.settings.gates)


def _lessons(job: Job) -> tuple[Any, ...]:
    """The gates of lessons that stand at this step."""
    tags = job.task.document.header.tags
    return lesson_gates(job.rules, job.playbook, job.step, job.agent, job.task.id, tags)


def _judge(found: Made, shop: Workshop, stop: threading.Event, copy: Copy | None = None) -> Report:
    outcome, failure, message = outcome_of(found.gates)
    if failure is not None:
        _keep_patch(found, copy)
    return report(found, shop, outcome, failure, message)


def _keep_patch(found: Made, copy: Copy | None) -> None:
    """A failed attempt's files live on as a patch beside its record, up to the limit."""
    if copy is None:
        return
    patch = copy.patch(found.job.rules.settings.limits.patch_bytes)
    if patch:
        found.files["patch.diff"] = patch
