"""Gates made of gates. Kinds of the group `composite`."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from hqd.gates.kind import CannotJudge, GateKind, Params, Scope, Verdict, View
from hqd.model.gate import GateResult, GateStatus


class AllOf(Params):
    """Passes when all of `gates` pass. One that fails makes it fail; else one that errs makes it an error.

    `gates` are names of gates in hqd.toml, or tables; their own levels do not count, nor do those that are skipped.
    """

    gates: tuple[dict[str, Any] | str, ...] = Field(min_length=1, description="names or tables of gates")


class AnyOf(Params):
    """Passes when one of `gates` passes. If none does and one errs, it is an error."""

    gates: tuple[dict[str, Any] | str, ...] = Field(min_length=1, description="names or tables of gates")


class AtLeast(Params):
    """Passes when at least `k` of `gates` pass. It errs only where gates that err could have made the difference."""

    k: int = Field(ge=1, description="how many must pass")
    gates: tuple[dict[str, Any] | str, ...] = Field(min_length=1, description="names or tables of gates")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.k > len(self.gates):
            raise ValueError(f"k ({self.k}) is more than there are gates ({len(self.gates)}): nothing can pass")
        return self


def all_of(params: AllOf, view: View) -> Verdict:
    results = _results(params.gates, view)
    return _verdict(results, len(results))


def any_of(params: AnyOf, view: View) -> Verdict:
    return _verdict(_results(params.gates, view), 1)


def at_least(params: AtLeast, view: View) -> Verdict:
    return _verdict(_results(params.gates, view), params.k)


def _results(gates: tuple[dict[str, Any] | str, ...], view: View) -> tuple[GateResult, ...]:
    """Results of the members that apply here."""
    results = tuple(view.nested(gate, str(place)) for place, gate in enumerate(gates, start=1))
    return tuple(result for result in results if result.status is not GateStatus.SKIP)


def _verdict(results: tuple[GateResult, ...], needed: int) -> Verdict:
    cost = sum(result.cost for result in results)
    if not results:
        return Verdict(None, "none of its gates applies here", cost=cost)
    passed = sum(result.status is GateStatus.PASS for result in results)
    errors = [result for result in results if result.status is GateStatus.ERROR]
    failed = [result for result in results if result.status is GateStatus.FAIL]
    score, threshold = float(passed), float(needed)
    if passed >= needed:
        return Verdict(True, f"{passed} of {len(results)} hold", (), score, threshold, cost)
    if passed + len(errors) >= needed:
        raise CannotJudge("; ".join(f"{result.name}: {result.message}" for result in errors[:3]))
    evidence = tuple(item for result in failed for item in result.evidence)[:20]
    if len(failed) == 1 and needed == len(results):
        return Verdict(False, failed[0].message, evidence, score, threshold, cost)
    asked = "all" if needed == len(results) else f"at least {needed}"
    lines = "\n".join(f"- {result.message}" for result in failed)
    return Verdict(False, f"{passed} of {len(results)} hold; {asked} must:\n{lines}", evidence, score, threshold, cost)


def _members(params: Any) -> tuple[Any, ...]:
    return tuple(params.gates)


KINDS = tuple(
    GateKind(name, "composite", params, evaluate, scope=Scope.NONE, pure=False, raw=("gates",), members=_members)
    for name, params, evaluate in (
        ("all_of", AllOf, all_of),
        ("any_of", AnyOf, any_of),
        ("at_least", AtLeast, at_least),
    )
)
