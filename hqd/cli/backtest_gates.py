"""What is backtested: a gate given inline, a lesson's, or those of a playbook, each with where it applies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.cli.reading import View
from hqd.codec import layout
from hqd.codec.config import Config, read_config
from hqd.codec.lesson import read_lesson
from hqd.core.backtest import Evidence
from hqd.core.gate_use import resolve_gates
from hqd.errors import Misconfigured, Usage
from hqd.model.corpus import Case
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson, Scope
from hqd.model.playbook import Playbook
from hqd.model.spelling import meant

_LITERAL = re.compile(r"\w{4,}")


@dataclass(frozen=True, slots=True)
class Tested:
    """One gate, where it applies, and what it was made from."""

    spec: GateSpec
    scope: Scope = field(default_factory=Scope)
    evidence: Evidence = field(default_factory=Evidence)
    label: str = ""  # for people: the lesson, or playbook/step

    def covers(self, case: Case) -> bool:
        """By playbook, step and agent; a case knows no tags of its task."""
        scope = self.scope
        return (
            (not scope.playbooks or case.playbook in scope.playbooks)
            and (not scope.steps or case.step in scope.steps)
            and (not scope.agents or case.agent in scope.agents)
        )


@dataclass(frozen=True, slots=True)
class Given:
    """Gates to be tested. `many`: of a playbook, to be judged one by one and together."""

    gates: tuple[Tested, ...]
    name: str
    many: bool = False
    named: Mapping[str, GateSpec] = field(default_factory=dict)  # gates of the hqd.toml that they were read beside


def of_lesson(lesson: Lesson, others: tuple[Lesson, ...] = ()) -> Tested:
    """A lesson's gate; its own evidence is left out with all its cluster, others' evidence tells causes apart.

    Raises Usage where it has no gate.
    """
    if lesson.gate is None:
        raise Usage(f"{lesson.id} has no gate", remedy="a backtest runs gates; give the lesson one")
    blobs = {
        case.blob: other.class_
        for other in (*others, lesson)
        if other.class_ is not None
        for case in other.evidence
        if case.blob is not None
    }
    evidence = Evidence(
        tasks=frozenset(case.task for case in lesson.evidence if case.task is not None),
        shown=frozenset(case.blob for case in lesson.evidence if case.blob is not None),
        blobs=blobs,
        own=lesson.class_,
        terms=terms(lesson.gate),
    )
    return Tested(lesson.gate, lesson.scope, evidence, lesson.id)


def terms(spec: GateSpec) -> frozenset[str]:
    """The literal words that a gate looks for: what a person would say to name its fault."""
    return frozenset(term for key, value in spec.params.items() for term in _terms(key, value))


def _terms(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if key in ("values", "value", "words", "text"):
            yield value.strip().lower()
        elif key in ("pattern", "patterns"):
            yield from (found.lower() for found in _LITERAL.findall(value))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _terms(key, each)


def lesson_at(call: Call, seen: View, what: str) -> Tested | None:
    """A lesson by id or file, as it stands in the working tree, else on main; None: it names none. Raises Usage,
    Misconfigured."""
    root = call.root()
    reader = FolderReader(root)
    here = call.cwd / what
    if what.endswith(".md") and here.is_file():
        lesson, problems = read_lesson(here.read_bytes(), Path(what).name, named=False)
        if lesson is None:
            raise Misconfigured(str(problems[0]) if problems else f"{what}: not a lesson")
        return of_lesson(lesson, _others(read_config(reader), lesson.id))
    if not re.fullmatch(r"L-[0-9a-z]{4,}", what):
        return None
    config = read_config(reader)
    known = {lesson.id: lesson for lesson in config.lessons.values()}
    if what not in known and seen.committed is not None:
        known = {lesson.id: lesson for lesson in seen.committed.lessons.values()}
    if what not in known:
        raise Usage(f"there is no lesson {what}", remedy=meant(what, known))
    return of_lesson(known[what], _others(config, what))


def _others(config: Config, own: str) -> tuple[Lesson, ...]:
    return tuple(lesson for lesson in config.lessons.values() if lesson.id != own)


def playbook_at(call: Call, seen: View, what: str, step: str | None) -> Given:
    """The gates of a playbook (`NAME` or `FILE`, with `@REV` as committed there). Raises Usage, Misconfigured."""
    name, at, revision = what.partition("@")
    if at:
        try:
            config = read_config(seen.history.tree(revision))
        except KeyError:
            raise Usage(f"there is no commit {revision!r}") from None
    else:
        config = read_config(FolderReader(call.root()))
    playbook = _playbook(config, name)
    settings = config.settings.gates if config.settings is not None else {}
    steps = [each for each in playbook.steps if step is None or each.name == step]
    if not steps:
        raise Usage(f"playbook {playbook.name} has no step {step!r}")
    found = [
        Tested(spec, Scope(playbooks=(playbook.name,), steps=(each.name,)), Evidence(terms=terms(spec)), each.name)
        for each in steps
        if each.agent is not None
        for spec in resolve_gates((*each.gates, *playbook.gates), settings)
    ]
    if not found:
        raise Usage(f"playbook {playbook.name} has no gates on agent steps")
    return Given(tuple(found), what, many=True, named=settings)


def _playbook(config: Config, name: str) -> Playbook:
    known = config.by_name
    if name in known:
        return known[name]
    path = name if name.startswith(f"{layout.PLAYBOOKS}/") else f"{layout.PLAYBOOKS}/{name}"
    found = config.playbooks.get(path)
    if found is not None:
        return found
    wrong = next((str(problem) for problem in config.problems if problem.path == path), "")
    raise Usage(f"there is no playbook {name}", remedy=wrong or meant(name, known))
