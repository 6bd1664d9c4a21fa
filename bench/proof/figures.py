"""Figures of paired arms: shares, McNemar's exact test, a bootstrap over prompts, the price of an escalation. Pure."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Fate = Literal["clean", "silent_bad", "human", "unfinished"]
RESAMPLES = 2000
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt in one arm. `cost` counts the recorded prompt and answers, `sent` what hqd really sent and got."""

    key: int
    fate: Fate
    cost: float
    sent: float
    attempts: int
    reason: str | None = None


Rows = Sequence[Row]


def shares(rows: Rows, base: Rows) -> dict[str, Any]:
    """The five figures of an arm, with the counts behind them. Costs are over the arm `base` on the same prompts."""
    fates = Counter(row.fate for row in rows)
    attempts = sum(row.attempts for row in rows)
    n = len(rows)
    return {
        "clean": _over(fates["clean"], n),
        "silent_bad": _over(fates["silent_bad"], n),
        "to_human": _over(fates["human"], n),
        "cost_ratio": ratio(rows, base, lambda row: row.cost),
        "attempts": _over(attempts, n),
        "cost_ratio_as_sent": ratio(rows, base, lambda row: row.sent),
        "counts": {
            "n": n,
            "clean": fates["clean"],
            "silent_bad": fates["silent_bad"],
            "to_human": fates["human"],
            "unfinished": fates["unfinished"],
            "attempts": attempts,
        },
        "parks": dict(sorted(Counter(row.reason for row in rows if row.reason is not None).items())),
    }


def _over(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def ratio(rows: Rows, base: Rows, cost: Callable[[Row], float]) -> float | None:
    return _over(sum(map(cost, rows)), sum(map(cost, base)))


def mcnemar(rows: Rows, base: Rows) -> dict[str, Any]:
    """Exact and two-sided, over prompts that one arm delivered clean and the other did not."""
    theirs = {row.key: row.fate == "clean" for row in base}
    pairs = [(row.fate == "clean", theirs[row.key]) for row in rows]
    won, lost = pairs.count((True, False)), pairs.count((False, True))
    return {"only_this_clean": won, "only_base_clean": lost, "p": float(f"{exact_p(won, lost):.3g}")}


def exact_p(one: int, other: int) -> float:
    """Two-sided p of a fair coin for so many heads and tails."""
    n, few = one + other, min(one, other)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(few + 1)) / 2**n)


def bootstrap(rows: Rows, base: Rows, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, list[float]]:
    """95 % percentile intervals over resampled prompts; both arms are resampled together."""
    theirs = {row.key: row for row in base}
    pairs = [(row, theirs[row.key]) for row in rows]
    if not pairs:
        return {}
    n, rng = len(pairs), random.Random(seed)
    clean = [float(mine.fate == "clean") for mine, _ in pairs]
    bad = [float(mine.fate == "silent_bad") for mine, _ in pairs]
    gain = [(mine.fate == "clean") - float(other.fate == "clean") for mine, other in pairs]
    cost, whole = [mine.cost for mine, _ in pairs], [other.cost for _, other in pairs]
    drawn: dict[str, list[float]] = {"clean": [], "silent_bad": [], "clean_over_base": [], "cost_ratio": []}
    for _ in range(resamples):
        picked = rng.choices(range(n), k=n)
        drawn["clean"].append(sum(map(clean.__getitem__, picked)) / n)
        drawn["silent_bad"].append(sum(map(bad.__getitem__, picked)) / n)
        drawn["clean_over_base"].append(sum(map(gain.__getitem__, picked)) / n)
        drawn["cost_ratio"].append(sum(map(cost.__getitem__, picked)) / sum(map(whole.__getitem__, picked)))
    return {name: percentiles(values) for name, values in drawn.items()}


def percentiles(values: Sequence[float], level: float = 0.95) -> list[float]:
    """The middle `level` of the values: [low, high]."""
    ordered = sorted(values)
    cut = (1 - level) / 2
    last = len(ordered) - 1
    return [round(ordered[round(cut * last)], 4), round(ordered[round((1 - cut) * last)], 4)]


def break_even(rows: Rows, base: Rows) -> dict[str, Any]:
    """What one human escalation may cost before the arm is dearer than `base`, in average outputs of `base`.

    Saved on agents, shared among the escalations that the arm has more of. Each unit that an unnoticed bad output
    costs adds `per_unit_of_a_bad_output` to that price.
    """
    unit = sum(row.cost for row in base) / len(base) if base else 0.0
    more = _count(rows, "human") - _count(base, "human")
    if more <= 0 or unit == 0.0:
        return {"price": None, "per_unit_of_a_bad_output": None, "escalations": more}
    saved = (sum(row.cost for row in base) - sum(row.cost for row in rows)) / unit
    fewer = _count(base, "silent_bad") - _count(rows, "silent_bad")
    return {
        "price": round(saved / more, 2),
        "per_unit_of_a_bad_output": round(fewer / more, 2),
        "escalations": more,
    }


def _count(rows: Rows, fate: Fate) -> int:
    return sum(row.fate == fate for row in rows)


def compared(rows: Rows, base: Rows, *, intervals: bool = True) -> dict[str, Any]:
    """An arm beside its base, over all prompts and over each half of them."""
    halves: Mapping[str, int] = {"odd": 1, "even": 0}
    found = shares(rows, base)
    found["mcnemar"] = mcnemar(rows, base)
    if intervals:
        found["ci95"] = bootstrap(rows, base)
    found["break_even"] = break_even(rows, base)
    for name, rest in halves.items():
        mine = [row for row in rows if row.key % 2 == rest]
        theirs = [row for row in base if row.key % 2 == rest]
        found[name] = {**shares(mine, theirs), "mcnemar": mcnemar(mine, theirs)}
    return found
