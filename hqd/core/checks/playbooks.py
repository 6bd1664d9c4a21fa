"""Rules about two things at once: a route and the step that it names, an agent and its settings, a way and its bound.

Pure. Problems come with the key's place as written and without a line; `hqd/check.py` finds line and spelling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hqd.core.checks.autonomy import check_autonomy
from hqd.core.checks.context import context_faults
from hqd.core.checks.dead_routes import holds_always, never
from hqd.core.checks.experiments import check_experiment
from hqd.core.checks.expressions import playbook_expressions, settings_expressions
from hqd.core.checks.forge import forge_faults, webhook_faults
from hqd.core.checks.forge_checks import check_forge_checks
from hqd.core.checks.repositories import repo_faults, repository_faults
from hqd.core.recovery import UNMOVED
from hqd.core.schedule import parse, zone_of
from hqd.core.steps.typed import check_schema, schema_of
from hqd.model.gate import GateSpec
from hqd.model.playbook import RESERVED_TARGETS, GateUse, Playbook, Review, Route, Rung, Step, StepKind
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.settings import Settings
from hqd.model.spelling import meant

CheckGate = Callable[[GateSpec], tuple[str, ...]]
MOST_FEEDBACK = 2
"""Retries with feedback of one rung, above which `check` warns: a first one mends a third of the failures, later ones
next to none (notes on recovery: ALFWorld, Aider polyglot)."""

_TOKENS = ("cost_usd_per_attempt", "tokens_per_attempt", "tokens_per_task", "tokens_per_day")
_AGENT_ONLY = ("prompt", "prompt_text", "tools", "deliver")


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that the rules look at. `texts`: files beside the playbooks, named as playbooks name them."""

    settings: Settings
    settings_path: str
    playbooks: Mapping[str, Playbook]  # by path
    folder: str  # of the playbooks
    texts: Mapping[str, str]
    files: frozenset[str]  # all files beside the playbooks, also those that are no text
    check_gate: CheckGate

    @property
    def names(self) -> frozenset[str]:
        """Of all playbooks."""
        return frozenset(playbook.name for playbook in self.playbooks.values())


def check_rules(rules: Rules) -> tuple[Problem, ...]:
    """Everything that is wrong between settings and playbooks."""
    found = [*_settings(rules)]
    for path, playbook in rules.playbooks.items():
        found += _playbook(rules, path, playbook)
    return tuple(found)


def _settings(rules: Rules) -> Iterator[Problem]:
    settings, path = rules.settings, rules.settings_path

    def fault(place: Place, message: str, remedy: str = "", level: ProblemLevel = ProblemLevel.ERROR) -> Problem:
        return Problem(path, 0, "", message, remedy, level, place)

    names = rules.names
    if settings.defaults.playbook not in names:
        place: Place = ("defaults", "playbook")
        yield fault(
            place, f"there is no playbook {settings.defaults.playbook}", meant(settings.defaults.playbook, names)
        )
    for key in ("cost_usd_per_task", "cost_usd_per_day", *_TOKENS):
        if getattr(settings.limits, key) == 0:
            yield fault(("limits", key), "a budget of zero lets nothing run", "set a sum, or use `hqd pause`")
    for name, gate in settings.gates.items():
        yield from _gate(gate, rules.check_gate, path, ("gates", name))
    yield from _ladder(settings.defaults.on_fail, ("defaults", "on_fail"), path, settings, None, None)
    for name, agent in settings.agents.items():
        silent = agent.provider == "command" and agent.preset is None and agent.parser in (None, "text")
        if silent and agent.price is None:
            message = "tells neither cost nor tokens: only attempts and time bound it"
            yield fault(("agents", name), message, 'let it answer with parser = "json"', ProblemLevel.WARNING)
    for name, repository in settings.repos.items():
        yield from repository_faults(repository, ("repos", name), path)
    yield from _beside(settings, path, rules.names)


def _beside(settings: Settings, path: str, names: frozenset[str]) -> Iterator[Problem]:
    """What stands beside agents, gates and budgets."""
    yield from context_faults(settings.context, (), path, None, None, names)
    yield from forge_faults(settings.forge, path)
    yield from webhook_faults(settings, path)
    drafter = settings.lessons.drafter
    if drafter is not None and drafter not in settings.agents:
        remedy, place = meant(drafter, settings.agents), ("lessons", "drafter")
        yield Problem(path, 0, "", f"there is no agent {drafter}", remedy, place=place)
    yield from settings_expressions(settings, path)


def _playbook(rules: Rules, path: str, playbook: Playbook) -> Iterator[Problem]:
    yield from _name(rules, path, playbook)
    if playbook.accepts is not None and not playbook.accepts.tags and playbook.accepts.when is None:
        yield Problem(path, 0, "", "accepts nothing", "give it tags or when", ProblemLevel.WARNING, ("accepts",))
    uses: list[tuple[Place, tuple[GateUse, ...]]] = [(("gates",), playbook.gates)]
    for index, step in enumerate(playbook.steps):
        uses += [(("steps", index, "gates"), step.gates), (("steps", index, "gates_before"), step.gates_before)]
    for place, gates in uses:
        yield from _gate_uses(gates, rules, path, place)
    yield from repo_faults(playbook, rules.settings, rules.settings_path, path)
    if playbook.on_fail is not None:
        yield from _ladder(playbook.on_fail, ("on_fail",), path, rules.settings, playbook, None)
    for failure, rungs in playbook.on.items():
        yield from _ladder(rungs, ("on", failure), path, rules.settings, playbook, None)
        if failure in UNMOVED:
            message = "has no effect: this class is not the agent's to mend, its way is always the same"
            remedy = "remove it; docs/operations.md has the classes and their ways"
            yield Problem(path, 0, "", message, remedy, ProblemLevel.WARNING, ("on", failure))
    yield from context_faults(playbook.context, (), path, playbook, None, rules.names)
    for index, step in enumerate(playbook.steps):
        yield from _step(rules, path, playbook, step, ("steps", index))
    yield from _landing(path, playbook)
    yield from check_autonomy(path, playbook)
    yield from check_forge_checks(rules.settings, path, playbook)
    yield from _schedule(rules, path, playbook)
    yield from check_experiment(rules.settings, path, playbook, rules.texts, rules.folder)
    named = frozenset(rules.settings.gates)
    yield from playbook_expressions(playbook, path, rules.texts, rules.folder, named)


def _name(rules: Rules, path: str, playbook: Playbook) -> Iterator[Problem]:
    for other_path, other in rules.playbooks.items():
        if other_path < path and other.name == playbook.name:
            message = f"a second playbook named {playbook.name}; the first is {other_path}"
            yield Problem(path, 0, "", message, "choose another name", place=("name",))
    stem = PurePosixPath(path).stem
    if stem != playbook.name:
        message = f"is {playbook.name}, but the file is named {stem}.toml"
        yield Problem(path, 0, "", message, "let them be the same", ProblemLevel.WARNING, ("name",))


def _step(rules: Rules, path: str, playbook: Playbook, step: Step, place: Place) -> Iterator[Problem]:
    yield from _work(rules, path, step, place)
    yield from _output(rules, path, step, place)
    if step.on_fail is not None:
        yield from _ladder(step.on_fail, (*place, "on_fail"), path, rules.settings, playbook, step)
    yield from _routes(path, playbook, step, place)
    yield from context_faults(step.context, place, path, playbook, step, rules.names)
    if step.review is not None:
        yield from _review(path, playbook, step, step.review, place)
    if step.spawn is not None and isinstance(step.spawn.need, int) and not 1 <= step.spawn.need <= step.spawn.max:
        message = f"needs {step.spawn.need} of at most {step.spawn.max} children"
        yield Problem(path, 0, "", message, "let it be between 1 and max", place=(*place, "spawn", "need"))
    if step.spawn is not None and step.spawn.playbook is not None and step.spawn.playbook not in rules.names:
        message = f"there is no playbook {step.spawn.playbook}"
        at = (*place, "spawn", "playbook")
        yield Problem(path, 0, "", message, meant(step.spawn.playbook, rules.names), place=at)


def _work(rules: Rules, path: str, step: Step, place: Place) -> Iterator[Problem]:
    """Whether what the step is to do fits what it is: agent, prompt, gates."""

    def fault(key: str, message: str, remedy: str = "") -> Problem:
        return Problem(path, 0, "", message, remedy, place=(*place, key))

    if step.agent is not None and step.agent not in rules.settings.agents:
        message = f"there is no agent {step.agent} in {rules.settings_path}"
        yield fault("agent", message, meant(step.agent, rules.settings.agents))
    if step.kind is not StepKind.AGENT:
        for key in _AGENT_ONLY:
            if getattr(step, key) not in (None, False):
                yield fault(key, f"means nothing in a {step.kind.value} step", "give the step an agent, or remove it")
    if step.kind is StepKind.GATE and not step.gates and not step.gates_before:
        yield Problem(path, 0, "", "does nothing: no agent and no gates", "add gates or an agent", place=place)
    if step.prompt is not None and step.prompt not in rules.texts:
        known = [name for name in rules.texts if name.endswith((".md", ".txt", ".j2"))]
        there = "is no text" if step.prompt in rules.files else "does not exist"
        yield fault("prompt", f"{rules.folder}/{step.prompt} {there}", meant(step.prompt, known[:20]))


def _output(rules: Rules, path: str, step: Step, place: Place) -> Iterator[Problem]:
    if step.output is None:
        return
    fault: str | None = None
    if isinstance(step.output, str):
        text = rules.texts.get(step.output)
        if text is None:
            fault = f"{rules.folder}/{step.output} does not exist"
        else:
            try:
                schema = json.loads(text)
                wrong = check_schema(schema) if isinstance(schema, dict) else "it is not an object"
                fault = f"{rules.folder}/{step.output} is no JSON Schema: {wrong}" if wrong else None
            except (ValueError, RecursionError) as error:
                fault = f"{rules.folder}/{step.output} is not JSON: {error}"
    else:
        try:
            schema_of(step.output)
        except ValueError as error:
            fault = str(error)
    if fault is not None:
        yield Problem(path, 0, "", fault, place=(*place, "output"))


def _routes(path: str, playbook: Playbook, step: Step, place: Place) -> Iterator[Problem]:
    names = [other.name for other in playbook.steps]
    always: int | None = None
    for index, route in enumerate(step.routes):
        at = (*place, "routes", index)
        for key, target in (("to", route.to), ("then", route.then)):
            if target not in names and target not in RESERVED_TARGETS:
                remedy = meant(target, [*names, *RESERVED_TARGETS])
                yield Problem(path, 0, "", f"there is no step {target}", remedy, place=(*at, key))
        if always is not None:
            message = f"is never taken: route {always} before it always holds"
            yield Problem(path, 0, "", message, "move it up, or give that one a `when`", ProblemLevel.WARNING, at)
        if _unbounded(route, playbook, step):
            message = f"goes back to {route.to} without a bound: it may loop for ever"
            yield Problem(path, 0, "", message, "add max = 2 (and then = …)", place=(*at, "to"))
        if route.max == 0:
            message = f"max = 0 never goes to {route.to}, always to {route.then}"
            yield Problem(path, 0, "", message, "", ProblemLevel.WARNING, (*at, "max"))
        dead = never(route, step)
        if dead is not None and always is None:
            yield Problem(path, 0, "", dead, "mend its `when`, or remove it", ProblemLevel.WARNING, (*at, "when"))
        if holds_always(route) and always is None:
            always = index + 1


def _unbounded(route: Route, playbook: Playbook, step: Step) -> bool:
    names = [other.name for other in playbook.steps]
    return route.to in names and route.max is None and names.index(route.to) <= names.index(step.name)


def _review(path: str, playbook: Playbook, step: Step, review: Review, place: Place) -> Iterator[Problem]:
    before = playbook.steps[: playbook.position(step.name)]
    agents = [other.name for other in before if other.kind is StepKind.AGENT]
    if review.on_changes is not None and review.on_changes not in agents:
        message = f"{review.on_changes} is no agent step before this one"
        yield Problem(path, 0, "", message, meant(review.on_changes, agents), place=(*place, "review", "on_changes"))
    if not agents:
        message = "has nothing to review: no agent works before it"
        yield Problem(path, 0, "", message, "", ProblemLevel.WARNING, (*place, "review"))


def _landing(path: str, playbook: Playbook) -> Iterator[Problem]:
    """A delivered file lands by a later review, or by `land = "auto"`; else it would stay on its branch for ever."""
    if playbook.land == "auto":
        return
    for index, step in enumerate(playbook.steps):
        reviewed = any(later.kind is StepKind.REVIEW for later in playbook.steps[index + 1 :])
        if step.deliver is not None and not reviewed:
            remedy = 'add a review step after it, or write land = "auto" at the top of the playbook'
            place = ("steps", index, "deliver")
            yield Problem(path, 0, "", "delivers a file that nothing lands", remedy, place=place)


def _schedule(rules: Rules, path: str, playbook: Playbook) -> Iterator[Problem]:
    schedule = playbook.schedule
    if schedule is None:
        return
    for key, read, text in (("cron", parse, schedule.cron), ("tz", zone_of, schedule.tz)):
        try:
            read(text)
        except ValueError as fault:
            remedy = "as in `0 7 * * MON`" if key == "cron" else "as in `Europe/Berlin`"
            yield Problem(path, 0, "", str(fault), remedy, place=("schedule", key))
    if schedule.template not in rules.texts:
        known = [name for name in rules.texts if name.endswith(".md")]
        message = f"{rules.folder}/{schedule.template} does not exist"
        yield Problem(path, 0, "", message, meant(schedule.template, known[:20]), place=("schedule", "template"))


def _gate_uses(uses: Sequence[GateUse], rules: Rules, path: str, place: Place) -> Iterator[Problem]:
    for index, use in enumerate(uses):
        if isinstance(use, GateSpec):
            yield from _gate(use, rules.check_gate, path, (*place, index))
        elif use not in rules.settings.gates and rules.check_gate(GateSpec(name=use, kind=use)):
            message = f"there is no gate {use} in {rules.settings_path}"
            yield Problem(path, 0, "", message, meant(use, rules.settings.gates), place=(*place, index))


def _gate(gate: GateSpec, check: CheckGate, path: str, place: Place) -> Iterator[Problem]:
    """What the kind says; a message that begins with one of its keys (`min: …`) is put at that key."""
    for message in check(gate):
        key, _, rest = message.partition(": ")
        known = rest and (key in gate.params or key in ("kind", "level", "target", "when", "not", "message"))
        yield Problem(path, 0, "", rest if known else message, place=(*place, key) if known else place)


def _ladder(
    rungs: Sequence[Rung], place: Place, path: str, settings: Settings, playbook: Playbook | None, step: Step | None
) -> Iterator[Problem]:
    for index, rung in enumerate(rungs):
        at = (*place, index)
        if rung.agent is not None and rung.agent not in settings.agents:
            remedy = meant(rung.agent, settings.agents)
            yield Problem(path, 0, "", f"there is no agent {rung.agent}", remedy, place=(*at, "agent"))
        if rung.route is not None:
            yield from _route_rung(rung.route, (*at, "route"), path, playbook, step)
        if rung.retry is not None and rung.retry > MOST_FEEDBACK:
            message = f"{rung.retry} retries with feedback: after {MOST_FEEDBACK} they seldom help"
            remedy = f"write {{ retry = {MOST_FEEDBACK} }}, then {{ fresh = 1 }} or another agent"
            yield Problem(path, 0, "", message, remedy, ProblemLevel.WARNING, (*at, "retry"))
        if rung.human and index < len(rungs) - 1:
            message = "the rungs after human are never reached"
            yield Problem(path, 0, "", message, "put human last", ProblemLevel.WARNING, at)
        if step is not None and step.kind is not StepKind.AGENT and not (rung.human or rung.route):
            message = f"a {step.kind.value} step has no agent that could try again"
            yield Problem(path, 0, "", message, 'write on_fail = ["human"], or a route', ProblemLevel.WARNING, at)


def _route_rung(
    target: str, place: Place, path: str, playbook: Playbook | None, step: Step | None
) -> Iterator[Problem]:
    if playbook is None:
        yield Problem(path, 0, "", "a route belongs to a playbook: here there are no steps", place=place)
        return
    end = playbook.position(step.name) if step is not None else len(playbook.steps)
    agents = [other.name for other in playbook.steps[:end] if other.kind is StepKind.AGENT]
    if target not in agents:
        message = f"{target} is no agent step{' before this one' if step is not None else ''}"
        yield Problem(path, 0, "", message, meant(target, agents), place=place)
