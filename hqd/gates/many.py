"""One gate on ten thousand outputs. What is the same for all of them is done once; whatever is no plain pass goes
through the registry, so that failures, errors and skips are word for word those of an attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hqd.gates import parameters
from hqd.gates.kind import CannotJudge, Piece, Scope, View
from hqd.gates.registry import Registry
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject


def judge_of(registry: Registry, spec: GateSpec) -> Callable[[str, Any], GateResult]:
    """Judges (output, its data) by a gate without `when`, templates and nested gates that reads nothing else."""
    kind = registry.kinds[spec.kind]
    passed = GateResult(name=spec.name, kind=spec.kind, level=registry.level(spec), status=GateStatus.PASS)
    prepared: parameters.Prepared | None = None
    if spec.target == "output" and kind.scope is Scope.TEXT and kind.pure:
        try:
            prepared = parameters.prepare(kind, spec.params, {})
        except CannotJudge:
            prepared = None  # the registry says why, each time

    def judge(text: str, data: Any) -> GateResult:
        subject = Subject(output=text, data=data)
        if prepared is not None:
            view = View(spec.name, (Piece("output", text, data=data),), subject, registry.doors, _none_inside)
            try:
                verdict = kind.evaluate(prepared.params, view)
            except Exception:  # noqa: BLE001 - whatever it is, the registry meets it as well and says so
                return registry.run((spec,), subject)[0]
            if verdict.passed is not None and not verdict.settled and verdict.passed is not spec.negate:
                return passed
        return registry.run((spec,), subject)[0]

    return judge


def _none_inside(_member: Any, label: str) -> GateResult:
    raise CannotJudge(f"{label}: a gate inside a gate")
