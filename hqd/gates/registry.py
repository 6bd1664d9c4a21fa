"""The registry of gate kinds: checks gates as written, and runs them.

Cheap gates run before dear ones and programs before judges. All cheap ones always run, so that the agent learns of
every fault at once; when one of them stops the attempt, nothing is paid for the dearer ones. A gate's own fault is an
`error` in its result, never an exception here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hqd.core.language.expressions import compile_expression, compile_text
from hqd.errors import ExpressionFault
from hqd.gates import builtin, nested, parameters, targets
from hqd.gates.cache import Verdicts
from hqd.gates.calibration import Calibration
from hqd.gates.kind import CannotJudge, Cost, Doors, GateKind, Scope, Verdict, View
from hqd.gates.parameters import Prepared
from hqd.gates.plugins import Plugin, gather
from hqd.gates.reading import reading
from hqd.model.gate import GateResult, GateSpec, GateStatus, Level, Subject
from hqd.model.spelling import meant

MAX_DEPTH = 8
"""How deep gates may stand inside gates."""


def no_calibration(_name: str) -> Calibration | None:
    return None


class Registry:
    """All gate kinds, with what they need of the outside. Fulfils the port Gates; safe to use from many threads.

    `named` are the gates of hqd.toml, which composite gates may name. `calibrations` gives the committed record of a
    judge by its gate's name. `problems` says what is wrong with plug-ins.
    """

    def __init__(
        self,
        *,
        doors: Doors | None = None,
        plugins: Sequence[Plugin] = (),
        named: Mapping[str, GateSpec] | None = None,
        calibrations: Callable[[str], Calibration | None] = no_calibration,
        cache: Verdicts | None = None,
    ) -> None:
        added, self.problems = gather(plugins, builtin.KINDS)
        self.kinds: Mapping[str, GateKind] = {**builtin.KINDS, **added}
        self.named: Mapping[str, GateSpec] = dict(named or {})
        self._doors = doors or Doors()
        self._calibrations = calibrations
        self._cache = cache or Verdicts()

    @property
    def doors(self) -> Doors:
        """The outside things that kinds may use."""
        return self._doors

    def check(self, spec: GateSpec) -> tuple[str, ...]:
        """What is wrong with a gate as written, each message naming its key; empty: nothing."""
        return self._check(spec, 0)

    def run(self, specs: Sequence[GateSpec], subject: Subject) -> tuple[GateResult, ...]:
        """One result each, in the order given. Never raises for a gate's own fault."""
        run = _Run(self, subject)
        costs = [self.cost(spec) for spec in specs]
        results: dict[int, GateResult] = {}
        stopped: dict[Cost, str] = {}
        for place in sorted(range(len(specs)), key=lambda place: (costs[place], place)):
            spec, cost = specs[place], costs[place]
            before = next((name for earlier, name in stopped.items() if earlier < cost), None)
            if before is not None:
                results[place] = self._result(
                    spec, GateStatus.SKIP, f"not run: the cheaper gate {before} already stops this attempt"
                )
                continue
            results[place] = run.result(spec, 0)
            if results[place].stops:
                stopped.setdefault(cost, spec.name)
        return tuple(results[place] for place in range(len(specs)))

    def cost(self, spec: GateSpec) -> Cost:
        """What a gate costs: the dearest of its kind and of the gates in it."""
        return self._cost(spec, 0)

    def plain(self, spec: GateSpec) -> bool:
        """Whether a gate only looks: it starts no program and asks nobody, nor does any gate in it."""
        return spec.kind in self.kinds and self.cost(spec) is Cost.CHEAP

    def level(self, spec: GateSpec) -> Level:
        """The level in force: the author's, else the kind's own; never `enforce` for what has not earned it."""
        kind = self.kinds.get(spec.kind)
        if kind is None or kind.default_level is None:
            return spec.level
        if "level" not in spec.model_fields_set:
            return kind.default_level
        if spec.level is Level.ENFORCE and self._uncalibrated(kind, spec) is not None:
            return kind.default_level
        return spec.level

    def written_version(self, spec: GateSpec) -> str:
        """Hash of a gate as written, templates unrendered. Raises KeyError for an unknown kind."""
        return parameters.version(self.kinds[spec.kind], parameters.canonical(spec.params))

    def judged_by(self, spec: GateSpec) -> str:
        """The agent behind a judge, as `provider:model`; empty for programs. Raises CannotJudge."""
        agent = spec.params.get("agent")
        return self._doors.asks.identity(str(agent)) if agent and self._doors.asks is not None else ""

    def _cost(self, spec: GateSpec, depth: int) -> Cost:
        kind = self.kinds.get(spec.kind)
        if kind is None:
            return Cost.CHEAP
        if kind.members is None or depth >= MAX_DEPTH:
            return kind.cost
        inner, _ = nested.specs(kind, spec, self.named)
        return max([kind.cost, *(self._cost(member, depth + 1) for member in inner)])

    def _check(self, spec: GateSpec, depth: int) -> tuple[str, ...]:
        kind = self.kinds.get(spec.kind)
        if kind is None:
            broken = "".join(f" ({problem})" for problem in self.problems)
            return (f"kind: there is no gate kind {spec.kind!r}; {meant(spec.kind, self.kinds)}{broken}",)
        found = [*_common_faults(spec, kind), *parameters.faults(kind, spec.params)]
        if spec.level is Level.ENFORCE and "level" in spec.model_fields_set:
            reason = self._uncalibrated(kind, spec)
            found.extend([f"level: {reason}"] if reason else [])
        if kind.members is not None and not found:
            if depth >= MAX_DEPTH:
                return (f"gates: more than {MAX_DEPTH} gates inside each other",)
            inner, faults = nested.specs(kind, spec, self.named)
            found.extend(faults)
            for member in inner:
                found.extend(f"{member.name}: {fault}" for fault in self._check(member, depth + 1))
        return tuple(found)

    def _uncalibrated(self, kind: GateKind, spec: GateSpec) -> str | None:
        """Why a gate may not enforce yet; None: it may."""
        if not kind.needs_calibration:
            return None
        record = self._calibrations(spec.name)
        how = f"run `hqd gate calibrate {spec.name} LABELS.jsonl`, or write shadow or warn"
        if record is None:
            return f"{kind.name} may not enforce without a calibration; {how}"
        if record.version != self.written_version(spec):
            return f"the calibration of {spec.name} is of other parameters; {how}"
        try:
            judge = self.judged_by(spec)
        except CannotJudge as error:
            return str(error)
        if judge and record.agent and judge != record.agent:
            return f"the calibration of {spec.name} is of {record.agent}, not of {judge}; {how}"
        shortfall = record.shortfall()
        return f"the calibration of {spec.name} is not good enough: {shortfall}" if shortfall else None

    def _result(
        self, spec: GateSpec, status: GateStatus, message: str, verdict: Verdict | None = None, version: str = ""
    ) -> GateResult:
        seen = verdict or Verdict(None)
        return GateResult(
            name=spec.name,
            kind=spec.kind,
            level=self.level(spec),
            status=status,
            score=seen.score,
            threshold=seen.threshold,
            message=message,
            evidence=seen.evidence,
            cost=seen.cost,
            version=version,
        )


@dataclass(slots=True)
class _Run:
    """One run over one subject: targets are resolved once."""

    registry: Registry
    subject: Subject
    targets: targets.Targets = field(init=False)

    def __post_init__(self) -> None:
        self.targets = targets.Targets(self.subject)

    def result(self, spec: GateSpec, depth: int) -> GateResult:
        registry = self.registry
        prepared: Prepared | None = None
        try:
            prepared, verdict = self._judge(spec, depth)
        except CannotJudge as error:
            return registry._result(spec, GateStatus.ERROR, str(error), Verdict(None, cost=error.cost))
        except Exception as error:  # noqa: BLE001 - a kind's bug must not take the attempt's other gates with it
            message = f"the gate itself broke ({type(error).__name__}: {error}); this is a bug of kind {spec.kind}"
            return registry._result(spec, GateStatus.ERROR, message)
        version = prepared.version if prepared else ""
        if verdict.passed is None:
            return registry._result(spec, GateStatus.SKIP, verdict.message, verdict, version)
        if verdict.passed if verdict.settled else verdict.passed is not spec.negate:
            turned = spec.negate and verdict.message and not (verdict.settled or verdict.passed)
            message = f"as asked, this does not hold: {verdict.message}" if turned else verdict.message
            return registry._result(spec, GateStatus.PASS, message, verdict, version)
        return registry._result(spec, GateStatus.FAIL, self._message(spec, verdict), verdict, version)

    def _judge(self, spec: GateSpec, depth: int) -> tuple[Prepared | None, Verdict]:
        registry = self.registry
        kind = registry.kinds.get(spec.kind)
        if kind is None:
            raise CannotJudge(registry.check(spec)[0])
        if depth > MAX_DEPTH:
            raise CannotJudge(f"more than {MAX_DEPTH} gates inside each other")
        if spec.when is not None and not self._holds(spec.when):
            return None, Verdict(None, f"not asked for here: `{spec.when}` does not hold")
        stop = self.subject.stop
        if kind.cost > Cost.CHEAP and stop is not None and stop.is_set():
            raise CannotJudge("stopped before it ran")
        prepared = parameters.prepare(kind, spec.params, self.subject.facts)
        pieces = self.targets.resolve(spec.target, kind.scope)
        if isinstance(pieces, Verdict):
            return prepared, pieces
        view = View(spec.name, pieces, self.subject, registry._doors, partial(self._nested, spec, depth))
        return prepared, self._remembered(prepared, view)

    def _nested(self, parent: GateSpec, depth: int, member: Any, label: str) -> GateResult:
        """Runs a gate that stands in another. Raises CannotJudge where it cannot be read."""
        found, faults = nested.read((member,), f"{parent.name}.{label}", self.registry.named)
        if faults:
            raise CannotJudge("; ".join(faults))
        return self.result(found[0], depth + 1)

    def _remembered(self, prepared: Prepared, view: View) -> Verdict:
        kind = prepared.kind
        key = reading(prepared, view) if kind.pure else None
        if key is None:
            return kind.evaluate(prepared.params, view)
        dear = kind.cost > Cost.CHEAP
        verdict = self.registry._cache.get(key, dear=dear)
        if verdict is None:
            verdict = kind.evaluate(prepared.params, view)
            self.registry._cache.put(key, verdict, dear=dear)
        return verdict

    def _holds(self, when: str) -> bool:
        try:
            return compile_expression(when).holds(self.subject.facts)
        except ExpressionFault as fault:
            raise CannotJudge(f"when: {fault}") from None

    def _message(self, spec: GateSpec, verdict: Verdict) -> str:
        if spec.message is not None:
            try:
                return compile_text(spec.message).render(self.subject.facts)
            except ExpressionFault:
                return spec.message  # the author's words as they stand are better than none
        if verdict.passed is False:
            return verdict.message
        return f"This must not be so, but is: {verdict.message or spec.kind + ' holds'}"


def _common_faults(spec: GateSpec, kind: GateKind) -> tuple[str, ...]:
    """Faults of the keys that all gates have."""
    found = []
    problem = targets.fault(spec.target)
    if problem is not None:
        found.append(f"target: {problem}")
    elif kind.scope is Scope.NONE and spec.target not in ("output", "diff"):
        found.append(f"target: {kind.name} looks at the attempt as a whole and has no target")
    if spec.when is not None:
        found.extend(f"when: {fault}" for fault in parameters.expression_faults(spec.when))
    if spec.message is not None:
        found.extend(f"message: {fault}" for fault in parameters.text_faults(spec.message))
    return tuple(found)
