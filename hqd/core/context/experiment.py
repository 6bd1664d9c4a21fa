"""An experiment on a source of context: who is left out, how many it takes, and what came of it. Pure.

Laws. The unit is the task: a coin seeded with its id puts it into an arm once, whatever happens later. How many tasks
each arm takes is fixed by effect and power before the first one; until they are there, no verdict and no success is
shown, so that nobody stops where it looks best. What counts is what an arm was meant to get. Later tasks than the fixed
number count for nothing. A required source is never left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from hqd.core import globs
from hqd.core.context.source import Candidate
from hqd.core.history.two_shares import fisher, needed, newcombe
from hqd.model.playbook import ContextRule, Experiment, Playbook, Step
from hqd.model.settings import Settings


class Arm(StrEnum):
    """`without`: the source is left out, and the prompt is the one for that. `empty`: left out, the prompt as it is,
    where the two differ: what a change of the template does by itself shows there."""

    WITH = "with"
    WITHOUT = "without"
    EMPTY = "empty"


def matches(pattern: str, source: str) -> bool:
    """Whether an experiment means this source: its path, its file's name, or a glob for either."""
    return fnmatchcase(source, pattern) or ("/" not in pattern and fnmatchcase(source.rsplit("/", 1)[-1], pattern))


def key(experiment: Experiment, playbook: str) -> str:
    """What makes an experiment the same one: changed on any point, it begins anew."""
    about = (playbook, experiment.source, experiment.holdout, experiment.effect, experiment.power, experiment.alpha)
    text = repr((*about, sorted(experiment.prompt.items())))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def arm(experiment: Experiment, playbook: str, task: str) -> Arm:
    """The arm of a task: the same for all its steps, attempts and rounds."""
    coin = hashlib.sha256(f"{key(experiment, playbook)}\0{task}".encode()).digest()
    drawn = int.from_bytes(coin[:8], "big") / 2**64
    if drawn >= experiment.holdout:
        return Arm.WITH
    return Arm.EMPTY if experiment.prompt and drawn < experiment.holdout / 2 else Arm.WITHOUT


def held_out(candidates: Sequence[Candidate], experiment: Experiment, arm: Arm) -> list[Candidate]:
    """The candidates, the experiment's source with the reason why it is not sent where the arm does without it."""
    if arm is Arm.WITH:
        return list(candidates)
    why = f"left out by the experiment on {experiment.source} (arm {arm.value})"
    return [
        replace(each, problem=why)
        if not each.required and each.problem is None and matches(experiment.source, each.source)
        else each
        for each in candidates
    ]


def requires(settings: Settings, playbook: Playbook) -> str | None:
    """Where a rule requires what the experiment would leave out; None: nowhere, as far as names tell."""
    experiment = playbook.experiment
    if experiment is None:
        return None
    for place, rule in _rules(settings, playbook):
        named = [*rule.include, *(f"output:{name}" for name in rule.outputs)]
        if rule.required and any(_may_be(experiment.source, each) for each in named):
            return place
    return None


NATIVE = (
    "**/AGENTS.md", "**/CLAUDE.md", "**/SKILL.md", "**/copilot-instructions.md", "**/*.instructions.md", "**/*.mdc",
    ".claude/rules/**", "**/adr/**", "**/adrs/**", "**/decisions/**", "lessons/**", "**/L-*.md",
)  # fmt: skip
"""What is sent without any rule: rule files, decisions, lessons."""

_RESULTS = ("output:", "child:", "similar:")


def brought(settings: Settings, playbook: Playbook, source: str) -> bool:
    """Whether some rule may bring in a source, or it is one that is sent without any, as far as names tell."""
    if not source.startswith(_RESULTS):
        source = source.partition(":")[2] or source  # of a target repository: rules name its files by the same globs
    if any(_names(each, source) or matches(source, each.removeprefix("**/")) for each in NATIVE):
        return True
    rules = [rule for _place, rule in _rules(settings, playbook)]
    named = [] if rules else ["output:*"]
    for rule in rules:
        named += [*rule.include, *(f"output:{name}" for name in rule.outputs)]
        named += ["child:*"] if rule.children else []
        named += ["similar:*"] if rule.similar else []
    return any(_may_be(source, each) or _overlap(source, each) for each in named)


def _rules(settings: Settings, playbook: Playbook) -> Iterator[tuple[str, ContextRule]]:
    """Every rule with the key that it stands at."""
    steps: Sequence[Step] = playbook.steps
    places: list[tuple[str, Sequence[ContextRule]]] = [("hqd.toml", settings.context), ("context", playbook.context)]
    places += [(f"steps.{step.name}.context", step.context) for step in steps]
    yield from ((place, rule) for place, rules in places for rule in rules)


def _may_be(source: str, named: str) -> bool:
    """Whether a rule's glob may bring in the source, as far as the two patterns tell."""
    short = named.rsplit("/", 1)[-1]
    return matches(source, named) or _names(named, source) or ("/" not in source and fnmatchcase(source, short))


def _names(glob: str, path: str) -> bool:
    try:
        return globs.exact(glob).fullmatch(path) is not None
    except re.error:
        return False  # it names nothing; `check` says so


def _overlap(source: str, named: str) -> bool:
    """Whether two globs may mean one file: the folder that one begins in lies in the other's."""
    if source.startswith(_RESULTS) or not (globs.WILD & set(source) and globs.WILD & set(named)):
        return False
    one, other = (f"{globs.beginning(each)}/".lstrip("/") for each in (source, named))
    return one.startswith(other) or other.startswith(one)


@dataclass(frozen=True, slots=True)
class Unit:
    """A task of an experiment, in the order in which tasks came. `passed`: each step that the source was for, at the
    first try; None: not known yet."""

    task: str
    arm: Arm
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Group:
    """One arm. `passed` None: not shown before the experiment is at its end."""

    arm: Arm
    tasks: int
    needed: int
    passed: int | None = None

    @property
    def rate(self) -> float | None:
        return self.passed / self.tasks if self.passed is not None and self.tasks else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`with` against another arm: the difference of their shares, its interval, and Fisher's p."""

    arm: Arm
    difference: float
    low: float
    high: float
    p: float
    alpha: float  # after Bonferroni, where there are two comparisons

    @property
    def verdict(self) -> str:
        if self.p > self.alpha:
            return "no difference shown"
        return "with is better" if self.difference > 0 else "with is worse"


@dataclass(frozen=True, slots=True)
class Result:
    """How an experiment stands. `comparisons` only once every arm has as many tasks as were fixed."""

    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...] = ()

    @property
    def done(self) -> bool:
        return bool(self.comparisons)


def sizes(experiment: Experiment) -> dict[Arm, int]:
    """How many tasks each arm takes, fixed by what stands in the playbook."""
    if not experiment.prompt:
        first, second = needed(experiment.effect, experiment.holdout, experiment.alpha, experiment.power)
        return {Arm.WITH: first, Arm.WITHOUT: second}
    half = experiment.holdout / 2
    share = half / (1 - experiment.holdout + half)  # of the two that are compared
    first, second = needed(experiment.effect, share, experiment.alpha / 2, experiment.power)
    return {Arm.WITH: first, Arm.WITHOUT: second, Arm.EMPTY: second}


def result(experiment: Experiment, units: Sequence[Unit]) -> Result:
    """How it stands, from its tasks in the order in which they came: the first of each arm, as many as were fixed.

    One of them whose fate is open is waited for. Were a later one taken in its place, what fails fast would count
    first, and a verdict could change after it was said.
    """
    wanted = sizes(experiment)
    first = {arm: [each for each in units if each.arm is arm][:n] for arm, n in wanted.items()}
    taken = {arm: [each for each in found if each.passed is not None] for arm, found in first.items()}
    if any(len(taken[arm]) < n for arm, n in wanted.items()):
        return Result(tuple(Group(arm, len(taken[arm]), n) for arm, n in wanted.items()))
    hits = {arm: sum(bool(each.passed) for each in found) for arm, found in taken.items()}
    groups = tuple(Group(arm, len(taken[arm]), n, hits[arm]) for arm, n in wanted.items())
    others = [arm for arm in wanted if arm is not Arm.WITH]
    alpha = experiment.alpha / len(others)
    return Result(groups, tuple(_compared(groups[0], group, alpha) for group in groups if group.arm in others))


def _compared(mine: Group, other: Group, alpha: float) -> Comparison:
    hits, other_hits = mine.passed or 0, other.passed or 0
    low, high = newcombe(hits, mine.tasks, other_hits, other.tasks)
    apart = hits / mine.tasks - other_hits / other.tasks
    return Comparison(other.arm, apart, low, high, fisher(hits, mine.tasks, other_hits, other.tasks), alpha)
