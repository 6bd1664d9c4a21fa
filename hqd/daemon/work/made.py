"""What an attempt has made so far, and the report that comes of it: redacted, with findings and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hqd.core.prompt import Prompt
from hqd.core.secret_scan import redact
from hqd.daemon.work.job import Job
from hqd.daemon.work.workshop import Workshop
from hqd.model.attempt import Answer, Report
from hqd.model.failure import HOLD_FAILURES, Failure, Outcome
from hqd.model.gate import GateResult, GateStatus
from hqd.model.playbook import StepKind
from hqd.model.record import Finding, Usage, Work


@dataclass(slots=True)
class Made:
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
    decided: tuple[Mapping[str, Any], ...] = ()  # what it has settled, checked
    diff: str = ""  # what the work changes, as far as gates are shown it


def without_head(work: Work) -> Work:
    """Work that no branch may name: of a failed attempt."""
    return work.model_copy(update={"head": None})


def report(found: Made, shop: Workshop, outcome: Outcome, failure: Failure | None, message: str) -> Report:
    job, answer = found.job, found.answer
    known = shop.secrets()
    role = None
    if (found.text or job.step.kind is StepKind.RUN) and (answer is not None or found.typed):
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
        message=clean(message, known),
        findings=_findings(found, failure, message, known),
        gates=tuple(_clean_result(result, known) for result in found.gates),
        usage=answer.usage if answer is not None else Usage(),
        model=answer.model if answer is not None else None,
        stop=answer.stop if answer is not None else None,
        prompt_hash=prompt_hash(found),
        fingerprint=_fingerprint(found) if job.step.kind is not StepKind.RUN else None,  # it may wait and look again
        retry_after=answer.retry_after if answer is not None else None,
        files=files,
        output_role=role,
        output_data=found.typed,
        work=found.work if keep_work or found.work is None else without_head(found.work),
        decisions=_decisions(found, outcome, known),
        arm=found.prompt.manifest.get("experiment", {}).get("arm") if found.prompt is not None else None,
    )


def _decisions(found: Made, outcome: Outcome, known: Collection[str]) -> tuple[Mapping[str, Any], ...]:
    """Of an attempt that passed what was checked; of others what the agent said, for the record."""
    said = found.answer.decisions if found.answer is not None else ()
    rows = found.decided if outcome is Outcome.PASSED else said
    if not rows:
        return ()
    text = clean(json.dumps([dict(each) for each in rows], default=str), known)
    try:
        return tuple(json.loads(text))
    except ValueError:
        return ()  # what was struck out held the form together


def prompt_hash(found: Made) -> str | None:
    """Agent and prompt: the same words to another agent are another try."""
    if found.prompt is None:
        return None
    return hashlib.sha256(f"{found.job.agent}\0{found.prompt.text}".encode()).hexdigest()[:32]


def _findings(found: Made, failure: Failure | None, message: str, known: Collection[str]) -> tuple[Finding, ...]:
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
            Finding(source=f"gate:{r.name}", text=clean(r.message, known), step=job.step.name, attempt=job.attempt)
            for r in told
        )
    if not message:
        return ()
    return (Finding(source="hqd", text=clean(message, known), step=job.step.name, attempt=job.attempt),)


def _fingerprint(found: Made) -> str | None:
    """Step, what it rests on, output, work and failing gates: the same three times means no progress.

    Outputs of other steps count in: a reviewer who says the same of new work has not gone in a circle. None where
    nothing came back: failures without an output are bounded by the ladder alone.
    """
    if found.answer is None or not (found.text.strip() or found.diff):
        return None
    step, outputs = found.job.step.name, found.job.task.cursor.outputs
    failing = sorted(result.name for result in found.gates if result.stops)
    rests_on = sorted(f"{name}={ref.blob}" for name, ref in outputs.items() if name != step and not ref.stale)
    parts = [step, *rests_on, found.text, found.diff, *failing]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def clean(text: str, known: Collection[str]) -> str:
    return redact(text.encode("utf-8", "replace"), known)[0].decode("utf-8", "replace")


def _clean_result(result: GateResult, known: Collection[str]) -> GateResult:
    evidence = tuple(
        item.model_copy(update={"excerpt": clean(item.excerpt, known)}) if item.excerpt else item
        for item in result.evidence
    )
    return result.model_copy(update={"message": clean(result.message, known), "evidence": evidence})
