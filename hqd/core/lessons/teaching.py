"""What went wrong, as cases that lessons are made of. Pure: from events and the cursors that followed from them.

A case is told by its signature: class, playbook, step, and what was said, without numbers and ids. The same signature
means the same failure, whichever task met it. What a gate `lesson:ID` or `decision:ID` stops is no case: it is written
down already, and `hqd lessons stats` counts what a lesson stops as its hits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from hqd.core.decisions import GATE as DECISION_GATE
from hqd.model.failure import Failure, ParkReason
from hqd.model.gate import LESSON_GATE, GateStatus
from hqd.model.lesson import MOST_EVIDENCE, OPEN, Lesson, LessonEvidence, LessonStatus, Scope
from hqd.model.names import slug_of
from hqd.model.playbook import Playbook, StepKind
from hqd.model.problem import one_line
from hqd.model.record import Cursor, Event, EventKind, Record
from hqd.model.task import State

WRONG_ACCEPTANCE = "wrong_acceptance"
LADDER_EXHAUSTED = "ladder_exhausted"
REPEATED_FINDING = "repeated_finding"
BUDGET = "budget"

REVIEW_AFTER = timedelta(days=90)
_WORDS = 400
_KEPT_WORDS = 160
_WRITTEN_DOWN = (LESSON_GATE, DECISION_GATE)  # gates of what people have settled
_IDS = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"\d{8}-[a-z0-9][a-z0-9-]{0,59}-[0-9a-f]{6}"  # a task
    r"|D-\d{8}-[0-9a-f]{6}(?:-\d+)?"  # a decision
    r"|L-[0-9a-z]{4,32}"  # a lesson
    r"|(?=[a-f]*\d)[0-9a-f]{6,64}|[0-9a-f]{12,64}"  # a commit, a blob; `facade` is a word
    r")(?![0-9A-Za-z])"
)
_EXHAUSTED = (ParkReason.LADDER_EXHAUSTED, ParkReason.GATE_FAILED, ParkReason.NO_PROGRESS, ParkReason.ROUTE_EXHAUSTED)
_TOLD = {
    WRONG_ACCEPTANCE: "accepted by the gates, and rejected by a person",
    LADDER_EXHAUSTED: "every rung of the ladder was tried",
    REPEATED_FINDING: "the same finding on two tasks",
    BUDGET: "the budget was spent",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One failure. `path`, `blob`: the output that was wrong (blob None: not known yet); `said`: a person's or a gate's
    words, cut; `by`: who said it."""

    class_: str
    playbook: str
    born_at: str
    caught_at: str
    task: str
    attempt: int | None
    path: str
    blob: str | None
    said: str
    by: str
    at: datetime
    key: str = ""  # what the signature rests on where it is not `said`

    @property
    def signature(self) -> str:
        return signature(self.class_, self.playbook, self.born_at, self.key or self.said)


def signature(class_: str, playbook: str, step: str, words: str) -> str:
    """`class:playbook:step:hash` of the words without numbers, ids and capitals.

    What gates found is one failure, whether it came twice or was never mended: `finding` stands for both classes.
    """
    digest = hashlib.sha256(normal(words).encode("utf-8", "replace")).hexdigest()[:12]
    kind = "finding" if class_ in (LADDER_EXHAUSTED, REPEATED_FINDING, Failure.GATE.value) else class_
    return f"{kind}:{playbook}:{step}:{digest}"


def normal(words: str) -> str:
    """Words of which only the kind of fault is left: no numbers, no dates, no capitals, no ids of tasks, decisions,
    lessons, commits and blobs, in paths neither."""
    text = _IDS.sub("#", words).casefold()
    text = re.sub(r"\d+(?:[.,]\d+)*", "#", text)
    return " ".join(re.sub(r"[^\w#%$ ]+", " ", text).split())[:_KEPT_WORDS]


def cases(task: str, event: Event, cursor: Cursor, playbook: Playbook | None) -> tuple[Case, ...]:
    """What an event teaches; empty: nothing. `cursor`: after the event. Repeated findings are told by `sightings`."""
    by_person = event.via is not None
    if event.label is not None:
        return ()  # an audited output: a gate had stopped it, so nothing was wrongly accepted
    if event.event is EventKind.FEEDBACK and event.to is State.QUEUE and by_person and event.outcome is None:
        return _rejected(task, event, cursor, event.step or "", _review_after(playbook, event.step))
    if event.event is not EventKind.PARKED:
        return ()
    if event.reason is ParkReason.REVIEW_REJECTED and by_person:
        owner = _owner(playbook, event.step)
        return _rejected(task, event, cursor, owner, event.step) if owner is not None else ()
    step = event.step or cursor.step or ""
    if event.reason in _EXHAUSTED:
        return _stuck(task, event, cursor, step, LADDER_EXHAUSTED)
    if event.reason is ParkReason.BUDGET:
        return _stuck(task, event, cursor, step, BUDGET)
    return ()


def reverted(task: str, cursor: Cursor, playbook: Playbook | None, said: str, by: str, at: datetime) -> Case | None:
    """The case of landed work that a person took back."""
    step = _owner(playbook, None)
    ref = cursor.outputs.get(step or "")
    if step is None or ref is None:
        return None
    words = _cut(said) or "reverted on main"
    return Case(
        WRONG_ACCEPTANCE, cursor.playbook or "", step, "main", task, ref.attempt, ref.path, ref.blob, words, by, at
    )


def sightings(task: str, event: Event, cursor: Cursor) -> tuple[Case, ...]:
    """Findings of gates in a failed attempt; the second task that shows one makes it a case."""
    if event.event is not EventKind.FINISHED or event.failure is not Failure.GATE or event.output is None:
        return ()
    found = []
    for result in event.gates:
        if result.stops and result.status is GateStatus.FAIL and not result.name.startswith(_WRITTEN_DOWN):
            said = _cut(result.message)
            step = event.step or ""
            key = f"{result.name} {result.message}"
            found.append(
                Case(
                    REPEATED_FINDING,
                    cursor.playbook or "",
                    step,
                    step,
                    task,
                    event.attempt,
                    event.output,
                    event.output_blob,
                    said,
                    f"gate:{result.name}",
                    event.at,
                    key,
                )
            )
    return tuple(found[:3])


def corrected(task: str, event: Event, cursor: Cursor) -> Mapping[str, LessonEvidence]:
    """The outputs of a task that people accepted by this event: step -> as evidence; empty: none."""
    approved = event.event is EventKind.FEEDBACK and event.outcome is not None and event.to is State.QUEUE
    if event.event not in (EventKind.LANDED, EventKind.DONE) and not approved:
        return {}
    return {
        step: LessonEvidence(task=task, attempt=ref.attempt, path=ref.path, blob=ref.blob)
        for step, ref in cursor.outputs.items()
        if not ref.stale
    }


def pardoned(records: Iterable[Record], path: str) -> bool:
    """Whether a person has said in an audit that he would accept this output: then its gate was wrong, not the work."""
    shown = None
    for record in records:
        if record.event is EventKind.FINISHED:
            shown = record.output
        elif record.label is not None and shown == path:
            return record.label == "accepted"
    return False


def known(lessons: Collection[Lesson], case: Case) -> bool:
    """Whether a lesson, whatever became of it, has this very case."""
    return any(
        each.task == case.task and each.path == case.path and lesson.signature == case.signature
        for lesson in lessons
        for each in lesson.evidence
    )


def open_one(lessons: Collection[Lesson], case: Case) -> Lesson | None:
    """The one recording or proposal of the same signature that waits for a person."""
    return next((each for each in lessons if each.signature == case.signature and each.status in OPEN), None)


def decided_one(lessons: Collection[Lesson], case: Case) -> Lesson | None:
    """A lesson of the same signature that a person has decided on; its later cases are counted, not written."""
    return next((each for each in lessons if each.signature == case.signature and each.status not in OPEN), None)


def evidence_of(case: Case) -> LessonEvidence:
    return LessonEvidence(task=case.task, attempt=case.attempt, path=case.path, blob=case.blob)


def has_room(lesson: Lesson) -> bool:
    return len(lesson.evidence) < MOST_EVIDENCE


def lesson_of(case: Case, taken: Collection[str], more: Collection[LessonEvidence] = ()) -> Lesson:
    """A new recording. Its id follows from the case, so that the same case never makes two."""
    return Lesson(
        id=lesson_id(f"{case.signature} {case.task}", taken),
        status=LessonStatus.RECORDED,
        class_=case.class_,
        topic=None,
        scope=Scope(playbooks=(case.playbook,) if case.playbook else ()),
        born_at=case.born_at or None,
        caught_at=case.caught_at or None,
        signature=case.signature,
        evidence=(evidence_of(case), *more),
        owner=case.by if not case.by.startswith("gate:") and case.by != "hqd" else None,
        created=case.at.date(),
        review_after=(case.at + REVIEW_AFTER).date(),
        account=account(case),
    )


def lesson_id(seed: str, taken: Collection[str]) -> str:
    """`L-` and four letters or digits that follow from `seed`; more where they are taken."""
    number = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "replace")).digest(), "big")
    letters = ""
    while number:
        number, digit = divmod(number, 36)
        letters += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
    length = 4
    while f"L-{letters[:length]}" in taken:
        length += 1
    return f"L-{letters[:length]}"


def file_name(lesson: Lesson) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", lesson.title.lower()).strip("-")[:40].strip("-")
    return f"{lesson.id}-{words}.md" if words else f"{lesson.id}.md"


def account(case: Case) -> str:
    """What happened, for people. Words of others are quoted line by line."""
    said = [f"> {one_line(line)}".rstrip() for line in case.said.splitlines()] or ["> (nothing was said)"]
    head = _cut(case.said, 60) or _TOLD[case.class_]
    lines = [
        f"# {case.born_at}: {one_line(head)}",
        "",
        f"Task `{case.task}`, playbook `{case.playbook}`: {_TOLD[case.class_]}.",
        f"Born at step `{case.born_at}`, caught at `{case.caught_at}` by {one_line(case.by)}, {case.at:%Y-%m-%d}.",
        "",
        *said,
        "",
        f"The output: `{case.path}`. `hqd show {slug_of(case.task)}` tells the whole story.",
    ]
    return "\n".join(lines)


def made_on(lessons: Collection[Lesson], day: date) -> int:
    """Recordings of one day."""
    return sum(1 for each in lessons if each.created == day and each.signature is not None)


def waiting(lessons: Collection[Lesson]) -> int:
    return sum(1 for each in lessons if each.status in OPEN)


def _rejected(task: str, event: Event, cursor: Cursor, step: str, caught_at: str | None) -> tuple[Case, ...]:
    ref = cursor.outputs.get(step)
    if ref is None:
        return ()
    said = _cut(" ".join(each.text for each in event.findings)) or _cut(event.missing or event.message or "")
    case = Case(
        WRONG_ACCEPTANCE,
        cursor.playbook or "",
        step,
        caught_at or "review",
        task,
        ref.attempt,
        ref.path,
        ref.blob,
        said,
        event.by,
        event.at,
    )
    return (case,)


def _stuck(task: str, event: Event, cursor: Cursor, step: str, class_: str) -> tuple[Case, ...]:
    path = cursor.last.get(step)
    if path is None:
        return ()  # nothing came back: there is no output to learn from
    trials = cursor.trials.get(step, ())
    failed = trials[-1].failed if trials else {}
    fresh = {name: text for name, text in failed.items() if not name.startswith(_WRITTEN_DOWN)}
    if failed and not fresh:
        return ()  # a lesson or a decision at work, not a new lesson
    said = _cut("; ".join(fresh.values()) or event.missing or "")
    key = " ".join(f"{name} {text}" for name, text in sorted(fresh.items())) if class_ != BUDGET else class_
    attempt = trials[-1].attempt if trials else None
    case = Case(
        class_, cursor.playbook or "", step, step, task, attempt, path, None, said, "hqd", event.at, key or said
    )
    return (case,)


def _review_after(playbook: Playbook | None, step: str | None) -> str | None:
    """The review that follows a step."""
    seen = False
    for each in playbook.steps if playbook is not None else ():
        if seen and each.kind is StepKind.REVIEW:
            return each.name
        seen = seen or each.name == step
    return None


def _owner(playbook: Playbook | None, review: str | None) -> str | None:
    """The agent step whose work a review (or a landing) is about."""
    if playbook is None:
        return None
    names = [step.name for step in playbook.steps]
    place = names.index(review) if review in names else len(names)
    agents = [step.name for step in playbook.steps[:place] if step.kind is StepKind.AGENT]
    step = playbook.steps[place] if place < len(names) else None
    wanted = step.review.on_changes if step is not None and step.review is not None else None
    return wanted or (agents[-1] if agents else None)


def _cut(text: str, limit: int = _WORDS) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
