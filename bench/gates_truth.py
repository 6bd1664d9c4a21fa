"""Gates against the stored verdicts of real model outputs: precision, recall, false-positive rate, per kind, time.

A positive is a rejected output. Per response: any gate fails against "breaks at least one constraint". Per constraint:
its gate (or `non_empty`) against its verdict. Prompts with an even key were developed on (aggregates only); odd keys
are reported apart. `errors` and `skipped` are gates that gave no verdict; a skip counts as let through. A gate is timed
as the registry runs it, validated parameters cached, verdicts not. Targets on odd keys: 0.98 / 0.96 / 0.012.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from bench import ifeval
from hqd.core.history.wilson import interval
from hqd.gates.cache import Verdicts
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.gate import GateStatus, Subject

SMALL = 1000
"""So few answers are all looked at, also by a quick run."""
TARGETS = {"precision": 0.98, "recall": 0.96, "fpr": 0.012, "odd_even_points": 1.5, "ms_per_gate": 0.2}


@dataclass(slots=True)
class Counts:
    """A confusion matrix; positive = rejected."""

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0
    errors: int = 0
    skipped: int = 0

    def add(self, rejected: bool, bad: bool) -> None:
        self.tp += rejected and bad
        self.fp += rejected and not bad
        self.fn += bad and not rejected
        self.tn += not bad and not rejected

    def figures(self) -> dict[str, Any]:
        return {
            "precision": share(self.tp, self.tp + self.fp),
            "recall": share(self.tp, self.tp + self.fn),
            "fpr": share(self.fp, self.fp + self.tn),
            "counts": {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn},
            **({"errors": self.errors} if self.errors else {}),
            **({"skipped": self.skipped} if self.skipped else {}),
        }


@dataclass(slots=True)
class Half:
    """The figures of one half of the prompts."""

    responses: Counts = field(default_factory=Counts)
    constraints: Counts = field(default_factory=Counts)
    kinds: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))


def share(hits: int, of: int) -> dict[str, Any]:
    """A share with its 95 % Wilson interval; value None where there is nothing to go by."""
    low, high = interval(hits, of)
    return {"value": round(hits / of, 4) if of else None, "low": round(low, 4), "high": round(high, 4), "n": of}


class NoCache(Verdicts):
    """Every verdict is worked out: what is timed is the gate."""

    def get(self, key: str, *, dear: bool) -> None:
        return None

    def put(self, key: str, verdict: object, *, dear: bool) -> None:
        return None


def run(quick: bool) -> dict[str, Any]:
    where = ifeval.folder()
    if where is None:
        return {"skipped": f"no data: set HQD_BENCH_DATA (default {ifeval.DEFAULT}) to a folder with ifeval-responses"}
    prompts = ifeval.prompts(where)
    registry = Registry(plugins=(module(ifeval.PLUGIN),), cache=NoCache())
    faults = [fault for prompt in prompts.values() for spec in prompt.gates for fault in registry.check(spec)]
    if faults or registry.problems:
        raise ValueError(f"the table makes gates that are wrong: {(*registry.problems, *faults)[:5]}")
    halves = {"odd": Half(), "even": Half()}
    per_output: list[float] = []
    per_gate: dict[str, list[float]] = defaultdict(list)
    responses = list(ifeval.responses(where))
    quick = quick and len(responses) > SMALL
    for response in responses[::20] if quick else responses:
        prompt = prompts[response.key]
        half = halves["odd" if prompt.odd else "even"]
        subject = Subject(output=response.text)
        start = time.perf_counter()
        results = registry.run(prompt.gates, subject)
        per_output.append((time.perf_counter() - start) * 1000)
        half.responses.add(any(one.status is GateStatus.FAIL for one in results), not response.follows_all)
        empty = results[0].status is GateStatus.FAIL
        for constraint, result, follows in zip(prompt.constraints, results[1:], response.follows, strict=True):
            for counts in (half.constraints, half.kinds[constraint]):
                counts.errors += result.status is GateStatus.ERROR
                counts.skipped += result.status is GateStatus.SKIP
                counts.add(empty or result.status is GateStatus.FAIL, not follows)
        if not quick or len(per_output) % 5 == 0:
            time_each(registry, prompt, response, per_gate)
    return report(halves, per_output, per_gate)


def time_each(
    registry: Registry, prompt: ifeval.Prompt, response: ifeval.Response, per_gate: dict[str, list[float]]
) -> None:
    """Each gate by itself, on a fresh subject, as a step with that one gate would run it."""
    for spec in prompt.gates:
        start = time.perf_counter()
        registry.run((spec,), Subject(output=response.text))
        per_gate[spec.kind].append((time.perf_counter() - start) * 1000)


def report(halves: dict[str, Half], per_output: list[float], per_gate: dict[str, list[float]]) -> dict[str, Any]:
    odd, even = halves["odd"].responses.figures(), halves["even"].responses.figures()
    distance = {
        name: round(100 * abs((odd[name]["value"] or 0) - (even[name]["value"] or 0)), 2)
        for name in ("precision", "recall", "fpr")
    }
    timed = [one for times in per_gate.values() for one in times]
    return {
        "targets": TARGETS,
        "responses": {name: half.responses.figures() for name, half in halves.items()},
        "odd_even_points": distance,
        "constraints": {name: half.constraints.figures() for name, half in halves.items()},
        "kinds": {
            name: {kind: half.kinds[kind].figures() for kind in sorted(half.kinds)} for name, half in halves.items()
        },
        "ms_per_output": quantiles(per_output),
        "ms_per_gate": quantiles(timed),
        "ms_per_gate_by_kind": {kind: quantiles(times) for kind, times in sorted(per_gate.items())},
    }


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 4),
        "p95": round(ordered[int(len(ordered) * 0.95)], 4),
        "n": len(ordered),
    }
