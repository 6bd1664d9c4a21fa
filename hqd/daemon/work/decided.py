"""Decisions in an attempt: what it settles, told from its output; and what others have settled, as gates before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqd.codec.decision import Entry, data_entries, read_entry, read_section
from hqd.core.decisions import MOST, Filed, checks_of, cited, contradicts
from hqd.daemon.work.job import Job
from hqd.daemon.work.made import Made
from hqd.daemon.work.workshop import Workshop
from hqd.model.decision import Recorded
from hqd.model.gate import GateResult, GateSpec, GateStatus
from hqd.model.playbook import StepKind
from hqd.ports import Gates

_TOLD = 8
"""Faults that an agent is told of at once."""


def take(found: Made, shop: Workshop) -> str | None:
    """Reads what an attempt has settled into `found.decided`; what is wrong with it, for the agent, or None."""
    entries = _entries(found)
    made: list[Recorded] = []
    faults: list[str] = []
    if len(entries) > MOST:
        faults.append(f"{len(entries)} decisions; at most {MOST} may be recorded at once")
    gates = shop.gates(found.job.rules)
    known = _known(found.job, shop) if entries else frozenset()
    for entry in entries[:MOST]:
        recorded, wrong = read_entry(entry)
        faults += wrong
        if recorded is not None:
            faults += [f"{recorded.title}: {each}" for each in _unfit(recorded, gates, known)]
            faults += [
                f"{recorded.title}: contradicts {each.title}, on the same topic {each.topic!r}: record one of them"
                for each in made
                if contradicts(each, recorded)
            ]
            if all(recorded != each for each in made):
                made.append(recorded)
    if faults:
        more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
        return "the decisions that it records cannot be used: " + "; ".join(faults[:_TOLD]) + more
    found.decided = tuple(_row(each) for each in made)
    return None


def _entries(found: Made) -> list[Entry]:
    answer = found.answer
    entries = data_entries(answer.decisions) if answer is not None else []
    if found.typed:
        return entries + (data_entries(found.data.get("decisions")) if isinstance(found.data, dict) else [])
    if found.job.step.kind is StepKind.RUN:
        return entries  # a program prints what others wrote: what it settles itself, it says where nobody else writes
    return entries + read_section(found.text)


def _row(recorded: Recorded) -> dict[str, Any]:
    """As an event keeps it. How hard a check is, is not for an agent to say."""
    row = recorded.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    if isinstance(row.get("check"), dict):
        row["check"].pop("level", None)
    return row


def _unfit(recorded: Recorded, gates: Gates, known: frozenset[str]) -> list[str]:
    """What is wrong with it beyond its form: a check that cannot run or does more than look, an unknown decision."""
    faults = [f"supersedes: there is no decision {name}" for name in recorded.supersedes if name not in known]
    if recorded.check is not None:
        wrong = gates.check(recorded.check)
        faults += [f"check: {each}" for each in wrong]
        if not wrong and not gates.plain(recorded.check):
            faults.append("check: starts a program or asks a model; only a person may write such a check")
    return faults


def _known(job: Job, shop: Workshop) -> frozenset[str]:
    settled = shop.context.decisions.of(shop.history.tree(job.snapshot))
    return frozenset(
        [each.decision.id for each in settled.active] + [each.decision.id for each, _why in settled.inactive]
    )


def checks(job: Job, shop: Workshop) -> tuple[tuple[Filed, GateSpec], ...]:
    """The gates of decisions in force at the job's snapshot. One that cannot run stops nobody: `status` names it."""
    settled = shop.context.decisions.of(shop.history.tree(job.snapshot))
    found = checks_of(settled, job.task, job.playbook.name, job.step)
    gates = shop.gates(job.rules)
    return tuple((each, gate) for each, gate in found if not gates.check(gate))


def cite(
    results: Sequence[GateResult], checked: Sequence[tuple[Filed, GateSpec]], shop: Workshop
) -> tuple[GateResult, ...]:
    """The results, those of decisions with what was decided, by which task, in which commit."""
    by_name = {gate.name: each for each, gate in checked}
    return tuple(
        cited(result, by_name[result.name], _commit(by_name[result.name], shop))
        if result.name in by_name and result.status is GateStatus.FAIL
        else result
        for result in results
    )


def _commit(filed: Filed, shop: Workshop) -> str | None:
    """The commit that gave the decision its present words."""
    return next((commit for commit, _message in shop.history.messages(None, [filed.path], 1)), None)
