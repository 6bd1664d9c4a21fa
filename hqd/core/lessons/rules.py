"""Rules about lessons that go beyond one file: ids, gates, scope, context, contradictions. Pure; `hqd/check.py` asks.

An error keeps that one lesson out of force (its last good version stays), never the other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date

from hqd.core.context.tokens import estimate_tokens
from hqd.core.lessons.conflict import contradictions
from hqd.core.screen import flags
from hqd.model.gate import GateSpec, Level
from hqd.model.lesson import IN_FORCE, Lesson, LessonStatus
from hqd.model.playbook import Playbook
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.settings import Settings
from hqd.model.spelling import meant

CheckGate = Callable[[GateSpec], tuple[str, ...]]
_ORDER = {status: place for place, status in enumerate(IN_FORCE)}
_COMMON = ("kind", "level", "target", "when", "not", "message")


def check_lessons(
    lessons: Mapping[str, Lesson], settings: Settings | None, playbooks: Mapping[str, Playbook], check_gate: CheckGate
) -> tuple[Problem, ...]:
    """Everything that is wrong with lessons and between them. `lessons` by path; `playbooks` by name."""
    found: list[Problem] = []
    first: dict[str, str] = {}
    for path, lesson in sorted(lessons.items()):
        if lesson.id in first:
            message = f"{lesson.id} is the id of {first[lesson.id]} already"
            found.append(Problem(path, 0, "", message, "give this one an id of its own", place=("id",)))
        first.setdefault(lesson.id, path)
        found += _one(path, lesson, check_gate)
        found += _scope(path, lesson, settings, playbooks, {each.id for each in lessons.values()})
    found += _contradicting(lessons)
    if settings is not None:
        found += _crowded(lessons, settings, playbooks)
    return tuple(found)


def _one(path: str, lesson: Lesson, check_gate: CheckGate) -> Iterator[Problem]:
    if lesson.gate is not None:
        if lesson.gate.level is not Level.ENFORCE or "level" in lesson.gate.model_fields_set:
            message = "a lesson's gate has the level of its status"
            yield Problem(path, 0, "", message, "remove it", ProblemLevel.WARNING, ("gate", "level"))
        yield from _gate(path, lesson.gate, check_gate)
    if lesson.in_force and lesson.gate is None and lesson.context is None:
        message = f"is in force ({lesson.status.value}), and has neither a gate nor context"
        yield Problem(path, 0, "", message, "give it one, or write status: recorded", place=("status",))
    if lesson.in_force and not lesson.evidence:
        message = "is in force without evidence: nobody can test it"
        yield Problem(path, 0, "", message, "name the failed output", ProblemLevel.WARNING, ("status",))
    if lesson.level is not None and lesson.in_force and _ORDER[lesson.status] > _ORDER[LessonStatus(lesson.level)]:
        message = f"status {lesson.status.value} is above what level allows ({lesson.level.value})"
        yield Problem(path, 0, "", message, "lower the status, or raise the level", place=("level",))
    if lesson.context is not None:
        tokens = estimate_tokens(lesson.context.text)
        if tokens > lesson.context.max_tokens:
            message = f"has about {tokens} tokens, more than max_tokens ({lesson.context.max_tokens})"
            yield Problem(path, 0, "", message, "say it shorter", place=("context", "text"))
        for flag in flags(lesson.context.text)[:1]:
            message = f"is no text for agents: {flag}"
            yield Problem(path, 0, "", message, "write it in plain words", place=("context", "text"))


def _gate(path: str, gate: GateSpec, check_gate: CheckGate) -> Iterator[Problem]:
    for message in check_gate(gate.model_copy(update={"level": Level.WARN})):  # judges may not enforce uncalibrated
        key, _, rest = message.partition(": ")
        known = bool(rest) and (key in gate.params or key in _COMMON)
        place: Place = ("gate", key) if known else ("gate",)
        yield Problem(path, 0, "", rest if known else message, place=place)


def _scope(
    path: str, lesson: Lesson, settings: Settings | None, playbooks: Mapping[str, Playbook], ids: set[str]
) -> Iterator[Problem]:
    """Names that are not there: such a lesson counts nowhere, or not where its author thinks."""
    if lesson.status in (LessonStatus.RETIRED, LessonStatus.RECORDED):
        return
    mine = [playbooks[name] for name in lesson.scope.playbooks if name in playbooks] or list(playbooks.values())
    steps = {step.name for playbook in mine for step in playbook.steps}
    agents = settings.agents if settings is not None else {}
    named: tuple[tuple[Place, str, tuple[str, ...], Collection[str]], ...] = (
        (("scope", "playbooks"), "playbook", lesson.scope.playbooks, playbooks),
        (("scope", "steps"), "step", lesson.scope.steps, steps),
        (("scope", "agents"), "agent", lesson.scope.agents, agents),
        (("supersedes",), "lesson", lesson.supersedes, ids),
    )
    for place, what, names, known in named:
        for index, name in enumerate(names):
            if name not in known:
                message = f"there is no {what} {name}"
                yield Problem(path, 0, "", message, meant(name, known), ProblemLevel.WARNING, (*place, index))
    if lesson.born_at is not None and lesson.born_at not in steps:
        message = f"there is no step {lesson.born_at}: its gate stands nowhere"
        yield Problem(path, 0, "", message, meant(lesson.born_at, steps), ProblemLevel.WARNING, ("born_at",))


def _contradicting(lessons: Mapping[str, Lesson]) -> Iterator[Problem]:
    """The later of two stays out of force until a person has decided: by `created`, then by path."""
    paths = {lesson.id: path for path, lesson in sorted(lessons.items(), reverse=True)}
    aged = sorted(lessons.items(), key=lambda each: (each[1].created or date.min, each[0]))
    in_force = [lesson for _path, lesson in aged if lesson.in_force]
    superseded = {name for lesson in in_force for name in lesson.supersedes}
    for one, other, why in contradictions(in_force):
        if {one.id, other.id} & superseded:
            continue
        message = f"contradicts {one.id} on {other.topic}: {why}"
        remedy = "retire one of them, or narrow their scopes"
        yield Problem(paths[other.id], 0, "", message, remedy, place=("topic",))


def _crowded(lessons: Mapping[str, Lesson], settings: Settings, playbooks: Mapping[str, Playbook]) -> Iterator[Problem]:
    """Playbooks whose lessons' texts do not all fit the cap, and which of them leave."""
    cap = settings.lessons.context_tokens
    for name in playbooks:
        mine = [
            (path, lesson)
            for path, lesson in lessons.items()
            if lesson.context is not None
            and lesson.status in (LessonStatus.WARN, LessonStatus.ENFORCE)
            and (not lesson.scope.playbooks or name in lesson.scope.playbooks)
        ]
        _kept, leaving = within_cap([lesson for _path, lesson in mine], cap)
        for path, lesson in mine:
            if lesson in leaving:
                message = f"may leave prompts of playbook {name}: lessons take at most {cap} tokens there"
                remedy = "let it be a gate only, or raise lessons.context_tokens"
                yield Problem(path, 0, "", message, remedy, ProblemLevel.WARNING, ("context",))


def within_cap(lessons: list[Lesson], cap: int) -> tuple[list[Lesson], list[Lesson]]:
    """Those whose texts fit in `cap` tokens together, the higher level first, then by id; and those that leave."""
    kept: list[Lesson] = []
    left: list[Lesson] = []
    room = cap
    for lesson in sorted(lessons, key=lambda each: (-_ORDER.get(each.status, -1), each.id)):
        tokens = estimate_tokens(lesson.context.text) if lesson.context is not None else 0
        if tokens <= room:
            room -= tokens
            kept.append(lesson)
        else:
            left.append(lesson)
    return kept, left
