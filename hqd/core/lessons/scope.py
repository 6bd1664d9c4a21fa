"""Which lessons count where: for a task (its pin), at a step (gates), in a prompt (context). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import replace

from hqd.model.board import Rules
from hqd.model.gate import GateSpec, Level
from hqd.model.lesson import Lesson, LessonStatus
from hqd.model.playbook import Playbook, Step, StepKind


def scoped(rules: Rules, playbook: str, tags: Collection[str]) -> Rules:
    """The rules with those lessons only that a task of this playbook is in scope of; its pin names them."""
    if not rules.lessons:
        return rules
    both = [
        (blob, lesson)
        for blob, lesson in zip(rules.pin.lessons, rules.lessons, strict=True)
        if in_scope(lesson, playbook, tags)
    ]
    pin = rules.pin.model_copy(update={"lessons": tuple(blob for blob, _lesson in both)})
    return replace(rules, pin=pin, lessons=tuple(lesson for _blob, lesson in both))


def in_scope(lesson: Lesson, playbook: str, tags: Collection[str]) -> bool:
    scope = lesson.scope
    return (not scope.playbooks or playbook in scope.playbooks) and (
        not scope.tags or not set(scope.tags).isdisjoint(tags)
    )


def gate_stands(lesson: Lesson, playbook: Playbook, step: Step, agent: str | None) -> bool:
    """Whether its gate looks at the work of this step: where the failure was born, else in scope, else every agent."""
    if lesson.gate is None or not _agent(lesson, agent):
        return False
    if lesson.born_at is not None:
        return step.name == lesson.born_at
    return _at(lesson, step)


def tells(lesson: Lesson, step: Step, agent: str | None) -> bool:
    """Whether its text is for the agent of this step. What is in shadow is told to nobody."""
    if lesson.context is None or lesson.status not in (LessonStatus.WARN, LessonStatus.ENFORCE):
        return False
    if not _agent(lesson, agent):
        return False
    if not lesson.scope.steps and lesson.born_at is not None:
        return step.name == lesson.born_at
    return _at(lesson, step)


def lesson_gates(
    rules: Rules, playbook: Playbook, step: Step, agent: str | None, task: str, tags: Collection[str]
) -> tuple[GateSpec, ...]:
    """The lessons' gates that run beside the step's own, named `lesson:ID`, with the level of their status."""
    return tuple(_gates(rules, playbook, step, agent, task, tags))


def _gates(
    rules: Rules, playbook: Playbook, step: Step, agent: str | None, task: str, tags: Collection[str]
) -> Iterator[GateSpec]:
    holdout = rules.settings.lessons.holdout
    for lesson in rules.lessons:
        level = lesson.status.level
        if level is None or lesson.gate is None or not in_scope(lesson, playbook.name, tags):
            continue
        if not gate_stands(lesson, playbook, step, agent):
            continue
        if level is Level.WARN and held_out(lesson.id, task, holdout):
            level = Level.SHADOW
        yield GateSpec.model_validate({**dict(lesson.gate), "name": lesson.gate_name, "level": level})


def held_out(lesson: str, task: str, share: float) -> bool:
    """A coin for each lesson and task, the same whenever it is tossed: whether a warning stays hidden this time."""
    if share <= 0:
        return False
    digest = hashlib.sha256(f"{lesson}/{task}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _agent(lesson: Lesson, agent: str | None) -> bool:
    return not lesson.scope.agents or agent in lesson.scope.agents


def _at(lesson: Lesson, step: Step) -> bool:
    if lesson.scope.steps:
        return step.name in lesson.scope.steps
    return step.kind is StepKind.AGENT
