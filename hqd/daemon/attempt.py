"""One attempt, from its job to its report. Runs in a worker thread and writes nothing but its copy.

An agent's word is a claim: hqd derives the facts itself (files changed, gates, cost). Whatever happens in here
becomes a report; only a bug is an exception, and the worker's edge turns it into `crashed`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hqd.core.expressions import compile_text
from hqd.core.facts import facts
from hqd.core.gate_use import resolve_gates
from hqd.core.prompt import Prompt, compose
from hqd.core.secret_scan import redact
from hqd.core.typed import read as read_typed
from hqd.daemon import gather
from hqd.daemon.job import Job
from hqd.daemon.workshop import Workshop
from hqd.errors import Expected, ExpressionFault
from hqd.model.attempt import Answer, Question, Report
from hqd.model.failure import HOLD_FAILURES, Failure, Outcome
from hqd.model.gate import GateResult, GateStatus, Subject
from hqd.model.playbook import GateUse, StepKind
from hqd.model.record import Finding, Usage, Work
from hqd.ports import Copy

Progress = Callable[[str], None]


@dataclass(slots=True)
class _Findings:
    """What an attempt has gathered so far; becomes the report."""

    job: Job
    files: dict[str, bytes] = field(default_factory=dict)
    prompt: Prompt | None = None
    answer: Answer | None = None
    text: str = ""
    data: Any = None
    typed: bool = False
    gates: tuple[GateResult, ...] = ()
    work: Work | None = None


def run(job: Job, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    """Makes the attempt. Never raises for what agents, files, expressions or gates do."""
    found = _Findings(job)
    try:
        if job.step.kind is StepKind.AGENT:
            return _agent(found, shop, stop, progress)
        return _gates_only(found, shop, stop, progress)
    except ExpressionFault as fault:
        return _report(found, shop, Outcome.FAILED, Failure.EXPRESSION, fault.message)
    except gather.MissingContext as fault:
        return _report(found, shop, Outcome.FAILED, Failure.CONTEXT, fault.message)
    except Expected as fault:
        return _report(found, shop, Outcome.FAILED, Failure.TRANSIENT, fault.message)


def _gates_only(found: _Findings, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    """A gate step: checks the newest output, or the task where there is none yet."""
    job = found.job
    progress("gates")
    ref = next((ref for ref in reversed(job.task.cursor.outputs.values()) if not ref.stale), None)
    found.text = job.values[ref.blob] if ref is not None else job.task.document.text
    found.gates = shop.gates(job.rules).run(_gates(job, job.step.gates), _subject(found, shop, None, stop))
    return _judge(found, shop, stop)


def _agent(found: _Findings, shop: Workshop, stop: threading.Event, progress: Progress) -> Report:
    job = found.job
    tree, own = shop.history.tree(job.snapshot), shop.history.tree(job.commit)
    if job.step.gates_before:
        found.text = job.task.document.text
        found.gates = shop.gates(job.rules).run(_gates(job, job.step.gates_before), _subject(found, shop, None, stop))
        if any(result.stops for result in found.gates):
            return _judge(found, shop, stop)
    schema = gather.schema(job, tree)
    found.prompt = compose(gather.parts(job, tree, own))
    found.files["manifest.json"] = (json.dumps(found.prompt.manifest, indent=1, ensure_ascii=False) + "\n").encode()
    found.files["prompt.md"] = found.prompt.text.encode()
    if job.mode != "again" and _prompt_hash(found) in job.task.cursor.prompts:
        message = "the prompt is the same as one that failed already in this round; not sent again"
        return _report(found, shop, Outcome.FAILED, Failure.NO_PROGRESS, message)
    with ExitStack() as stack:
        copy = None
        if job.files:
            progress("copy")
            base = job.task.cursor.head or job.task.cursor.base or job.snapshot
            copy = stack.enter_context(shop.copies.borrow(job.task.id, job.task.document.header.repo, base))
            _lay_patch(job, copy, own)
        progress("agent")
        found.answer = _ask(found, shop, copy, schema, stop, progress)
        return _examine(found, shop, copy, schema, stop, progress)


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
    found: _Findings,
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
    known = facts(job.task, job.values, job.now)
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
        facts=known,
        tools=settings.tools or job.step.tools,
    )
    try:
        return shop.agents[settings.provider].answer(question, stop, progress)
    finally:
        output_file.unlink(missing_ok=True)


def _examine(
    found: _Findings,
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
        return _report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    if answer.failure is not None:
        _keep_patch(found, copy)
        outcome = Outcome.REFUSED if answer.failure in HOLD_FAILURES else Outcome.FAILED
        return _report(found, shop, outcome, answer.failure, answer.message)
    if answer.needs_human is not None:
        return _report(found, shop, Outcome.FAILED, Failure.NEEDS_HUMAN, answer.needs_human)
    if answer.replan is not None:
        return _report(found, shop, Outcome.FAILED, Failure.REPLAN, answer.replan)
    if schema is not None:
        found.data, wrong = read_typed(answer.text, schema)
        if wrong is not None:
            return _report(found, shop, Outcome.FAILED, Failure.MALFORMED, wrong)
        found.typed, found.text = True, json.dumps(found.data, indent=1, ensure_ascii=False)
    breach = _deliver(found, shop, copy)
    if breach is not None:
        return breach
    progress("gates")
    found.gates = (*found.gates, *shop.gates(job.rules).run(_all_gates(job), _subject(found, shop, copy, stop)))
    if stop.is_set():
        return _report(found, shop, Outcome.INTERRUPTED, Failure.INTERRUPTED, "hqd was told to stop")
    return _judge(found, shop, stop, copy)


def _deliver(found: _Findings, shop: Workshop, copy: Copy | None) -> Report | None:
    """Brings the attempt's files home as commits that no branch names yet; refuses what agents may not touch."""
    job = found.job
    base = job.task.cursor.head or job.task.cursor.base or job.snapshot
    trailer = f"{job.step.name}: {job.task.document.title}\n\nHqd-Work: {job.task.id}\n"
    if copy is not None:
        found.work = copy.collect(trailer)
        touched = [path for path in found.work.files if _protected(path, job)]
        if touched:
            _keep_patch(found, copy)
            found.work = replace_head(found.work, None)
            message = f"the agent changed {', '.join(touched[:5])}, which no agent may touch"
            return _report(found, shop, Outcome.FAILED, Failure.POLICY, message)
    if job.step.deliver is not None:
        path = compile_text(job.step.deliver).render(_known(found)).strip()
        head = found.work.head if found.work is not None and found.work.head else base
        try:
            made = shop.branches.commit_files(
                job.task.id,
                head,
                {path: found.text.encode()},
                trailer,
                overwrite=job.step.overwrite,
            )
        except Expected as fault:
            return _report(found, shop, Outcome.FAILED, Failure.POLICY, f"deliver {path}: {fault.message}")
        files = tuple(dict.fromkeys([*(found.work.files if found.work else ()), path]))
        found.work = Work(base=base, head=made, files=files)
    return None


def replace_head(work: Work, head: str | None) -> Work:
    return work.model_copy(update={"head": head})


def _protected(path: str, job: Job) -> bool:
    """What no agent may change in an HQ (design section 4), nor git's attributes anywhere."""
    name = path.rsplit("/", 1)[-1].lower()
    if name in (".gitattributes", ".gitmodules"):
        return True
    if job.task.document.header.repo is not None:
        return False
    lowered = path.lower()
    return lowered == "hqd.toml" or lowered.startswith(("workspace/", "playbooks/", "lessons/"))


def _known(found: _Findings) -> dict[str, Any]:
    job = found.job
    known = facts(job.task, job.values, job.now)
    known["attempt"] = job.attempt
    known["output"] = found.data if found.typed else found.text
    return known


def _subject(found: _Findings, shop: Workshop, copy: Copy | None, stop: threading.Event) -> Subject:
    job, work = found.job, found.work
    base = job.task.cursor.head or job.task.cursor.base or job.snapshot
    head = work.head if work is not None and work.head else base
    moved = head != base
    return Subject(
        output=found.text,
        data=found.data,
        task_text=job.task.document.text,
        facts=_known(found),
        files=shop.branches.files(head),
        base=shop.branches.files(base),
        sources=shop.branches.files(job.snapshot),
        changed=shop.branches.changed(base, head) if moved else (),
        diff=shop.branches.diff(base, head, 400_000)[0] if moved else "",
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
    return _gates(job, (*job.step.gates, *job.playbook.gates, *own))


def _gates(job: Job, uses: Sequence[GateUse]) -> tuple[Any, ...]:
    return resolve_gates(uses, job.rules.settings.gates)


def _judge(found: _Findings, shop: Workshop, stop: threading.Event, copy: Copy | None = None) -> Report:
    stopping = [result for result in found.gates if result.stops]
    if not stopping:
        return _report(found, shop, Outcome.PASSED, None, "")
    _keep_patch(found, copy)
    failed = [result for result in stopping if result.status is GateStatus.FAIL]
    if any(result.kind in ("protected_paths", "secrets") for result in failed):
        breach = next(result for result in failed if result.kind in ("protected_paths", "secrets"))
        return _report(found, shop, Outcome.FAILED, Failure.POLICY, f"{breach.name}: {breach.message}")
    if failed:
        return _report(found, shop, Outcome.FAILED, Failure.GATE, failed[0].message)
    return _report(found, shop, Outcome.FAILED, Failure.GATE_ERROR, f"{stopping[0].name}: {stopping[0].message}")


def _keep_patch(found: _Findings, copy: Copy | None) -> None:
    """A failed attempt's files live on as a patch beside its record, up to the limit."""
    if copy is None:
        return
    patch = copy.patch(found.job.rules.settings.limits.patch_bytes)
    if patch:
        found.files["patch.diff"] = patch


def _report(found: _Findings, shop: Workshop, outcome: Outcome, failure: Failure | None, message: str) -> Report:
    job, answer = found.job, found.answer
    known = shop.secrets()
    role = None
    if found.text and (answer is not None or found.typed):
        role = "output.json" if found.typed else "output.md"
        found.files[role] = found.text.encode("utf-8", "surrogateescape")
    files = {name: data if name == "patch.diff" else redact(data, known)[0] for name, data in found.files.items()}
    if "patch.diff" in files and redact(files["patch.diff"], known)[1]:
        del files["patch.diff"]  # a patch with holes applies nowhere; the files themselves stay in the agent's copy
    keep_work = outcome is Outcome.PASSED
    return Report(
        task=job.task.id,
        step=job.step.name,
        attempt=job.attempt,
        nonce=job.nonce,
        outcome=outcome,
        failure=failure,
        message=_clean(message, known),
        findings=_findings(found, failure, message, known),
        gates=tuple(_clean_result(result, known) for result in found.gates),
        usage=answer.usage if answer is not None else Usage(),
        model=answer.model if answer is not None else None,
        stop=answer.stop if answer is not None else None,
        prompt_hash=_prompt_hash(found),
        fingerprint=_fingerprint(found),
        retry_after=answer.retry_after if answer is not None else None,
        files=files,
        output_role=role,
        output_data=found.typed,
        work=found.work if keep_work or found.work is None else replace_head(found.work, None),
        decisions=tuple(answer.decisions) if answer is not None else (),
    )


def _prompt_hash(found: _Findings) -> str | None:
    """Agent and prompt: the same words to another agent are another try."""
    if found.prompt is None:
        return None
    return hashlib.sha256(f"{found.job.agent}\0{found.prompt.text}".encode()).hexdigest()[:32]


def _findings(found: _Findings, failure: Failure | None, message: str, known: Collection[str]) -> tuple[Finding, ...]:
    """What the next attempt is told: every gate that stopped it and every warning, else the failure itself."""
    if failure is None or failure in HOLD_FAILURES or failure is Failure.NO_PROGRESS:
        return ()  # what was found before still stands
    job = found.job
    told = [
        result
        for result in found.gates
        if result.status is GateStatus.FAIL and result.level.value in ("enforce", "warn")
    ]
    if told and failure in (Failure.GATE, Failure.POLICY):
        return tuple(
            Finding(source=f"gate:{r.name}", text=_clean(r.message, known), step=job.step.name, attempt=job.attempt)
            for r in told
        )
    if not message:
        return ()
    return (Finding(source="hqd", text=_clean(message, known), step=job.step.name, attempt=job.attempt),)


def _fingerprint(found: _Findings) -> str | None:
    """Step, output, work and failing gates: the same three times means no progress (notes/field.md)."""
    if found.answer is None:
        return None
    failing = sorted(result.name for result in found.gates if result.stops)
    tree = ",".join(found.work.files) if found.work is not None else ""
    parts = [found.job.step.name, found.text, tree, *failing]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _clean(text: str, known: Collection[str]) -> str:
    return redact(text.encode("utf-8", "replace"), known)[0].decode("utf-8", "replace")


def _clean_result(result: GateResult, known: Collection[str]) -> GateResult:
    evidence = tuple(
        item.model_copy(update={"excerpt": _clean(item.excerpt, known)}) if item.excerpt else item
        for item in result.evidence
    )
    return result.model_copy(update={"message": _clean(result.message, known), "evidence": evidence})
