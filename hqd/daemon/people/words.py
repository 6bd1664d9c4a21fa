"""A human's word on a task: what a command, a file move, a comment or a commit comes to. One door for all ways.

Every function returns the one line that the person is told, and raises Usage when the word does not fit the
task's state. Nothing is written here but into the draft.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from hqd.core.recovery import steps_from
from hqd.core.steps.spawn import family_cost
from hqd.daemon.draft import Draft
from hqd.errors import Usage
from hqd.model.board import Task
from hqd.model.change import Act
from hqd.model.failure import Outcome, ParkReason
from hqd.model.playbook import Playbook, StepKind
from hqd.model.record import Event, EventKind, Finding, Person, Phase, ReviewState, Via
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who says it, and by which way."""

    person: Person
    via: Via

    @property
    def name(self) -> str:
        return self.person.name


@dataclass(frozen=True, slots=True)
class Seen:
    """What in the working tree the word consists of, where it came by files. `source`: where main has the file."""

    acts: tuple[Act, ...] = ()
    body: bytes | None = None
    source: str | None = None


def retry(
    draft: Draft,
    task: Task,
    speaker: Speaker,
    now: datetime,
    *,
    step: str | None = None,
    seen: Seen = Seen(),
) -> str:
    """Un-parks: a new round, at the step where it stands or at `step`, under the rules now in force."""
    if task.state is not State.BLOCKED:
        raise Usage(
            f"{task.id} is in {task.state.value}/, not in blocked/", remedy="only a blocked task can be retried"
        )
    playbook = _playbook_now(draft, task)
    if step is None and playbook is not None and task.cursor.reason is ParkReason.REVIEW_REJECTED:
        step = _who_mends(playbook, task.cursor.step)
    if step is not None and (playbook is None or all(each.name != step for each in playbook.steps)):
        names = ", ".join(each.name for each in playbook.steps) if playbook else "none"
        raise Usage(f"no step {step!r} in playbook {task.cursor.playbook!r}", remedy=f"its steps: {names}")
    stale = (step, *steps_from(playbook, step)) if step is not None and playbook is not None else ()
    borne = family_cost(task.changed(cursor=task.cursor.model_copy(update={"borne": 0.0})), draft.now_board())
    event = _word(EventKind.RESUMED, State.QUEUE, speaker, now, step=step, items=stale, borne=borne or None)
    _happen(draft, task, event, speaker, seen)
    return f"{task.id}: round {task.cursor.round + 1} begins" + (f" at step {step}" if step else "")


def drop(
    draft: Draft,
    task: Task,
    speaker: Speaker,
    now: datetime,
    *,
    why: str = "",
    seen: Seen = Seen(),
) -> str:
    """Cancels an open task; its file goes to dropped/, its work stays on its branch."""
    event = _word(EventKind.DROPPED, State.DROPPED, speaker, now, message=why or None, head=_head(task))
    _happen(draft, task, event, speaker, seen)
    return f"{task.id}: dropped"


def edit(draft: Draft, task: Task, speaker: Speaker, now: datetime, *, seen: Seen) -> str:
    """The new text counts from the next attempt."""
    _happen(draft, task, _word(EventKind.EDITED, task.state, speaker, now), speaker, seen)
    return f"{task.id}: the new text counts from the next attempt"


def answer(
    draft: Draft,
    task: Task,
    speaker: Speaker,
    now: datetime,
    text: str,
    *,
    seen: Seen = Seen(),
) -> str:
    """An answer to an `ask` step resumes the same round; to an agent's question it is what its step is told."""
    cursor = task.cursor
    asked = cursor.phase is Phase.ASKED
    parked_question = cursor.phase is Phase.PARKED and cursor.reason is ParkReason.NEEDS_HUMAN
    if task.state is not State.BLOCKED or not (asked or parked_question):
        raise Usage(f"{task.id} asks nothing", remedy="`hqd why` tells what it waits for")
    if not text.strip():
        raise Usage("the answer is empty")
    choices = _choices(draft, task)
    if asked and choices and text.strip() not in choices:
        raise Usage(f"{text.strip()!r} is none of: {', '.join(choices)}")
    finding = Finding(source=f"human:{speaker.name}", text=f"{cursor.missing or 'Your question'} — {text.strip()}")
    event = _word(
        EventKind.ANSWERED,
        State.QUEUE,
        speaker,
        now,
        step=cursor.step or "",
        answer=text.strip(),
        findings=() if asked else (finding,),
    )
    _happen(draft, task, event, speaker, seen)
    return f"{task.id}: answered"


def request_changes(
    draft: Draft, task: Task, speaker: Speaker, now: datetime, text: str, *, to: str | None = None
) -> str:
    """Sends a reviewed task back to an agent step with the person's words as the finding."""
    if is_audit(task):
        return audited(draft, task, speaker, now, "rejected", text)
    playbook, target = _back_to(draft, task, to)
    if not text.strip():
        raise Usage("say what has to change", remedy="pass -m TEXT")
    event = _word(
        EventKind.FEEDBACK,
        State.QUEUE,
        speaker,
        now,
        step=target,
        outcome=None,
        findings=(Finding(source=f"human:{speaker.name}", text=text.strip(), step=to or task.cursor.step),),
        children=steps_from(playbook, target),
        head=_head(task),
    )
    _happen(draft, task, event, speaker, Seen())
    return f"{task.id}: back to step {target}"


def approve_flow(draft: Draft, task: Task, speaker: Speaker, now: datetime) -> str:
    """Approval that lands nothing (`land = "never"`, or no work): the flow goes on."""
    if is_audit(task):
        return audited(draft, task, speaker, now, "accepted", "")
    event = _word(
        EventKind.FEEDBACK, State.QUEUE, speaker, now, step=task.cursor.step, outcome=Outcome.PASSED, head=_head(task)
    )
    _happen(draft, task, event, speaker, Seen())
    return f"{task.id}: approved"


def ask_merge(draft: Draft, task: Task, review: ReviewState, speaker: Speaker, now: datetime) -> str:
    """Approval of a pull request that hqd is to merge on its forge, at the very commit that was approved."""
    asked = review.model_copy(update={"merge": review.head})
    message = f"approved by {speaker.name}, to be merged at {review.head[:12]}"
    event = _word(EventKind.FEEDBACK, State.REVIEW, speaker, now, step=task.cursor.step, review=asked, message=message)
    _happen(draft, task, event, speaker, Seen())
    return f"{task.id}: approved; the forge is asked to merge #{review.number}"


def reject(draft: Draft, task: Task, speaker: Speaker, now: datetime, text: str) -> str:
    """A review that is turned down: parked, with the words; a person may retry or drop it."""
    if task.state is not State.REVIEW:
        raise Usage(f"{task.id} is in {task.state.value}/, not in review/")
    if is_audit(task):
        return audited(draft, task, speaker, now, "rejected", text)
    event = _word(
        EventKind.PARKED,
        State.BLOCKED,
        speaker,
        now,
        step=task.cursor.step,
        reason=ParkReason.REVIEW_REJECTED,
        missing=f"{speaker.name} rejected it: {text.strip() or 'no reason given'}",
        findings=(Finding(source=f"human:{speaker.name}", text=text.strip()),) if text.strip() else (),
        head=_head(task),
    )
    _happen(draft, task, event, speaker, Seen())
    return f"{task.id}: rejected; retry it or drop it"


def is_audit(task: Task) -> bool:
    """Whether what people are asked about is an output that gates have stopped."""
    return task.state is State.REVIEW and task.cursor.review is not None and task.cursor.review.audit


def audited(
    draft: Draft, task: Task, speaker: Speaker, now: datetime, label: Literal["accepted", "rejected"], text: str
) -> str:
    """A word on an audited output: a label and nothing else. The ladder goes on; the verdicts may be seen now."""
    step, said = task.cursor.step, text.strip()
    findings = (Finding(source=f"human:{speaker.name}", text=said, step=step),) if said else ()
    event = _word(EventKind.FEEDBACK, State.QUEUE, speaker, now, step=step, label=label, findings=findings)
    stopped = "; ".join(finding.text for finding in task.cursor.findings)
    _happen(draft, task, event, speaker, Seen())
    return f"{task.id}: noted as {label}, nothing lands. Gates had stopped it: {stopped}"


def check_review(task: Task) -> None:
    """Raises Usage unless the task waits for a review."""
    if task.state is not State.REVIEW or task.cursor.review is None:
        raise Usage(f"{task.id} is in {task.state.value}/, not in review/", remedy="`hqd status` shows what is")


def _back_to(draft: Draft, task: Task, to: str | None) -> tuple[Playbook, str]:
    check_review(task)
    playbook = draft.board.playbook_of(task)
    if playbook is None:
        raise Usage(f"the playbook of {task.id} is not there any more", remedy="drop it, or put the playbook back")
    place = playbook.position(task.cursor.step or "")
    agents = [step.name for step in playbook.steps[:place] if step.kind is StepKind.AGENT]
    review = playbook.steps[place].review
    target = to or (review.on_changes if review else None) or (agents[-1] if agents else None)
    if target is None or target not in agents:
        raise Usage(
            f"no agent step {target!r} before the review" if target else "no agent step before the review",
            remedy=f"name one of: {', '.join(agents)}" if agents else "",
        )
    return playbook, target


def _who_mends(playbook: Playbook, step: str | None) -> str | None:
    """The agent step that a rejected review goes back to: to open the same work again would ask the same again."""
    place = next((place for place, each in enumerate(playbook.steps) if each.name == step), 0)
    agents = [each.name for each in playbook.steps[:place] if each.kind is StepKind.AGENT]
    review = playbook.steps[place].review
    return (review.on_changes if review is not None else None) or (agents[-1] if agents else None)


def _playbook_now(draft: Draft, task: Task) -> Playbook | None:
    return draft.board.current.playbooks.get(task.cursor.playbook or "")


def _choices(draft: Draft, task: Task) -> tuple[str, ...]:
    step = draft.board.step_of(task)
    return step.ask.choices if step is not None and step.ask is not None else ()


def _head(task: Task) -> str | None:
    """What of the work the person had before them; labels of outputs rest on it."""
    return task.cursor.review.head if task.state is State.REVIEW and task.cursor.review is not None else None


def _word(kind: EventKind, to: State, speaker: Speaker, now: datetime, **fields: Any) -> Event:
    return Event(event=kind, to=to, at=now, by=speaker.name, via=speaker.via, **fields)


def _happen(draft: Draft, task: Task, event: Event, speaker: Speaker, seen: Seen) -> None:
    draft.happen(task, event, acts=seen.acts, body=seen.body, source=seen.source, author=speaker.person)
