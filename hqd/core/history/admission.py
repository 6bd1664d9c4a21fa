"""May a gate be let in? One rule for `hqd lessons check`, promotions and the benchmark. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hqd.core.history.backtest import Backtest

MAX_FALSE_POSITIVE_RATE = 0.02


@dataclass(frozen=True, slots=True)
class Admission:
    """`admitted` with the reasons, one line each. `tested`: it has fired outside its evidence at all."""

    admitted: bool
    tested: bool
    reasons: tuple[str, ...]


def admit(found: Backtest, *, max_fpr: float = MAX_FALSE_POSITIVE_RATE, untested: bool = False) -> Admission:
    """Goes by the strict figures. A gate is let in where

    1. its false firings are no more than `max_fpr` of all outputs without the fault (strict count), and
    2. the lower end of the 95 % interval of its strict precision is above the share of outputs that are rejected
       anyway: a coin thrown for each output gets there in 2.5 % of cases at most.

    One that never fired outside its evidence is let in only where `untested` allows it: to watch, never to stop.
    """
    figures = found.figures
    reasons: list[str] = []
    strict = figures.strict_fpr
    if strict.n and (strict.rate or 0.0) > max_fpr:
        reasons.append(f"false positives {strict}, more than {100 * max_fpr:g} %")
    tested = figures.precision.n > 0
    base = figures.base.rate or 0.0
    if tested and figures.precision.low <= base:
        reasons.append(f"precision {figures.precision} is not surely above {100 * base:.2g} %, which chance gives")
    if not tested:
        note = "it fires on no labelled output beside its evidence"
        return Admission(untested and not reasons, False, (*reasons, note))
    return Admission(not reasons, True, tuple(reasons))
