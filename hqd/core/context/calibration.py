"""What sources of context were worth, as far as history tells: an observation, confounded, never a proof. Pure.

Sources are not sent by chance: a rule sends them to harder tasks, a budget drops them from longer ones. So a difference
here is a hint where an experiment is worth its while, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hqd.core.history.two_shares import newcombe

OBSERVED = "observation, confounded"

NAMED_TOGETHER = {"similar:": "similar work", "child:": "results of children", "children:": "results of children"}
"""Sources that are another one in each task, and so are looked at as one."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt as its manifest has it: sources that were in, with their tokens. `first`: of its task at this step.

    `price`: dollars a token of input, uncached; None: not known.
    """

    task: str
    playbook: str
    step: str
    passed: bool
    first: bool
    sources: Mapping[str, int]
    price: float | None = None
    arm: str | None = None
    experiment: str | None = None  # its key


@dataclass(frozen=True, slots=True)
class Observed:
    """One source at one step. Attempts and tokens of all tries; rates of first tries."""

    source: str
    attempts: int
    tokens: int
    dollars: float | None
    passed_with: int
    n_with: int
    passed_without: int
    n_without: int

    @property
    def difference(self) -> float | None:
        if not self.n_with or not self.n_without:
            return None
        return self.passed_with / self.n_with - self.passed_without / self.n_without

    @property
    def interval(self) -> tuple[float, float]:
        """Newcombe, 95 %."""
        return newcombe(self.passed_with, self.n_with, self.passed_without, self.n_without)


@dataclass(slots=True)
class _Step:
    attempts: list[Sent] = field(default_factory=list)


def observe(attempts: Iterable[Sent]) -> dict[tuple[str, str], tuple[Observed, ...]]:
    """(playbook, step) -> its sources, those that took most tokens first."""
    steps: dict[tuple[str, str], _Step] = {}
    for each in attempts:
        steps.setdefault((each.playbook, each.step), _Step()).attempts.append(each)
    return {place: _observed(found.attempts) for place, found in sorted(steps.items())}


def _observed(attempts: list[Sent]) -> tuple[Observed, ...]:
    names = {named(source) for each in attempts for source in each.sources}
    found = [_one(name, attempts) for name in names]
    return tuple(sorted(found, key=lambda one: (-one.tokens, one.source)))


def _one(name: str, attempts: list[Sent]) -> Observed:
    tokens, dollars, within = 0, 0.0, 0
    unpriced = False
    counts = {True: [0, 0], False: [0, 0]}  # whether it was in -> passed, n
    for each in attempts:
        mine = [count for source, count in each.sources.items() if named(source) == name]
        if mine:
            within += 1
            tokens += sum(mine)
            unpriced = unpriced or each.price is None
            dollars += sum(mine) * (each.price or 0.0)
        if each.first:
            counts[bool(mine)][0] += each.passed
            counts[bool(mine)][1] += 1
    (passed_with, n_with), (passed_without, n_without) = counts[True], counts[False]
    cost = None if unpriced else round(dollars, 6)
    return Observed(name, within, tokens, cost, passed_with, n_with, passed_without, n_without)


def named(source: str) -> str:
    """The name under which a source is looked at."""
    return next((name for start, name in NAMED_TOGETHER.items() if source.startswith(start)), source)
