"""What lessons were worth, from records alone, and what follows: promotion, retirement, one rule for many. Pure.

A save is a candidate until an audit or a hidden verdict confirms it: that a gate stopped something does not say that a
person would have. Figures carry counts and intervals. Recurrence leaves out the tasks that the lesson came from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from hqd.core.history.admission import admit
from hqd.core.history.backtest import Evidence, Judged, backtest
from hqd.core.lessons.proposal import raised
from hqd.core.lessons.suggest import literals
from hqd.core.lessons.teaching import WRONG_ACCEPTANCE, signature
from hqd.core.report.share import Share
from hqd.model.corpus import Case, Label
from hqd.model.gate import GateStatus, Level
from hqd.model.lesson import Lesson, LessonStatus
from hqd.model.settings import LessonSettings

DAY = 86_400.0
FEW = 5
"""Decided firings below which nothing is said of a lesson's precision."""


class Seen(NamedTuple):
    """One attempt that a lesson's gate looked at. `alone`: no other enforcing gate stopped it; `case`: its output;
    `shown`: what the gate said and pointed at."""

    task: str
    level: Level
    status: GateStatus
    alone: bool
    cost: float
    at: float
    case: Case | None
    shown: str = ""

    @property
    def fired(self) -> bool:
        return self.status is GateStatus.FAIL

    @property
    def hidden(self) -> bool:
        return self.level is Level.SHADOW

    @property
    def label(self) -> Label | None:
        return self.case.label if self.case is not None and self.case.label.decided else None


@dataclass(frozen=True, slots=True)
class Worth:
    """`candidates`: stopped by the lesson alone; `saves`: confirmed by a person who did not see the verdict, or by an
    audit. `net_usd` None: the rework that a save spares is not known."""

    lesson: str
    exposures: int
    tasks: int
    hits: int
    candidates: int
    saves: int
    false_positives: int
    escapes: int
    recurrence: Share
    precision: Share  # of firings that people decided on without having seen them
    told: int  # prompts with its text
    tokens: int
    net_usd: float | None
    last_hit: float | None

    def facts(self) -> dict[str, object]:
        return {
            "exposures": self.exposures,
            "tasks": self.tasks,
            "hits": self.hits,
            "save_candidates": self.candidates,
            "saves": self.saves,
            "false_positives": self.false_positives,
            "escapes": self.escapes,
            "recurrence": self.recurrence.facts(),
            "precision": self.precision.facts(),
            "prompts": self.told,
            "tokens": self.tokens,
            "net_usd": self.net_usd,
        }


def worth(lesson: Lesson, seen: Sequence[Seen], told: int, tokens: int, token_usd: float) -> Worth:
    """`told`: prompts that carried its text; `tokens`: of them all; `token_usd`: dollars for one token."""
    looked = [each for each in seen if each.status in (GateStatus.PASS, GateStatus.FAIL)]
    hits = [each for each in looked if each.fired]
    own = {each.task for each in lesson.evidence}
    free = [each for each in looked if each.task not in own]
    judged = [each for each in hits if _unbiased(each) and each.label is not None]
    bad = sum(each.label is Label.REJECTED for each in judged)
    escapes = [each for each in looked if not each.fired and _same_fault(lesson, each)]
    candidates = [each for each in hits if each.level is Level.ENFORCE and each.alone]
    false = [each for each in hits if each.label is Label.ACCEPTED]
    saves = [each for each in judged if each.label is Label.REJECTED]
    again = sum(each.fired or _same_fault(lesson, each) for each in free)
    net = None
    if lesson.rework_usd is not None:
        retries = sum(each.cost for each in hits if each.level is Level.ENFORCE)
        net = round(len(saves) * lesson.rework_usd - retries - tokens * token_usd, 4)
    return Worth(
        lesson.id,
        len(looked),
        len({each.task for each in looked}),
        len(hits),
        len(candidates),
        len(saves),
        len(false),
        len(escapes),
        Share(again, len(free)),
        Share(bad, len(judged)),
        told,
        tokens,
        net,
        max((each.at for each in hits), default=None),
    )


@dataclass(frozen=True, slots=True)
class Advice:
    """What the numbers say of one lesson. `status` None: leave it as it is, for the reason in `why`."""

    lesson: str
    status: LessonStatus | None
    why: tuple[str, ...]


def advise(
    lesson: Lesson,
    seen: Sequence[Seen],
    book: Collection[Lesson],
    settings: LessonSettings,
    still: Mapping[str, bool],
    now: float,
    today: date,
) -> Advice:
    """Promotion, retirement, or neither. `still`: blob of an output that was rejected -> whether the gate fires on what
    people took instead."""
    superseding = [each.id for each in book if each.in_force and lesson.id in each.supersedes and each.id != lesson.id]
    if superseding:
        return Advice(lesson.id, LessonStatus.RETIRED, (f"superseded by {', '.join(sorted(superseding))}",))
    found = worth(lesson, seen, 0, 0, 0.0)
    old = lesson.review_after is not None and today > lesson.review_after
    if old and found.exposures >= settings.idle_exposures and not found.hits:
        why = f"no hit in {found.exposures} exposures, and past review_after ({lesson.review_after})"
        return Advice(lesson.id, LessonStatus.RETIRED, (why,))
    if found.precision.n >= FEW and found.precision.high < 0.5:
        why = f"precision {found.precision}: most of what it flags people accept"
        return Advice(lesson.id, LessonStatus.RETIRED, (why,))
    return _promotion(lesson, seen, settings, still, now)


def _promotion(
    lesson: Lesson, seen: Sequence[Seen], settings: LessonSettings, still: Mapping[str, bool], now: float
) -> Advice:
    status = raised(lesson)
    if status is None:
        return Advice(lesson.id, None, (f"stays {lesson.status.value}",))
    if lesson.gate is None:
        return Advice(lesson.id, None, ("it has no gate: a person decides on its text",))
    wanted = settings.sample if status is LessonStatus.WARN else 2 * settings.sample
    known = clusters(seen, now - settings.label_days * DAY)
    if len(known) < wanted:
        why = f"{len(known)} of {wanted} decided outputs with hidden verdicts and labels of {settings.label_days} days"
        more = lesson.status is LessonStatus.WARN and settings.holdout == 0
        hint = ("labels after a visible warning do not count: set lessons.holdout to go on counting",) if more else ()
        return Advice(lesson.id, None, (why, *hint))
    first = known[:wanted]  # fixed beforehand: what came later is not looked at, or the best moment would be picked
    judged = [
        Judged(case, each.fired, still.get(case.blob), each.shown) for each in first if (case := each.case) is not None
    ]
    test = backtest(judged, evidence=barred(lesson))
    said = admit(test, max_fpr=settings.max_false_positive_rate, untested=status is LessonStatus.WARN)
    figures = (
        f"{wanted} decided outputs, the first of those claimed after its merge",
        f"precision {test.figures.precision}, false positives {test.figures.strict_fpr}",
    )
    if said.admitted:
        return Advice(lesson.id, status, figures)
    return Advice(lesson.id, None, (*figures, *said.reasons))


def barred(lesson: Lesson) -> Evidence:
    """A lesson is never judged by the cases that it came from; what it looks for names its cause."""
    return Evidence(
        tasks=frozenset(each.task for each in lesson.evidence if each.task is not None),
        shown=frozenset(each.blob for each in lesson.evidence if each.blob is not None),
        own=lesson.class_,
        terms=frozenset(text.casefold() for text in literals(lesson.gate)) if lesson.gate is not None else frozenset(),
    )


def clusters(seen: Iterable[Seen], before: float) -> list[Seen]:
    """One decided output with a hidden verdict for each cluster, by the time at which its label became known."""
    found: dict[str, Seen] = {}
    usable = (
        each
        for each in seen
        if each.hidden
        and each.label is not None
        and each.case is not None
        and each.case.known_at <= before
        and each.status in (GateStatus.PASS, GateStatus.FAIL)
    )
    for each in sorted(usable, key=lambda one: (one.case.known, one.task, one.case.n) if one.case else (0, "", 0)):
        if each.case is not None:
            found.setdefault(each.case.cluster, each)
    return list(found.values())


def crowded_topics(book: Iterable[Lesson]) -> dict[str, tuple[str, ...]]:
    """Topics that three lessons in force or more are about: one rule in the playbook would say it once."""
    found: dict[str, list[str]] = {}
    for each in book:
        if each.in_force and each.topic:
            found.setdefault(each.topic.strip().casefold(), []).append(each.id)
    return {topic: tuple(sorted(ids)) for topic, ids in sorted(found.items()) if len(ids) >= 3}


def _unbiased(each: Seen) -> bool:
    """A person judged it without having seen the verdict."""
    return each.hidden or (each.case is not None and each.case.probability < 1)


def _same_fault(lesson: Lesson, each: Seen) -> bool:
    """Whether a person turned down what the gate let through, in the words that the lesson is about."""
    case = each.case
    if each.fired or case is None or case.label is not Label.REJECTED or lesson.signature is None:
        return False
    return signature(WRONG_ACCEPTANCE, case.playbook or "", case.step, case.reason) == lesson.signature
