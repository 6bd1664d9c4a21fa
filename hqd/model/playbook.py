"""A playbook: which tasks it takes, its steps, gates, context rules, limits, and what to do on failure.

These are shapes only. Rules about two objects (a route to an unknown step) live in `core/checks/playbooks.py`; the
translation from TOML, with line numbers, in `codec/playbook.py`.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hqd.model.duration import Duration, seconds
from hqd.model.gate import GateSpec
from hqd.model.value import Value

STEP_NAME = r"[a-z][a-z0-9_]*"
RESERVED_TARGETS = frozenset({"done", "drop", "human"})


class StepKind(StrEnum):
    GATE = "gate"  # checks only
    AGENT = "agent"
    REVIEW = "review"  # a pull request
    ASK = "ask"  # a question to a human
    RUN = "run"  # a program with an outside effect
    SPAWN = "spawn"  # child tasks


class Rung(Value):
    """One rung of a ladder: exactly one of these is set. `human` ends every ladder, written or not."""

    retry: int | None = Field(default=None, ge=1, le=100)  # same agent, with findings and its failed output
    fresh: int | None = Field(default=None, ge=1, le=100)  # same agent, new context, with a distilled note
    agent: str | None = None  # another agent, once per `times`
    times: int = Field(default=1, ge=1, le=100)  # only with `agent` and `route`
    route: str | None = None  # an earlier step, with a finding
    human: bool = False


class Route(Value):
    """Where to go after a step passed. First that holds wins; `max` counts within a round."""

    when: str | None = None
    to: str
    feedback: str | None = None
    max: int | None = Field(default=None, ge=0, le=1000)
    then: str = "human"


def _date_or_duration(text: str) -> str:
    """`2026-01-31`, or `90d`: so long before the attempt. Raises ValueError."""
    if text[:4].isdigit():
        date.fromisoformat(text)
    else:
        seconds(text)
    return text


class DecisionChoice(Value):
    """Which decisions: with one of these tags, and of one of these playbooks; neither: those in scope."""

    tags: tuple[str, ...] = ()
    playbooks: tuple[str, ...] = ()
    since: Annotated[str, BeforeValidator(str), AfterValidator(_date_or_duration)] | None = None


class ContextRule(Value):
    """Which documents an attempt is given. One kind of source each; `exclude` or `quarantine` alone: for every rule."""

    include: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    children: tuple[str, ...] | bool | None = None
    decisions: DecisionChoice | bool | None = None
    similar: int | None = Field(default=None, ge=0, le=50)
    lessons: bool | None = None
    when: str | None = None
    priority: int = 0
    max_tokens: int | None = Field(default=None, ge=1)
    required: bool = False
    exclude: tuple[str, ...] = ()
    quarantine: bool = False  # leave out what hides characters or speaks for the operator


class Review(Value):
    """A pull request and what its fate means."""

    reviewers: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    on_changes: str | None = None  # the agent step that gets the feedback; default: the last agent step before
    land: Literal["on_merge", "on_approval", "never"] = "on_merge"
    remind: Duration | None = None
    update: Literal["merge", "rebase"] = "merge"
    style: Literal["merge", "squash", "rebase"] = "merge"  # how hqd merges on a forge
    sample: float | Literal["auto"] | None = None
    risk: float | None = Field(default=None, gt=0, lt=1)


class Ask(Value):
    question: str
    choices: tuple[str, ...] = ()
    to: tuple[str, ...] = ()


class RunProgram(Value):
    argv: tuple[str, ...] = Field(min_length=1)
    env: dict[str, str] = Field(default_factory=dict)
    once: bool = False
    timeout: Duration = "10m"


class Spawn(Value):
    each: str
    playbook: str | None = None
    title: str
    body: str
    max: int = Field(default=12, ge=1, le=500)
    need: Literal["all", "any"] | int = "all"


class Limits(Value):
    """Caps of a playbook; what is not set comes from hqd.toml, and there always is a cap."""

    cost_usd: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=0)
    attempts: int | None = Field(default=None, ge=1)  # of one round
    attempt: Duration | None = None  # one attempt's wall time
    attempt_usd: float | None = Field(default=None, gt=0)  # one attempt's dollars
    attempt_tokens: int | None = Field(default=None, gt=0)
    wall: Duration | None = None  # time in active/ only
    context_tokens: int | None = Field(default=None, ge=1)  # a whole prompt's, below what the window allows


class Schedule(Value):
    cron: str
    tz: str = "UTC"
    template: str
    catch_up: Literal["none", "latest", "all"] = "latest"
    overlap: Literal["skip", "allow"] = "skip"


class Accepts(Value):
    """What a playbook takes by itself; where both are given, both must hold."""

    tags: tuple[str, ...] = ()
    when: str | None = None


class Concurrency(Value):
    group: str
    max: int = Field(default=1, ge=1)


class Experiment(Value):
    """Whether a source of context is worth what it costs: some tasks do without it, by a coin.

    `source`: its path, file name or a glob. `holdout`: the part of tasks without it. `effect`: the difference of
    first-pass rates that is to be found, with `power`, at level `alpha`. `prompt`: by step, the prompt of tasks without
    it, where the template says something of it; half of those held out then keep the step's own.
    """

    source: str = Field(min_length=1)
    holdout: float = Field(gt=0, lt=1)
    effect: float = Field(ge=0.01, lt=1)
    power: float = Field(default=0.8, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    prompt: dict[str, str] = Field(default_factory=dict)


GateUse = str | GateSpec
"""A gate by its name in hqd.toml, or in full."""


class Step(Value):
    """One stage. Which of `agent`, `review`, `ask`, `run`, `spawn` is set decides its kind; none: a gate step."""

    name: str
    agent: str | None = None
    review: Review | None = None
    ask: Ask | None = None
    run: RunProgram | None = None
    spawn: Spawn | None = None
    prompt: str | None = None  # a path relative to playbooks/
    prompt_text: str | None = None
    output: dict[str, Any] | str | None = None  # field types, or the path of a JSON Schema
    deliver: str | None = None
    overwrite: bool = False
    when: str | None = None
    gates: tuple[GateUse, ...] = ()
    gates_before: tuple[GateUse, ...] = ()
    routes: tuple[Route, ...] = ()
    on_fail: tuple[Rung, ...] | None = None
    context: tuple[ContextRule, ...] = ()
    limits: Limits = Limits()
    tools: bool = False  # file tools for an anthropic agent, inside the task's copy

    @property
    def kind(self) -> StepKind:
        for kind in (StepKind.AGENT, StepKind.REVIEW, StepKind.ASK, StepKind.RUN, StepKind.SPAWN):
            if getattr(self, kind.value) is not None:
                return kind
        return StepKind.GATE


class Playbook(Value):
    name: str
    description: str = ""
    accepts: Accepts | None = None
    limits: Limits = Limits()
    schedule: Schedule | None = None
    context: tuple[ContextRule, ...] = ()
    gates: tuple[GateUse, ...] = ()
    on_fail: tuple[Rung, ...] | None = None
    on: dict[str, tuple[Rung, ...]] = Field(default_factory=dict)  # failure class -> ladder
    land: Literal["auto"] | None = None
    repo: str | None = None
    concurrency: Concurrency | None = None
    experiment: Experiment | None = None
    audit: float | None = Field(default=None, ge=0, le=1)
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step of that name. Raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def position(self, name: str) -> int:
        """0-based place of a step. Raises KeyError."""
        for place, step in enumerate(self.steps):
            if step.name == name:
                return place
        raise KeyError(name)

    @property
    def delivers(self) -> bool:
        return any(step.deliver is not None for step in self.steps)
