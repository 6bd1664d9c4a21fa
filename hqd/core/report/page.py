"""The report as sections: headings, tables, notes, charts. What text, markdown, html and a terminal are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hqd.core.lessons.worth import Worth
from hqd.core.report.agents import AgentRow, agents
from hqd.core.report.deaths import Death, deaths
from hqd.core.report.lessons import LessonRow, Without, lesson_rows, without_lessons
from hqd.core.report.outcomes import Outcomes, outcomes
from hqd.core.report.people import PlaybookRow, playbooks
from hqd.core.report.recovery import Row, recovery
from hqd.core.report.share import Share, dollars, percent, span
from hqd.core.report.story import Story
from hqd.core.report.weeks import Week, weeks
from hqd.model.task import State

MOST_DEATHS = 25
MOST_STOPPED = 200
REACHED = "among outputs that reached a human"


@dataclass(frozen=True, slots=True)
class Report:
    """All figures. `remarks`: what of history is missing, and what that means for them."""

    since: datetime | None
    playbook: str | None
    outcomes: Outcomes
    weeks: tuple[Week, ...]
    playbooks: tuple[PlaybookRow, ...]
    deaths: tuple[Death, ...]
    agents: tuple[AgentRow, ...]
    recovery: tuple[Row, ...]
    lessons: tuple[LessonRow, ...]
    without: Without | None = None
    remarks: tuple[str, ...] = ()
    worth: tuple[Worth, ...] = ()  # over all of history, whatever was asked for


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar for each row: its name and a share of 0 to 1 with its interval."""

    rows: tuple[tuple[str, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Shares of 0 to 1 over time. A series: its name and (value, low, high) for each label; None: nothing known."""

    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[tuple[float, float, float] | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Counts over time, stacked: each series with one number for each label."""

    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    charts: tuple[tuple[str, Bars | Lines | Columns], ...] = ()  # with their captions


def figures(
    stories: Sequence[Story],
    begin: datetime | None = None,
    playbook: str | None = None,
    *,
    without: bool = False,
    remarks: Sequence[str] = (),
    worth: Sequence[Worth] = (),
) -> Report:
    """The report over stories; `playbook`: of that one alone."""
    chosen = [story for story in stories if playbook is None or story.playbook == playbook]
    alive = [story for story in chosen if begin is None or story.last >= begin]
    facts = ([fact for fact in story.facts if begin is None or fact.at >= begin] for story in alive)
    return Report(
        since=begin,
        playbook=playbook,
        outcomes=outcomes(alive, begin),
        weeks=weeks(alive, begin),
        playbooks=playbooks(alive, begin),
        deaths=deaths(each for story in alive for each in story.since(begin)),
        agents=agents(alive, begin),
        recovery=recovery(facts),
        lessons=lesson_rows(alive, begin),
        without=without_lessons(alive, begin) if without else None,
        remarks=tuple(remarks),
        worth=tuple(worth),
    )


def headline(report: Report) -> tuple[tuple[str, str], ...]:
    """The figures that a person wants first: name and value."""
    found = report.outcomes
    states = ", ".join(f"{count} {state}" for state, count in sorted(found.states.items(), key=lambda each: -each[1]))
    return (
        ("tasks", f"{found.tasks} ({states})" if states else "none"),
        ("clean", f"{found.clean} {REACHED}"),
        ("first pass", f"{found.first_pass} of first tries at a step"),
        ("needed a person's help", f"{found.helped} of tasks that ended"),
        ("time to done", f"median {span(found.took[0])}, 90 % within {span(found.took[1])}"),
        ("cost", _cost(found)),
        ("cost per accepted result", _result(found)),
    )


def _cost(found: Outcomes) -> str:
    tries = "in 1 try" if found.tries == 1 else f"in {found.tries} tries"
    if found.unpriced and not found.cost:
        return f"unknown {tries}: none told what it cost"
    least = "at least " if found.unpriced else ""
    return f"{least}{dollars(found.cost)} {tries}" + (f", {found.unpriced} told no cost" if found.unpriced else "")


def _result(found: Outcomes) -> str:
    if found.result is not None:
        return f"{'at least ' if found.unpriced else ''}{dollars(found.result)}"
    return "unknown: no try told what it cost" if found.states.get(State.DONE.value) else "none is done yet"


def sections(report: Report) -> tuple[Section, ...]:
    """The parts in order; those that have nothing to say are left out."""
    found = [
        _trend(report.weeks),
        _playbooks(report.playbooks),
        _rework(report.outcomes),
        _deaths(report.deaths),
        _agents(report.agents),
        recovery_section(report.recovery),
        _lessons(report.lessons),
        _worth(report.worth),
    ]
    if report.without is not None:
        found.append(_without(report.without))
    return tuple(section for section in found if section.rows or section.key == "without_lessons")


def _trend(rows: Sequence[Week]) -> Section:
    labels = tuple(week.name for week in rows)
    return Section(
        "weeks",
        "By week",
        ("week", "done", "dropped", "clean", "first pass", "tries", "cost", "per result"),
        tuple(
            (
                week.name,
                str(week.done),
                str(week.dropped),
                str(week.clean),
                str(week.first_pass),
                str(week.tries),
                dollars(week.cost),
                dollars(week.result) if week.result is not None else "—",
            )
            for week in rows
        ),
        charts=(
            (
                "Clean and first pass by week, with 95 % intervals",
                Lines(
                    labels,
                    (
                        ("clean", tuple(_point(week.clean) for week in rows)),
                        ("first pass", tuple(_point(week.first_pass) for week in rows)),
                    ),
                ),
            ),
            (
                "Tasks that ended, by week",
                Columns(
                    labels,
                    (
                        ("done", tuple(float(week.done) for week in rows)),
                        ("dropped", tuple(float(week.dropped) for week in rows)),
                    ),
                ),
            ),
        ),
    )


def _point(found: Share) -> tuple[float, float, float] | None:
    return None if found.rate is None else (found.rate, found.low, found.high)


def _playbooks(rows: Sequence[PlaybookRow]) -> Section:
    notes = [
        f"{row.playbook or 'no playbook'}: {row.skipped} reviews skipped by its record, "
        + (f"{span(row.earned)} of waiting for people earned back" if row.earned is not None else "time not measurable")
        for row in rows
        if row.skipped
    ]
    return Section(
        "playbooks",
        "Playbooks",
        (
            "playbook",
            "tasks",
            "done",
            "clean",
            "first pass",
            "reviews",
            "median wait",
            "skipped",
            "helped",
            "per result",
        ),
        tuple(
            (
                row.playbook or "—",
                str(row.tasks),
                str(row.done),
                str(row.clean),
                str(row.first_pass),
                str(row.reviews),
                span(row.wait),
                str(row.skipped),
                str(row.helped),
                dollars(row.result) if row.result is not None else "—",
            )
            for row in rows
        ),
        tuple(notes),
    )


def _rework(found: Outcomes) -> Section:
    waits = "; ".join(f"{what} {span(value)}" for what, value in found.waits.items() if value is not None)
    return Section(
        "rework",
        "Rework",
        ("why tried again", "tries", "cost", "of all dollars"),
        tuple((row.cause, str(row.tries), dollars(row.cost), percent(row.part)) for row in found.rework),
        (f"median of a done task: {waits}",) if waits else (),
    )


def _deaths(rows: Sequence[Death]) -> Section:
    shown = rows[:MOST_DEATHS]
    more = len(rows) - len(shown)
    return Section(
        "deaths",
        "Where attempts die",
        ("playbook/step", "of", "died", "cost"),
        tuple((f"{row.playbook}/{row.step}", row.cause, str(row.died), dollars(row.cost)) for row in shown),
        ("An attempt that two gates stop is in both rows.", *((f"{more} rarer causes are left out.",) if more else ())),
        (
            (
                "Share of a step's tries that die of this, with 95 % intervals",
                Bars(
                    tuple(
                        (f"{row.step}: {row.cause}", row.died.rate or 0.0, row.died.low, row.died.high)
                        for row in shown[:12]
                    )
                ),
            ),
        ),
    )


def _agents(rows: Sequence[AgentRow]) -> Section:
    return Section(
        "agents",
        "Agents side by side",
        ("playbook/step", "agent", "first pass", "passed", "clean", "a try", "per pass", "median", "fails by"),
        tuple(
            (
                f"{row.playbook}/{row.step}",
                row.agent + (f" ({', '.join(row.models)})" if row.models else ""),
                str(row.first_pass),
                str(row.passed),
                str(row.clean),
                dollars(row.cost) if row.cost is not None else "—",
                dollars(row.per_pass) if row.per_pass is not None else "—",
                span(row.wall),
                row.fails_by or "—",
            )
            for row in rows
        ),
        ("No experiment: an agent that a ladder calls last meets what others failed at. Compare first tries.",),
    )


def recovery_section(rows: Sequence[Row]) -> Section:
    """What each rung is worth; also a report of its own."""
    never = [
        f"{row.rung} after {row.failure} has never helped: 0 of {row.tried}, at most {percent(row.high)}"
        for row in rows
        if row.never
    ]
    return Section(
        "recovery",
        "Recovery",
        ("class", "rung", "accepted of tried", "cost"),
        tuple((row.failure, row.rung, str(Share(row.accepted, row.tried)), dollars(row.cost)) for row in rows),
        tuple(never),
    )


def _lessons(rows: Sequence[LessonRow]) -> Section:
    return Section(
        "lessons",
        "Lessons",
        ("lesson", "judged", "red", "stopped", "alone", "right (audited)", "rework"),
        tuple(
            (
                row.lesson,
                str(row.judged),
                str(row.red),
                str(row.stops),
                str(row.alone),
                str(row.right) if row.right.n else "not measurable",
                dollars(row.rework),
            )
            for row in rows
        ),
        ("A stop is right where a person, shown the output without its verdict, rejected it (`audit`).",),
    )


def _worth(rows: Sequence[Worth]) -> Section:
    return Section(
        "worth",
        "Lessons' worth, over all of history",
        ("lesson", "exposures", "hits", "saves", "candidates", "false", "escapes", "again, per exposure", "net"),
        tuple(
            (
                row.lesson,
                str(row.exposures),
                str(row.hits),
                str(row.saves),
                str(row.candidates),
                str(row.false_positives),
                str(row.escapes),
                str(row.recurrence),
                _net(row.net_usd),
            )
            for row in rows
        ),
        ("A stop is a candidate until a person who did not see the verdict, or an audit, confirms it as a save.",),
    )


def _net(cost: float | None) -> str:
    if cost is None:
        return "unknown"
    return dollars(cost) if cost >= 0 else f"-{dollars(-cost)}"


def _without(found: Without) -> Section:
    shown = found.stopped[-MOST_STOPPED:]
    count = len(found.stopped)
    wrong = (
        f"of {found.audited} audited ones {found.wrong} were wrong (a person rejected them unprompted)"
        if found.measurable
        else "whether they were wrong is not measurable: none was audited (`audit` in hqd.toml)"
    )
    told = f"{count} past outputs that only a lesson stopped; {wrong}; {dollars(found.rework)} of rework followed."
    return Section(
        "without_lessons",
        "Without lessons: what a newcomer with your agents would have let through",
        ("when", "task", "step", "lesson", "verdict", "rework"),
        tuple(
            (
                f"{row.at:%Y-%m-%d}",
                row.task,
                f"{row.playbook}/{row.step} {row.attempt}",
                ", ".join(row.lessons),
                row.label or "not audited",
                dollars(row.rework),
            )
            for row in shown
        ),
        (told, *((f"The last {MOST_STOPPED} are shown.",) if count > len(shown) else ())),
    )
