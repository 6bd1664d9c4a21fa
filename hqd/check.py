"""Everything that can be known to be wrong with an HQ's files without running anything: `hqd check`, `apply`, `status`.

Codecs find what is wrong inside one file, `core/checks/playbooks.py` what is wrong between them; here both meet, and
every problem gets its line and its key as people see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hqd.codec.config import Config, Reader, read_config
from hqd.codec.document import Document, read_document
from hqd.codec.layout import LESSONS, PLAYBOOKS, SETTINGS, WORKSPACE
from hqd.codec.lesson import read_lesson
from hqd.codec.playbook import read_playbook
from hqd.codec.settings import read_settings
from hqd.codec.task import read_task
from hqd.codec.toml_lines import Toml
from hqd.core.checks.not_in_force import File, not_in_force
from hqd.core.checks.playbooks import Rules, check_rules
from hqd.core.gate_use import spelled_out
from hqd.core.lessons.rules import check_lessons
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson
from hqd.model.problem import Problem, spell
from hqd.model.spelling import meant
from hqd.model.task import TaskDocument

CheckGate = Callable[[GateSpec], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Report:
    """A configuration and all that is wrong with it, in order of file and line."""

    config: Config
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Nothing stops it; warnings may stand."""
        return not any(problem.stops for problem in self.problems)

    @property
    def rules_ok(self) -> bool:
        """As `ok`, lessons aside: a faulty one stays out of force alone."""
        return not any(problem.stops and not problem.path.startswith(f"{LESSONS}/") for problem in self.problems)

    @property
    def lessons_in_force(self) -> dict[str, Lesson]:
        """Lessons in force without a fault, by path, in order of their ids."""
        faulty = {problem.path for problem in self.problems if problem.stops}
        good = [(path, each) for path, each in self.config.lessons.items() if each.in_force and path not in faulty]
        return dict(sorted(good, key=lambda pair: pair[1].id))


def check_reader(reader: Reader, check_gate: CheckGate) -> Report:
    """Reads and checks a whole configuration: one commit, or a working tree behind the same two methods."""
    config = read_config(reader)
    problems = [*config.problems]
    for path, source in config.sources.items():
        if not source.problems:
            problems += not_in_force(_kind(path), path, _raw(source))
    check_gate = _knowing(config, check_gate)
    if config.settings is not None:
        rules = Rules(config.settings, SETTINGS, config.playbooks, PLAYBOOKS, config.texts, config.files, check_gate)
        broken = [problem.path for problem in config.problems if problem.stops]
        problems += _without_echo(check_rules(rules), broken)
    problems += check_lessons(config.lessons, config.settings, config.by_name, check_gate)
    placed = {_placed(problem, config.sources) for problem in problems}
    return Report(config, in_order(placed))


def check_file(path: str, data: bytes, config: Config, check_gate: CheckGate) -> tuple[Problem, ...]:
    """What is wrong with one file, whatever kind it is by its path; a task is checked against `config`."""
    kind = _kind(path)
    check_gate = _knowing(config, check_gate)
    if kind == "settings":
        read = read_settings(data, path)
        return _one(kind, path, read.problems, read.toml)
    if kind == "playbook":
        made = read_playbook(data, path)
        return _one(kind, path, made.problems, made.toml)
    if kind == "lesson":
        lesson, faults = read_lesson(data, path)
        others = {at: each for at, each in config.lessons.items() if at.rpartition("/")[2] != path.rpartition("/")[2]}
        if lesson is not None:
            known = check_lessons({**others, path: lesson}, config.settings, config.by_name, check_gate)
            faults = (*faults, *(problem for problem in known if problem.path == path))
        return _one(kind, path, faults, read_document(data, path))
    task = read_task(data, path)
    document = read_document(data, path)
    found = [*task.problems]
    if task.document is not None:
        found += _task(task.document, path, config, check_gate)
    return _one(kind, path, tuple(found), document)


def _knowing(config: Config, check_gate: CheckGate) -> CheckGate:
    """The same, for gates made of gates that hqd.toml names too."""
    named = config.settings.gates if config.settings is not None else {}
    return lambda gate: check_gate(spelled_out(gate, named))


def in_order(problems: set[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.path, problem.line, problem.key, problem.message)))


def _one(kind: File, path: str, problems: tuple[Problem, ...], source: Toml | Document) -> tuple[Problem, ...]:
    later = not_in_force(kind, path, _raw(source)) if not source.problems else ()
    return in_order({_placed(problem, {path: source}) for problem in (*problems, *later)})


def _task(document: TaskDocument, path: str, config: Config, check_gate: CheckGate) -> list[Problem]:
    """A task against the configuration: its playbook, its gates, a budget that lets nothing run."""
    header, found = document.header, []
    names = config.by_name
    if header.playbook is not None and header.playbook not in names:
        message = f"there is no playbook {header.playbook}"
        found.append(Problem(path, 0, "", message, meant(header.playbook, names), place=("playbook",)))
    repos = config.settings.repos if config.settings is not None else {}
    if header.repo is not None and header.repo not in repos:
        message = f"there is no repository {header.repo} in {SETTINGS}"
        remedy = meant(header.repo, repos) if repos else f"add [repos.{header.repo}] with its url"
        found.append(Problem(path, 0, "", message, remedy, place=("repo",)))
    known = config.settings.gates if config.settings is not None else {}
    for index, gate in enumerate(header.gates):
        if isinstance(gate, GateSpec):
            found += [Problem(path, 0, "", wrong, place=("gates", index)) for wrong in check_gate(gate)]
        elif gate not in known and check_gate(GateSpec(name=str(gate), kind=str(gate))):
            message = f"there is no gate {gate} in {SETTINGS}"
            found.append(Problem(path, 0, "", message, meant(str(gate), known), place=("gates", index)))
    if header.budget is not None:
        for key in ("cost_usd", "tokens"):
            if getattr(header.budget, key) == 0:
                place = ("budget", key)
                found.append(Problem(path, 0, "", "a budget of zero lets nothing run", "set a sum", place=place))
    return found


def _without_echo(problems: tuple[Problem, ...], broken: list[str]) -> list[Problem]:
    """No `there is no playbook X` while X's own file is what is broken: one fault, one line."""
    stems = {path.removeprefix(f"{PLAYBOOKS}/").removesuffix(".toml") for path in broken}
    return [
        problem for problem in problems if not any(problem.message == f"there is no playbook {stem}" for stem in stems)
    ]


def _placed(problem: Problem, sources: Mapping[str, Toml | Document]) -> Problem:
    source = sources.get(problem.path)
    if source is None or not problem.place or problem.line:
        return problem
    key = problem.key or spell(problem.place, _raw(source))
    return replace(problem, line=source.line(problem.place), key=key)


def _raw(source: Toml | Document) -> Mapping[str, object]:
    return source.values if isinstance(source, Toml) else source.header


def _kind(path: str) -> File:
    if path.endswith(".toml"):
        return "settings" if path.rpartition("/")[2] == SETTINGS else "playbook"
    if path.startswith(f"{LESSONS}/") or (path.rpartition("/")[2].startswith("L-") and WORKSPACE not in path):
        return "lesson"
    return "task"
