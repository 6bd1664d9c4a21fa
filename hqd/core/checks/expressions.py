"""Expressions and templates of a playbook, checked without any facts: syntax, names, and steps that are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hqd.core.language.expressions import Analysis, Reference, compile_expression, compile_text
from hqd.errors import ExpressionFault
from hqd.model.gate import GateSpec
from hqd.model.playbook import ContextRule, Playbook, Step, StepKind
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.settings import Settings
from hqd.model.spelling import meant

STEP_ROOTS = frozenset(
    {"task", "inputs", "outputs", "answers", "children", "gates", "cost", "attempt", "round", "now", "findings"}
)
"""What a step's `when`, prompt and texts may start from."""
AFTER_ROOTS = STEP_ROOTS | {"output"}
"""What routes, gates and `deliver` may start from: the step has an output by then."""
ACCEPT_ROOTS = frozenset({"task", "inputs"})
SCHEDULE_ROOTS = frozenset({"now", "due"})
PICK_ROOTS = frozenset({"task", "inputs", "outputs", "answers", "findings", "step", "attempt", "round", "agent", "row"})
NOTIFY_ROOTS = frozenset({"task", "reason", "step", "agent", "cost", "attempt", "round", "now"})

_OUTPUTS = frozenset({StepKind.AGENT, StepKind.RUN})


@dataclass(frozen=True, slots=True)
class Written:
    """One expression or template where it stands. `own`: the step's own output is there already."""

    place: Place
    source: str
    roots: frozenset[str]
    text: bool = False
    step: Step | None = None
    own: bool = False


def settings_expressions(settings: Settings, path: str) -> Iterator[Problem]:
    """Faults of the expressions in hqd.toml."""
    for name, agent in settings.agents.items():
        if agent.pick is not None:
            yield from _check(Written(("agents", name, "pick"), agent.pick, PICK_ROOTS), path)
    for name, gate in settings.gates.items():
        if gate.when is not None:
            yield from _check(Written(("gates", name, "when"), gate.when, AFTER_ROOTS), path)
    for index, rule in enumerate(settings.context):
        if rule.when is not None:
            yield from _check(Written(("context", index, "when"), rule.when, STEP_ROOTS), path)
    for index, notify in enumerate(settings.notify):
        for at, word in enumerate(notify.command):
            yield from _check(Written(("notify", index, "command", at), word, NOTIFY_ROOTS, text=True), path)


def playbook_expressions(
    playbook: Playbook, path: str, texts: Mapping[str, str], folder: str, named: frozenset[str]
) -> Iterator[Problem]:
    """Faults of the expressions in a playbook and in the prompts that it names.

    `texts` are the files beside the playbooks, named as prompts name them; `named` are gates of hqd.toml.
    """
    known = gate_names(playbook) | named
    template = playbook.schedule.template if playbook.schedule is not None else None
    if template is not None and template in texts:
        yield from _check(Written((), texts[template], SCHEDULE_ROOTS, text=True), f"{folder}/{template}")
    for written in _of_playbook(playbook):
        yield from _check(written, path, playbook, known)
    for index, step in enumerate(playbook.steps):
        for written in _of_step(step, ("steps", index)):
            yield from _check(written, path, playbook, known)
        if step.prompt is not None and step.prompt in texts:
            prompt = Written((), texts[step.prompt], STEP_ROOTS, text=True, step=step)
            yield from _check(prompt, f"{folder}/{step.prompt}", playbook, known)


def gate_names(playbook: Playbook) -> frozenset[str]:
    uses = [*playbook.gates]
    for step in playbook.steps:
        uses += [*step.gates, *step.gates_before]
    return frozenset(use.name if isinstance(use, GateSpec) else use for use in uses)


def _of_playbook(playbook: Playbook) -> Iterator[Written]:
    if playbook.accepts is not None and playbook.accepts.when is not None:
        yield Written(("accepts", "when"), playbook.accepts.when, ACCEPT_ROOTS)
    if playbook.concurrency is not None:
        yield Written(("concurrency", "group"), playbook.concurrency.group, STEP_ROOTS, text=True)
    yield from _context(playbook.context, (), None)
    for index, gate in enumerate(playbook.gates):
        if isinstance(gate, GateSpec) and gate.when is not None:
            yield Written(("gates", index, "when"), gate.when, AFTER_ROOTS)


def _of_step(step: Step, place: Place) -> Iterator[Written]:
    if step.when is not None:
        yield Written((*place, "when"), step.when, STEP_ROOTS, step=step)
    if step.prompt_text is not None:
        yield Written((*place, "prompt_text"), step.prompt_text, STEP_ROOTS, text=True, step=step)
    if step.deliver is not None:
        yield Written((*place, "deliver"), step.deliver, AFTER_ROOTS, text=True, step=step, own=True)
    for index, route in enumerate(step.routes):
        for key, source in (("when", route.when), ("feedback", route.feedback)):
            if source is not None:
                yield Written((*place, "routes", index, key), source, AFTER_ROOTS, step=step, own=True)
    for key, gates, roots in (("gates", step.gates, AFTER_ROOTS), ("gates_before", step.gates_before, STEP_ROOTS)):
        for index, gate in enumerate(gates):
            if isinstance(gate, GateSpec) and gate.when is not None:
                own = key == "gates"
                yield Written((*place, key, index, "when"), gate.when, roots, step=step, own=own)
    yield from _context(step.context, place, step)
    yield from _special(step, place)


def _special(step: Step, place: Place) -> Iterator[Written]:
    """Texts of `ask`, `run` and `spawn`."""
    if step.ask is not None:
        yield Written((*place, "ask", "question"), step.ask.question, STEP_ROOTS, text=True, step=step)
    if step.run is not None:
        for index, word in enumerate(step.run.argv):
            yield Written((*place, "run", "argv", index), word, STEP_ROOTS, text=True, step=step)
        for name, value in step.run.env.items():
            yield Written((*place, "run", "env", name), value, STEP_ROOTS, text=True, step=step)
    if step.spawn is not None:
        yield Written((*place, "spawn", "each"), step.spawn.each, STEP_ROOTS, step=step)
        for key, text in (("title", step.spawn.title), ("body", step.spawn.body)):
            yield Written((*place, "spawn", key), text, STEP_ROOTS | {"item"}, text=True, step=step)


def _context(rules: tuple[ContextRule, ...], place: Place, step: Step | None) -> Iterator[Written]:
    for index, rule in enumerate(rules):
        if rule.when is not None:
            yield Written((*place, "context", index, "when"), rule.when, STEP_ROOTS, step=step)


def _check(
    written: Written, path: str, playbook: Playbook | None = None, gates: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    name = path if not written.place else ""
    try:
        compiled = compile_text(written.source, name) if written.text else compile_expression(written.source)
    except ExpressionFault as fault:
        message = fault.message.removeprefix(f"{path}:{fault.line}: ").removeprefix(f"{path}: ")
        yield _problem(written, path, fault.line, message, fault.remedy)
        return
    for line, message, remedy in compiled.unknown(written.roots):
        yield _problem(written, path, line, message, remedy)
    if playbook is not None:
        yield from _references(written, compiled.analysis, path, playbook, gates)


def _problem(
    written: Written, path: str, line: int, message: str, remedy: str, level: ProblemLevel = ProblemLevel.ERROR
) -> Problem:
    """In a file of its own the line is the source's; inside TOML, the line of the key is found later."""
    if not written.place:
        return Problem(path, line, "", message, remedy, level)
    inner = f"in its line {line}: " if line > 1 else ""
    return Problem(path, 0, "", inner + message, remedy, level, written.place)


def _references(
    written: Written, analysis: Analysis, path: str, playbook: Playbook, gates: frozenset[str]
) -> Iterator[Problem]:
    for use in analysis.references:
        if use.root == "gates" and use.name not in gates and not use.guarded:
            message = f"gates.{use.name}: no gate of this playbook has that name"
            yield _problem(written, path, use.line, message, meant(use.name, gates))
        elif use.root in ("outputs", "answers", "children"):
            found = _step_reference(use, written, playbook)
            if found is not None:
                yield _problem(written, path, use.line, *found)


def _step_reference(use: Reference, written: Written, playbook: Playbook) -> tuple[str, str, ProblemLevel] | None:
    """What is wrong with `outputs.X`, `answers.X`, `children.X`: message, remedy, level; None: nothing."""
    said = f"{use.root}.{use.name}"
    names = [step.name for step in playbook.steps]
    if use.name not in names:
        return f"{said}: there is no step {use.name}", meant(use.name, names), ProblemLevel.ERROR
    step = playbook.step(use.name)
    if use.root == "outputs" and step.kind not in _OUTPUTS:
        return f"{said}: step {use.name} is a {step.kind.value} step and has no output", "", ProblemLevel.ERROR
    if use.root == "children" and step.kind is not StepKind.SPAWN:
        return f"{said}: step {use.name} spawns no children", "", ProblemLevel.ERROR
    if use.guarded or written.step is None:
        return None
    here, there = playbook.position(written.step.name), playbook.position(use.name)
    ask = f"ask `{said} is defined` first, or give it `| default('')`"
    if there > here or (there == here and not written.own):
        where = f"step {use.name} comes later" if there > here else "it is this step's own, and not there yet"
        hint = "what a later step said comes as `findings`; else " if use.root == "outputs" else ""
        return f"{said}: {where}", hint + ask, ProblemLevel.ERROR
    if step.when is not None and there < here:
        return f"{said}: step {use.name} has a `when` and may be left out", ask, ProblemLevel.WARNING
    return None
