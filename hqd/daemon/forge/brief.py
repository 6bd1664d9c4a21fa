"""What a pull request says of a task: what was asked, what was checked, what it cost, what it rests on. Pure text.

Law: every word that is not hqd's own (of tasks, agents, gates, documents) stands inside a fence or a code span, where
no forge reads mentions, references, quick actions or HTML, and where it cannot end what it stands in. Verdicts of
shadow gates are told to nobody: people would no longer judge blindly what the gate is measured by.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hqd.codec import layout
from hqd.codec.message import dollars
from hqd.core.reviews.text import clean
from hqd.daemon.forge.story import Story
from hqd.model.failure import Outcome
from hqd.model.gate import GateResult, GateStatus, Level
from hqd.model.opening import Brief
from hqd.model.playbook import Playbook
from hqd.model.record import EventKind, Record
from hqd.model.review import Check, CheckStatus
from hqd.model.task import State

PREFIX = "hqd/"
"""What the name of every check of hqd's begins with."""

MOST_TITLE = 200
MOST_ASKED = 12_000
MOST_ROWS = 10_000
"""Characters of a part. All parts together stay far below the 65,536 that GitHub takes."""

_MOST_CELL = 200
_MOST_ITEMS = 100
_STATUS = {
    GateStatus.PASS: CheckStatus.PASS,
    GateStatus.FAIL: CheckStatus.FAIL,
    GateStatus.ERROR: CheckStatus.ERROR,
    GateStatus.SKIP: CheckStatus.SKIP,
}
_TRAILER = re.compile(r"^([ \t]*hqd-[\w-]+):", re.IGNORECASE | re.MULTILINE)


def brief(story: Story, known: Collection[str] = ()) -> Brief:
    """The words for a task that is about to be in review. `known`: secret values that no word may contain."""
    verdicts = tuple(_verdicts(story))
    return Brief(
        title=title_of(story, known),
        body=_body(story, verdicts, known),
        comment=comment(story, State.REVIEW, known),
        checks=tuple(_checks(story.playbook, verdicts, known)),
    )


def title_of(story: Story, known: Collection[str] = ()) -> str:
    said = " ".join(clean(story.task.document.title, known, MOST_TITLE).text.split())
    return said or story.task.id


def comment(story: Story, state: State, known: Collection[str] = ()) -> str:
    """The one comment that is kept up to date: where the task stands, what it has cost, what was answered by what."""
    cursor = story.task.cursor
    tries = _efforts(story.records)
    lines = [f"**hqd** {_code(story.task.id, known)}: {_standing(story, state, known)}", ""]
    attempts = sum(each.attempts for each in tries.values())
    spent = f"{attempts} attempt{'' if attempts == 1 else 's'}, ${dollars(cursor.cost)}, {cursor.tokens} tokens"
    lines.append(f"{spent}, round {cursor.round}.")
    answered = list(_answered(story.records, cursor.head if state is State.REVIEW else None))
    if answered:
        lines += ["", "Answered:", ""]
        lines += _bounded(
            f"- by {_code(commit[:12], known)}: {', '.join(_code(item, known) for item in items[:_MOST_ITEMS])}"
            for commit, items in answered
        )
    lines += ["", "`/hqd why`, `/hqd retry`, `/hqd answer TEXT` and `/hqd drop` in a comment are heard."]
    return "\n".join(lines)


def _standing(story: Story, state: State, known: Collection[str]) -> str:
    cursor = story.task.cursor
    if state is State.REVIEW and story.unasked is not None:
        return (
            f"nobody is asked for this review: people see {story.unasked:g} of this playbook's work (`review.sample`)."
            " hqd merges it as soon as the forge lets it; a word against it here is heard, and stops that"
        )
    if state is State.REVIEW:
        return "waits for a human's word"
    if state is State.BLOCKED:
        return f"blocked: {_code(cursor.missing or 'needs a human', known)}"
    if state is State.DROPPED:
        return "dropped"
    if cursor.landed is not None:
        return f"landed as {_code(cursor.landed[:12], known)}"
    if state is State.DONE:
        return "done"
    return f"is being worked on again, at step {_code(cursor.step or '?', known)}"


# -- the body -------------------------------------------------------------------------------------------------


def _body(story: Story, verdicts: Sequence[tuple[str, GateResult]], known: Collection[str]) -> str:
    parts = [
        "## What was asked", _fenced(story.task.document.text, known),
        "## What was checked", _checked(verdicts, known),
        "## How it was made", _made(story, known),
        *_used(story, known),
        "## Records", _records(story, known),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _checked(verdicts: Sequence[tuple[str, GateResult]], known: Collection[str]) -> str:
    if not verdicts:
        return "Nothing: its playbook has no gates."
    rows = (
        f"| {_cell(step, known)} | {_cell(result.name, known)} | {result.level.value} | {_verdict(result)} "
        f"| {_cell(result.message, known)} |"
        for step, result in verdicts
    )
    table = ["| step | gate | level | verdict | what it says |", "| --- | --- | --- | --- | --- |", *_bounded(rows)]
    names = [_code(name, known) for name in dict.fromkeys(result.name for _, result in verdicts if result.unjudged)]
    if names:
        said = "already red before this attempt, so whether the work is right no verdict of theirs tells"
        table = [*_bounded([f"**Not judged by {', '.join(names[:_MOST_ITEMS])}**: {said}."]), "", *table]
    return "\n".join(table)


def _verdict(result: GateResult) -> str:
    return "**not judged**" if result.unjudged else result.status.value


def _made(story: Story, known: Collection[str]) -> str:
    rows = []
    for step, effort in _efforts(story.records).items():
        failed = effort.attempts - effort.passed
        who = ", ".join(_cell(each, known) for each in effort.who) or "-"
        rows.append(
            f"| {_cell(step, known)} | {who} | {effort.attempts} | {failed} | {effort.tokens} "
            f"| ${dollars(effort.cost)} |"
        )
    head = ["| step | by | attempts | of these failed | tokens | cost |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *_bounded(rows)])


def _used(story: Story, known: Collection[str]) -> list[str]:
    if not story.documents:
        return []
    rows = (f"- {_code(path, known)} (step {_code(step, known)})" for step, path in story.documents)
    return ["## Documents used", "\n".join(_bounded(rows))]


def _records(story: Story, known: Collection[str]) -> str:
    task = story.task.id
    return "\n".join(
        [
            f"Every prompt, answer and verdict is in {_code(layout.runs_folder(task) + '/', known)} of the HQ;"
            f" {_code(f'hqd show {task}', known)} tells it.",
            "",
            f"Hqd-Work: {task}",
        ]
    )


# -- what the records tell ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Effort:
    """What one step has taken so far."""

    attempts: int = 0
    passed: int = 0
    tokens: int = 0
    cost: float = 0.0
    who: dict[str, None] = field(default_factory=dict)


def _efforts(records: Iterable[Record]) -> dict[str, _Effort]:
    """By step, in the order in which they were begun. Openings and what was refused unseen are no attempts."""
    found: dict[str, _Effort] = {}
    for record in records:
        if record.event is not EventKind.FINISHED or record.outcome in (None, Outcome.REFUSED):
            continue
        if record.usage is None and record.agent is None and not record.gates:
            continue
        effort = found.setdefault(record.step or "", _Effort())
        effort.attempts += 1
        effort.passed += record.outcome is Outcome.PASSED
        if record.usage is not None:
            effort.tokens += record.usage.tokens
            effort.cost += record.usage.cost or 0.0
        if record.agent is not None:
            effort.who[f"{record.agent} ({record.model})" if record.model else record.agent] = None
    return found


def _verdicts(story: Story) -> Iterator[tuple[str, GateResult]]:
    """(step, verdict) of every step's newest passed attempt, then of the gates before the review; no shadow ones."""
    newest = {
        record.step or "": record.gates
        for record in story.records
        if record.event is EventKind.FINISHED and record.outcome is Outcome.PASSED
    }
    here = story.task.cursor.step or ""
    for step, results in (*newest.items(), *([(here, story.gates)] if story.gates else [])):
        yield from ((step, result) for result in results if result.level is not Level.SHADOW)


def _answered(records: Iterable[Record], head: str | None) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(commit, items): review items that agents were given, and the commit that came of it; `head`: the newest."""
    waiting: list[str] = []
    for record in records:
        if record.event is EventKind.FEEDBACK and record.to is State.QUEUE:
            waiting += record.items
        elif record.event is EventKind.REVIEW_OPENED and record.review is not None and waiting:
            yield record.review.head, tuple(dict.fromkeys(waiting))
            waiting = []
    if waiting and head is not None:
        yield head, tuple(dict.fromkeys(waiting))


def _checks(
    playbook: Playbook | None, verdicts: Sequence[tuple[str, GateResult]], known: Collection[str]
) -> Iterator[Check]:
    """One for each gate that the playbook names; a name that several steps use is told apart by the step."""
    named = gate_names(playbook) if playbook is not None else frozenset()
    mine = {(step, result.name): result for step, result in verdicts if result.name in named}
    names = [name for _step, name in mine]
    for (step, name), result in mine.items():
        warned = result.level is Level.WARN and result.status in (GateStatus.FAIL, GateStatus.ERROR)
        said = " ".join(clean(result.message, known, _MOST_CELL).text.split())
        yield Check(
            name=PREFIX + (name if names.count(name) == 1 else f"{step}/{name}"),
            status=CheckStatus.PASS if warned else _STATUS[result.status],
            summary=f"warning: {said}" if warned else said,
        )


def gate_names(playbook: Playbook) -> frozenset[str]:
    """The names of all gates that a playbook writes down."""
    steps = (use for step in playbook.steps for use in (*step.gates_before, *step.gates))
    return frozenset(use if isinstance(use, str) else use.name for use in (*playbook.gates, *steps))


# -- others' words --------------------------------------------------------------------------------------------


def _fenced(text: str, known: Collection[str]) -> str:
    """A text of others inside a fence that it cannot end; a line that reads like a trailer of hqd's is broken."""
    said = clean(text, known, MOST_ASKED)
    body = _TRAILER.sub(r"\1 :", said.text)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", body)), default=0))
    notes = [f"({said.cut} more characters are in the HQ)"] if said.cut else []
    if said.notes:
        notes.append(f"(hqd: {_code('; '.join(said.notes), known)})")
    return "\n\n".join([f"{fence}text\n{body}\n{fence}", *notes])


def _code(text: str, known: Collection[str]) -> str:
    """One line of others' words as a code span."""
    said = " ".join(clean(text, known, _MOST_CELL).text.split()).replace("`", "'")
    return f"`{said}`" if said else "-"


def _cell(text: str, known: Collection[str]) -> str:
    """The same for a table, which a bar would tear."""
    return _code(text, known).replace("\\", "/").replace("|", "\\|")


def _bounded(rows: Iterable[str]) -> list[str]:
    """As many rows as fit, and how many do not."""
    kept: list[str] = []
    size, left = 0, 0
    for row in rows:
        size += len(row) + 1
        if size > MOST_ROWS:
            left += 1
        else:
            kept.append(row)
    return [*kept, *(["", f"({left} more are in the HQ)"] if left else [])]
