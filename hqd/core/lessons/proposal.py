"""What a person reads before a lesson comes into force: the lesson, its backtest, and whom it would have stopped. Pure.

Excerpts are other people's text: bounded, folded to lines, fenced so that no markup of theirs acts.
"""

from __future__ import annotations

from collections.abc import Sequence

from hqd.core.history.backtest import AMONG, Backtest, Judged
from hqd.core.lessons.check import Exhibit, Finding
from hqd.model.corpus import Label
from hqd.model.lesson import Lesson, LessonStatus
from hqd.model.problem import one_line

MOST_FLAGGED = 50
MOST_BYTES = 50_000
_EXCERPT = 400
_RAISE = {
    LessonStatus.RECORDED: LessonStatus.SHADOW,
    LessonStatus.PROPOSED: LessonStatus.SHADOW,
    LessonStatus.SHADOW: LessonStatus.WARN,
    LessonStatus.WARN: LessonStatus.ENFORCE,
}


def raised(lesson: Lesson) -> LessonStatus | None:
    """The next status, where its `level` allows one."""
    status = _RAISE.get(lesson.status)
    ranks = [LessonStatus.SHADOW, LessonStatus.WARN, LessonStatus.ENFORCE]
    if status is None or (lesson.level is not None and ranks.index(status) > ranks.index(LessonStatus(lesson.level))):
        return None
    return status


def title(lesson: Lesson, status: LessonStatus) -> str:
    verb = {LessonStatus.RETIRED: "Retire", LessonStatus.SHADOW: "Let in"}.get(status, "Promote")
    to = "" if status is LessonStatus.RETIRED else f" ({status.value})"
    return f"{verb} lesson {lesson.id}{to}: {one_line(lesson.title)}"[:120].rstrip()


def body(
    lesson: Lesson,
    status: LessonStatus,
    gate: str,
    findings: Sequence[Finding],
    exhibits: Sequence[Exhibit],
    test: Backtest | None,
    flagged: Sequence[tuple[Judged, str]],
    why: Sequence[str] = (),
) -> str:
    """The whole text. `gate`: as written; `flagged`: accepted outputs that it fires on, with their texts."""
    lines = [f"{lesson.status.value} -> {status.value}. Nothing is in force before a person merges this.", ""]
    lines += [f"- {line}" for line in why] + ([""] if why else [])
    if status is LessonStatus.SHADOW:
        lines += ["In shadow its verdicts are recorded and shown to nobody who still has to decide.", ""]
    if lesson.drafted_by is not None:
        lines += [f"The account was worded by agent {one_line(lesson.drafted_by)}; the gate was not.", ""]
    lines += [*(f"> {_silent(one_line(line))}".rstrip() for line in lesson.account.splitlines()[:40]), ""]
    if gate:
        lines += ["## Gate", "", *_fence(gate), ""]
    if lesson.context is not None:
        lines += ["## What agents are told (from warn on)", "", *_fence(lesson.context.text), ""]
    lines += ["## Checks", "", "| | rule | |", "| --- | --- | --- |"]
    lines += [f"| {each.mark.value} | {each.rule} | {_cell(each.text)} |" for each in findings]
    if lesson.variants is not None:
        lines += ["", f"Gates tried before this one was chosen: {lesson.variants}."]
    lines += ["", "## Backtest", "", *_table(test), "", "## Evidence", ""]
    for each in exhibits[:5]:
        lines += [f"{one_line(each.name)}:", "", *_fence(each.bad if each.bad is not None else each.gone), ""]
    accepted = [(judged, text) for judged, text in flagged if judged.case.label is not Label.REJECTED]
    lines += [f"## Accepted outputs that it would have flagged: {len(accepted)}", ""]
    for judged, text in accepted[:MOST_FLAGGED]:
        case = judged.case
        lines += [f"`{case.task}` {case.step} attempt {case.attempt} ({case.label.value}): {_cell(judged.message)}", ""]
        lines += [*_fence(_around(text, judged.excerpt)), ""]
    if len(accepted) > MOST_FLAGGED:
        lines += [f"… and {len(accepted) - MOST_FLAGGED} more: `hqd backtest {lesson.id} --json`", ""]
    whole = "\n".join(lines).rstrip() + "\n"
    cut = whole.encode("utf-8", "replace")[:MOST_BYTES].decode("utf-8", "ignore")
    return cut if cut == whole else cut.rsplit("\n", 1)[0] + "\n\n(cut)\n"


def _table(test: Backtest | None) -> list[str]:
    if test is None or test.figures.counts.decided == 0:
        return ["No output was decided on by a person yet: not measurable."]
    figures = test.figures
    counts = figures.counts
    rows = [
        ("true positives, false positives", f"{counts.tp}, {counts.fp}"),
        ("fires on rejections for another or no known cause", str(counts.other)),
        ("precision (strict)", str(figures.precision)),
        ("false positives (strict)", str(figures.strict_fpr)),
        ("rejected outputs caught", str(figures.caught)),
        ("decided clusters", str(counts.decided)),
        ("caught by nothing else", str(test.marginal)),
    ]
    return [
        f"One output for each cluster, {AMONG}; the evidence left out with its cluster.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
        *(f"\nMind: {warning}" for warning in test.warnings),
    ]


def _around(text: str, excerpt: str) -> str:
    at = text.find(excerpt) if excerpt else -1
    start = max(0, at - _EXCERPT // 2) if at >= 0 else 0
    part = text[start : start + _EXCERPT]
    return ("… " if start else "") + part + (" …" if start + _EXCERPT < len(text) else "")


def _fence(text: str) -> list[str]:
    """Text as it is, in a fence that nothing in it can close."""
    cut = text if len(text) <= 2 * _EXCERPT else text[: 2 * _EXCERPT] + " […]"
    lines = ["".join(char if char.isprintable() or char == "\t" else " " for char in line) for line in cut.splitlines()]
    fence = "```"
    while any(line.strip().startswith(fence) for line in lines):
        fence += "`"
    return [fence + "text", *lines, fence]


def _cell(text: str) -> str:
    return _silent(one_line(text).replace("|", "\\|"))[:300]


def _silent(text: str) -> str:
    """Words in which no forge reads a mention."""
    return text.replace("@", "@\u200b")
