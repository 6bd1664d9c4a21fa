"""What `hqd check` says of `[[context]]`: of each rule by itself, and of the steps that it names. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from hqd.core.globs import exact, leaves
from hqd.model.playbook import ContextRule, DecisionChoice, Playbook, Step, StepKind
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.spelling import meant

_SOURCES = ("include", "outputs", "children", "decisions", "similar", "lessons")


def context_faults(
    context: Sequence[ContextRule],
    place: Place,
    path: str,
    playbook: Playbook | None,
    step: Step | None,
    known: Collection[str],
) -> Iterator[Problem]:
    """The rules of an HQ (no `playbook`), of a playbook (no `step`), or of a step. `known`: names of all playbooks."""
    for index, rule in enumerate(context):
        at = (*place, "context", index)
        if playbook is not None:
            yield from _steps(rule, at, path, playbook, step)
        yield from _globs(rule, at, path)
        yield from _kinds(rule, at, path)
        yield from _playbooks(rule, at, path, known)


def _steps(rule: ContextRule, at: Place, path: str, playbook: Playbook, step: Step | None) -> Iterator[Problem]:
    steps = playbook.steps if step is None else playbook.steps[: playbook.position(step.name)]
    before = " before this one" if step is not None else ""
    spawning = [other.name for other in steps if other.kind is StepKind.SPAWN]
    named = rule.children if isinstance(rule.children, tuple) else ()
    for key, names, known, what in (
        ("outputs", rule.outputs, [other.name for other in steps], "step"),
        ("children", named, spawning, "step with `spawn`"),
    ):
        for number, name in enumerate(names):
            if name not in known:
                message = f"{name} is no {what}{before}"
                yield Problem(path, 0, "", message, meant(name, known), place=(*at, key, number))


def _globs(rule: ContextRule, at: Place, path: str) -> Iterator[Problem]:
    for key in ("include", "exclude"):
        for number, pattern in enumerate(getattr(rule, key)):
            place = (*at, key, number)
            if leaves(pattern):
                yield Problem(path, 0, "", f"{pattern} leaves the repository", "name a path inside it", place=place)
                continue
            try:
                exact(pattern)
            except re.error as fault:
                message = f"{pattern} is no glob: {fault.msg}"
                yield Problem(path, 0, "", message, "it names nothing until mended", ProblemLevel.WARNING, place)


def _playbooks(rule: ContextRule, at: Place, path: str, known: Collection[str]) -> Iterator[Problem]:
    """Decisions of a playbook that is gone still count: no more than a warning."""
    names = rule.decisions.playbooks if isinstance(rule.decisions, DecisionChoice) else ()
    for number, name in enumerate(names):
        if name not in known:
            place = (*at, "decisions", "playbooks", number)
            message = f"there is no playbook {name}"
            yield Problem(path, 0, "", message, meant(name, known), ProblemLevel.WARNING, place)


def _kinds(rule: ContextRule, at: Place, path: str) -> Iterator[Problem]:
    """A rule is about one thing. `lessons = false` is about lessons too."""
    kinds = [key for key in _SOURCES if getattr(rule, key) or (key == "lessons" and rule.lessons is not None)]
    if len(kinds) > 1:
        message = f"is about {' and '.join(kinds)} at once"
        yield Problem(path, 0, "", message, "make a rule of each", ProblemLevel.WARNING, at)
    elif not kinds and not rule.exclude and not rule.quarantine:
        remedy = f"give it one of {', '.join(_SOURCES)}"
        yield Problem(path, 0, "", "names no source", remedy, ProblemLevel.WARNING, at)
