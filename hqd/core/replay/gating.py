"""What an attempt that was recorded comes to under other gates. Pure but for `judge`, which is handed in.

A gate that is the same keeps its recorded verdict, whatever its level is now; a new or changed one is run on the output
that was recorded, if a program can. What lessons said stays as it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hqd.core.gate_use import outcome_of
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateSpec, GateStatus, Level
from hqd.model.record import Event, Finding

Judge = Callable[[GateSpec], GateResult | None]
"""The verdict of a gate on the output at hand; None: no program can say (a process, a judge, a lost output)."""


class Unknowable(Exception):
    """Under the other gates this attempt would have gone on from where the recorded one ended."""


@dataclass(frozen=True, slots=True)
class Regated:
    """The attempt's end under other gates. `unjudged`: names of gates of which nothing is known; they count as held."""

    event: Event
    rerun: int = 0
    unjudged: tuple[str, ...] = ()


def regated(event: Event, old: Sequence[GateSpec], new: Sequence[GateSpec], judge: Judge) -> Regated:
    """`event` (finished) as it would have ended. Raises Unknowable."""
    if tuple(old) == tuple(new) or not _judged(event):
        return Regated(event)
    results, rerun, unjudged = _results(event, old, new, judge)
    outcome, failure, message = outcome_of(results)
    if event.output is None and event.failure is Failure.GATE and outcome is Outcome.PASSED:
        raise Unknowable("the gates before it would let it begin; nothing is recorded of what follows")
    if (outcome, _told(results)) == (event.outcome, _told(event.gates)) and failure is event.failure:
        return Regated(event.model_copy(update={"gates": results}), rerun, unjudged)
    failing = sorted(result.name for result in results if result.stops)
    mark = f"{event.fingerprint}/{','.join(failing)}" if event.fingerprint is not None else None
    return Regated(
        event.model_copy(
            update={
                "outcome": outcome,
                "failure": failure,
                "message": message or None,
                "gates": results,
                "findings": _findings(event, results, failure),
                "fingerprint": mark,
                "work": event.work.model_copy(update={"head": None}) if failure and event.work else event.work,
            }
        ),
        rerun,
        unjudged,
    )


def _judged(event: Event) -> bool:
    """Whether this attempt came as far as its gates."""
    if event.outcome is Outcome.PASSED:
        return True
    stopped = any(result.stops for result in event.gates)
    return event.outcome is Outcome.FAILED and stopped and event.failure in (Failure.GATE, Failure.POLICY)


def _results(
    event: Event, old: Sequence[GateSpec], new: Sequence[GateSpec], judge: Judge
) -> tuple[tuple[GateResult, ...], int, tuple[str, ...]]:
    before = {spec.name: spec for spec in old}
    said = {result.name: result for result in event.gates}
    results = [result for result in event.gates if result.name not in before]  # of lessons in scope
    rerun, unjudged = 0, []
    for spec in new:
        known = said.get(spec.name)
        if known is not None and spec.name in before and _same(before[spec.name], spec):
            results.append(known.model_copy(update={"level": spec.level}))
            continue
        found = judge(spec)
        rerun += found is not None
        if found is None:
            unjudged.append(spec.name)
            found = GateResult(name=spec.name, kind=spec.kind, level=spec.level, status=GateStatus.SKIP)
        results.append(found)
    return tuple(results), rerun, tuple(unjudged)


def _same(old: GateSpec, new: GateSpec) -> bool:
    """Whether two gates ask the same; the level only says what the answer counts."""
    return old.model_copy(update={"level": new.level}) == new


def _told(results: Sequence[GateResult]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (result.name, result.message)
        for result in results
        if result.status is GateStatus.FAIL and result.level in (Level.ENFORCE, Level.WARN)
    )


def _findings(event: Event, results: Sequence[GateResult], failure: Failure | None) -> tuple[Finding, ...]:
    if failure is None:
        return ()
    return tuple(
        Finding(source=f"gate:{result.name}", text=result.message, step=event.step, attempt=event.attempt)
        for result in results
        if result.status is GateStatus.FAIL and result.level in (Level.ENFORCE, Level.WARN)
    )
