"""Whether a lesson is true: red on its failures, green on their corrections, quiet on accepted work. Pure.

What texts say is asked through `verdict` (a gate on a text: True green, False red, None it cannot judge); what history
says comes as a finished backtest. Every rule gives one line, also those that hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hqd.core.history.admission import admit
from hqd.core.history.backtest import Backtest
from hqd.core.lessons.conflict import contradict, may_meet, same_topic
from hqd.core.lessons.mutants import hunks, mutants
from hqd.core.lessons.rules import within_cap
from hqd.core.lessons.suggest import literals
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson, LessonStatus

Verdict = Callable[[GateSpec, str], bool | None]

FALSE_POSITIVES = "false positives"
MUTANTS = 20
ENOUGH_MUTANTS = 0.5
"""Share of mutants at which the gate has to fire: the failure put somewhere else is not always the failure."""


class Mark(StrEnum):
    """`open`: cannot be known here, which stops nothing."""

    OK = "ok"
    RED = "red"
    WARNING = "warning"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    mark: Mark
    text: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One case of evidence as texts. None: there is none, or (`gone`) it cannot be read any more."""

    name: str
    bad: str | None
    good: str | None
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a check looks at. `accepted`: texts of accepted outputs in the lesson's scope; `others`: further texts
    (rejected ones, tasks) in which a literal may stand; `backtest` None: there is no history here."""

    exhibits: Sequence[Exhibit]
    accepted: Sequence[str] = ()
    others: Sequence[str] = ()
    backtest: Backtest | None = None


def check(
    lesson: Lesson, found: Evidence, book: Sequence[Lesson], verdict: Verdict, *, max_fpr: float, cap: int
) -> tuple[Finding, ...]:
    """One line for each rule. `book`: all lessons; `cap`: tokens of lessons in one prompt."""
    return (
        *_evidence(lesson, found.exhibits, verdict),
        *_history(lesson, found, max_fpr),
        *_mutation(lesson, found, verdict),
        *_conflicts(lesson, found.exhibits, book, verdict),
        *_context(lesson, book, cap),
        *_overfit(lesson, found),
    )


def unmeasured(findings: Sequence[Finding]) -> str | None:
    """Why history says nothing yet of what the gate stops; None: it does, or it has no gate."""
    return next((each.text for each in findings if each.rule == FALSE_POSITIVES and each.mark is Mark.OPEN), None)


def red(findings: Sequence[Finding]) -> bool:
    return any(each.mark is Mark.RED for each in findings)


def _evidence(lesson: Lesson, exhibits: Sequence[Exhibit], verdict: Verdict) -> Iterator[Finding]:
    for each in exhibits:
        if each.gone:
            yield Finding("evidence", Mark.WARNING, f"{each.name}: {each.gone}")
    here = [each for each in exhibits if each.bad is not None]
    if not here:
        yield Finding("evidence", Mark.RED, "none of its evidence can be read: nothing shows that it is true")
        return
    if lesson.gate is None:
        waits = lesson.context is not None or lesson.status is LessonStatus.RECORDED
        text = "it has no gate: nothing can be tested"
        yield Finding("gate", Mark.OPEN if waits else Mark.RED, text)
        return
    missed = [each for each in here if verdict(lesson.gate, each.bad or "") is not False]
    if len(missed) == len(here):
        yield Finding("red on evidence", Mark.RED, f"it never fires: green on all {len(here)} failed outputs")
    elif missed:
        text = f"green on {missed[0].name}, one of {len(missed)} of {len(here)} failed outputs that it lets through"
        yield Finding("red on evidence", Mark.RED, text)
    else:
        yield Finding("red on evidence", Mark.OK, f"red on {len(here)} of {len(here)} failed outputs")
    good = [each for each in exhibits if each.good is not None]
    wrong = [each for each in good if verdict(lesson.gate, each.good or "") is not True]
    if not good:
        yield Finding("green on correction", Mark.WARNING, "no correction is known: it may fire on everything")
    elif wrong:
        always = f"it fires on all {len(good)} corrections" if len(wrong) == len(good) else f"red on {wrong[0].name}"
        yield Finding("green on correction", Mark.RED, always)
    else:
        yield Finding("green on correction", Mark.OK, f"green on {len(good)} of {len(good)} corrections")


def _history(lesson: Lesson, found: Evidence, max_fpr: float) -> Iterator[Finding]:
    if lesson.gate is None:
        return
    test = found.backtest
    if test is None or test.figures.counts.decided == 0:
        yield Finding(FALSE_POSITIVES, Mark.OPEN, "no output was decided on by a person yet: not measurable")
        return
    stops = lesson.status is LessonStatus.ENFORCE
    said = admit(test, max_fpr=max_fpr, untested=not stops)
    strict = test.figures.strict_fpr
    counts = test.figures.counts
    flagged = counts.fp + counts.other
    text = f"{strict} of outputs without the fault; fires on {flagged} of them"
    if said.admitted and said.tested:
        yield Finding(FALSE_POSITIVES, Mark.OK, text)
    elif said.admitted:  # quiet, which a gate that never fires is too
        yield Finding(FALSE_POSITIVES, Mark.OPEN, f"{text}; {said.reasons[-1]}")
    else:
        yield Finding(FALSE_POSITIVES, Mark.RED, "; ".join(said.reasons))


def _mutation(lesson: Lesson, found: Evidence, verdict: Verdict) -> Iterator[Finding]:
    if lesson.gate is None:
        return
    pairs = [(each.good, each.bad) for each in found.exhibits if each.good is not None and each.bad is not None]
    fired = made = 0
    for good, bad in pairs:
        correction = hunks(good, bad)
        for text in mutants([each for each in found.accepted if each != good], correction, MUTANTS):
            made += 1
            fired += verdict(lesson.gate, text) is False
        if made >= MUTANTS:
            break
    if not made:
        yield Finding("mutation", Mark.OPEN, "no accepted output takes the failure: not measurable")
    elif fired < ENOUGH_MUTANTS * made:
        text = f"fires on {fired} of {made} accepted outputs with the failure put back: it knows one case by heart"
        yield Finding("mutation", Mark.RED, text)
    else:
        yield Finding("mutation", Mark.OK, f"fires on {fired} of {made} accepted outputs with the failure put back")


def _conflicts(
    lesson: Lesson, exhibits: Sequence[Exhibit], book: Sequence[Lesson], verdict: Verdict
) -> Iterator[Finding]:
    """Lessons on one topic that cannot both be met; a topic that three lessons are about wants one rule."""
    alike = [each for each in book if each.id != lesson.id and each.in_force and same_topic(lesson, each)]
    alike = [each for each in alike if each.id not in lesson.supersedes and lesson.id not in each.supersedes]
    clash = False
    for other in alike:
        if not may_meet(lesson, other):
            continue
        why = contradict(lesson.gate, other.gate)
        corrected = [each.good for each in exhibits if each.good is not None]
        if why is None and other.gate is not None and corrected:
            turned = [text for text in corrected if verdict(other.gate, text) is False]
            why = "what corrects this one is red there" if len(turned) == len(corrected) else None
        if why is not None:
            clash = True
            yield Finding("topic", Mark.RED, f"contradicts {other.id} on {lesson.topic}: {why}")
    if not clash:
        yield Finding("topic", Mark.OK, f"no conflict on {lesson.topic}" if lesson.topic else "it names no topic")
    if len(alike) >= 2:
        names = ", ".join(sorted([lesson.id, *(each.id for each in alike)]))
        text = f"{names} are about {lesson.topic}: write one rule into the playbook, and retire them"
        yield Finding("bloat", Mark.WARNING, text)


def _context(lesson: Lesson, book: Sequence[Lesson], cap: int) -> Iterator[Finding]:
    if lesson.context is None:
        return
    mine = set(lesson.scope.playbooks)
    beside = [
        each
        for each in book
        if each.id != lesson.id
        and each.context is not None
        and each.status in (LessonStatus.WARN, LessonStatus.ENFORCE)
        and (not mine or not each.scope.playbooks or mine & set(each.scope.playbooks))
    ]
    _kept, leaving = within_cap([*beside, lesson], cap)
    if leaving:
        names = ", ".join(sorted(each.id for each in leaving))
        text = f"lessons take at most {cap} tokens of a prompt: {names} would leave"
        yield Finding("context budget", Mark.RED if lesson in leaving else Mark.WARNING, text)
    else:
        yield Finding("context budget", Mark.OK, f"all lessons' texts fit {cap} tokens")


def _overfit(lesson: Lesson, found: Evidence) -> Iterator[Finding]:
    if lesson.gate is None:
        return
    bad = [each.bad.casefold() for each in found.exhibits if each.bad is not None]
    rest = [text.casefold() for text in (*found.accepted, *found.others)]
    lonely = [
        text
        for text in literals(lesson.gate)
        if sum(text.casefold() in each for each in bad) == 1 and not any(text.casefold() in each for each in rest)
    ]
    if lonely:
        shown = ", ".join(repr(text) for text in lonely[:3])
        yield Finding(
            "overfit", Mark.WARNING, f"{shown} was seen only in the one bad output: it may be that case alone"
        )


def table(found: Backtest | None) -> Mapping[str, object]:
    """What a lesson's file keeps of its backtest: counts, and figures with their intervals as text."""
    if found is None:
        return {}
    figures = found.figures
    counts = figures.counts
    return {
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "tn": counts.tn,
        "other": counts.other,
        "gated": counts.gated,
        "unknown": counts.unknown,
        "precision": str(figures.precision),
        "false_positives": str(figures.strict_fpr),
        "caught": str(figures.caught),
    }
