"""Detection sweep: what is delivered when only a part of the gates is in force, and what each gate is worth.

Kinds come into force in one seeded order, and the real daemon runs each stage. A pure model of the ladder, held
against those runs, does the rest: other orders, and every kind left out in turn.
"""

from __future__ import annotations

import random
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import ifeval
from bench.proof.arms import QWEN, Arm, fates, play
from bench.proof.data import Recorded
from bench.proof.figures import SEED, Row, shares
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.gate import GateSpec, GateStatus, Subject

STAGES = (0.0, 0.25, 0.5, 0.75, 1.0)
ORDERS = 200


@dataclass(frozen=True)
class Verdicts:
    """Which constraints' gates stop which answer: (key, short model) -> constraints; `""` is `non_empty`."""

    data: Recorded
    models: Sequence[str]
    stopped: Mapping[tuple[int, str], frozenset[str]]

    def fate(self, key: int, in_force: Collection[str]) -> str:
        """The ladder, as a function: the first answer that no gate in force stops is delivered."""
        for model in self.models:
            if not self.stopped[key, model] & {"", *in_force}:
                return "clean" if self.data.answer(key, model).follows_all else "silent_bad"
        return "human"


def verdicts(data: Recorded, keys: Sequence[int], models: Sequence[str] = QWEN) -> Verdicts:
    registry = Registry(plugins=(module(ifeval.PLUGIN),))
    found = {}
    for key in keys:
        prompt = data.prompts[key]
        for model in models:
            results = registry.run(prompt.gates, Subject(output=data.answer(key, model).text))
            fails = [result.status is GateStatus.FAIL for result in results]
            found[key, model] = frozenset(
                name for name, failed in zip(("", *prompt.constraints), fails, strict=True) if failed
            )
    return Verdicts(data, models, found)


def first(kinds: Sequence[str], part: float) -> frozenset[str]:
    return frozenset(kinds[: round(part * len(kinds))])


def order(kinds: Collection[str], seed: int = SEED) -> list[str]:
    ordered = sorted(kinds)
    random.Random(seed).shuffle(ordered)
    return ordered


def run(
    data: Recorded, keys: Sequence[int], none: Sequence[Row], whole: Sequence[Row], stages: Sequence[float]
) -> dict[str, Any]:
    """`none` and `whole` are the rows of the naive first model and of the full ladder; `stages` are run in between."""
    kinds = order({kind for key in keys for kind in data.prompts[key].constraints})
    seen = verdicts(data, keys)
    curve: dict[float, Sequence[Row]] = {0.0: none, 1.0: whole}
    for part in stages:
        curve[part] = _staged(data, keys, first(kinds, part))
    model = {part: {key: seen.fate(key, first(kinds, part)) for key in keys} for part in curve}
    return {
        "order": kinds,
        "curve": {f"{part:.0%}": shares(curve[part], whole) for part in sorted(curve)},
        "model_differs_from_daemon_on": {
            f"{part:.0%}": sum(fates(curve[part])[key] != model[part][key] for key in keys) for part in sorted(curve)
        },
        f"over_{ORDERS}_orders": {f"{part:.0%}": _spread(seen, keys, kinds, part) for part in STAGES},
        "without_one_kind": _worth(seen, keys, kinds),
    }


def _staged(data: Recorded, keys: Sequence[int], in_force: Collection[str]) -> Sequence[Row]:
    def gates(key: int) -> tuple[GateSpec, ...]:
        prompt = data.prompts[key]
        rest = zip(prompt.constraints, prompt.gates[1:], strict=True)
        return (prompt.gates[0], *(gate for kind, gate in rest if kind in in_force))

    return play(Arm("sweep", QWEN, "table"), data, keys, gates).rows


def _spread(seen: Verdicts, keys: Sequence[int], kinds: Sequence[str], part: float) -> dict[str, Any]:
    """Mean, and the middle 90 % of orders."""
    drawn: dict[str, list[float]] = {"clean": [], "silent_bad": [], "human": []}
    for seed in range(ORDERS):
        in_force = first(order(kinds, seed), part)
        tally = Counter(seen.fate(key, in_force) for key in keys)
        for fate, values in drawn.items():
            values.append(tally[fate] / len(keys))
    return {
        fate: {
            "mean": round(statistics.mean(values), 4),
            "p5_p95": [round(sorted(values)[round(q * (ORDERS - 1))], 4) for q in (0.05, 0.95)],
        }
        for fate, values in drawn.items()
    }


def _worth(seen: Verdicts, keys: Sequence[int], kinds: Sequence[str]) -> dict[str, Any]:
    """What changes, in outputs, when one kind is left out of the full set."""
    full = Counter(seen.fate(key, kinds) for key in keys)
    found = {}
    for kind in sorted(kinds):
        tally = Counter(seen.fate(key, [each for each in kinds if each != kind]) for key in keys)
        found[kind] = {fate: tally[fate] - full[fate] for fate in ("clean", "silent_bad", "human")}
    return found
