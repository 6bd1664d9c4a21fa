"""What is backtested: a gate given inline, a lesson's, or those of a playbook, each with where it applies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hqd.cli.board.reading import View
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.codec import layout
from hqd.codec.config import Config, read_config
from hqd.codec.lesson import read_lesson
from hqd.core.gate_use import resolve_gates
from hqd.core.history.backtest import Evidence
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
    """A lesson by file or id, as it stands in the working tree, else on main; `ID@REV` as committed there.

    None: it names no lesson. Raises Usage, Misconfigured.
    """
    if what.endswith(".md"):
        return _lesson_in(call, what)
    name, at, revision = what.partition("@")
    if not re.fullmatch(r"L-[0-9a-z]{4,}", name):
        return None
    config = config_at(call, seen, revision if at else None)
    known = {lesson.id: lesson for lesson in config.lessons.values()}
    if name not in known and not at and seen.committed is not None:
        known = {lesson.id: lesson for lesson in seen.committed.lessons.values()}
    if name not in known:
        raise Usage(f"there is no lesson {name}{_at(revision)}", remedy=meant(name, known))
    return of_lesson(known[name], _others(config, name))


def _lesson_in(call: Call, what: str) -> Tested:
    root = call.root()
    path = next((path for path in (call.cwd / what, root / what) if path.is_file()), None)
    if path is None:
        raise Usage(f"there is no file {what}", remedy="name a lesson by its id or its file")
    lesson, problems = read_lesson(path.read_bytes(), path.name, named=False)
    if lesson is None:
        raise Misconfigured(str(problems[0]) if problems else f"{what}: not a lesson")
    return of_lesson(lesson, _others(read_config(FolderReader(root)), lesson.id))


def config_at(call: Call, seen: View, revision: str | None) -> Config:
    """Settings, playbooks and lessons as committed at `revision`, else as they are in the working tree.

    Raises Usage for a commit that is not there, Misconfigured where hqd.toml cannot be read: gates may be named there.
    """
    reader = FolderReader(call.root()) if revision is None else seen.at(revision)
    if revision is not None and reader.read(layout.SETTINGS) is None:
        raise Usage(f"there is no {layout.SETTINGS} at {revision}", remedy="name a commit of this HQ")
    config = read_config(reader)
    if config.settings is None:
        faults = [str(problem) for problem in config.problems if problem.path == layout.SETTINGS]
        raise Misconfigured("; ".join(faults) or f"{layout.SETTINGS} cannot be read", remedy="`hqd check` says more")
    return config


def _at(revision: str) -> str:
    return f" at {revision}" if revision else ""


def _others(config: Config, own: str) -> tuple[Lesson, ...]:
    return tuple(lesson for lesson in config.lessons.values() if lesson.id != own)


def gate_at(call: Call, seen: View, what: str, scope: Scope) -> Given | None:
    """A named gate of hqd.toml (`NAME`, with `@REV` as committed there).

    None: there is none of that name, or a playbook has it. Raises Usage.
    """
    name, at, revision = what.partition("@")
    config = config_at(call, seen, revision if at else None)
    known = _gates(config)
    if name not in known or name in config.by_name:
        return None
    spec = resolve_gates((name,), known)[0]
    return Given((Tested(spec, scope, Evidence(terms=terms(spec))),), what)


def playbook_at(call: Call, seen: View, what: str, step: str | None) -> Given:
    """The gates of a playbook (`NAME` or `FILE`, with `@REV` as committed there). Raises Usage, Misconfigured."""
    name, at, revision = what.partition("@")
    config = config_at(call, seen, revision if at else None)
    playbook = _playbook(config, name, _at(revision))
    settings = _gates(config)
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


def _gates(config: Config) -> Mapping[str, GateSpec]:
    return config.settings.gates if config.settings is not None else {}


def _playbook(config: Config, name: str, when: str) -> Playbook:
    known = config.by_name
    if name in known:
        return known[name]
    path = name if name.startswith(f"{layout.PLAYBOOKS}/") else f"{layout.PLAYBOOKS}/{name}"
    found = config.playbooks.get(path)
    if found is not None:
        return found
    faults = [str(each) for each in config.problems if each.stops and each.path in (path, f"{path}.toml")]
    if faults:
        raise Misconfigured(faults[0], remedy="`hqd check` says more")
    raise Usage(f"there is no playbook or gate {name}{when}", remedy=meant(name, (*known, *_gates(config))))
