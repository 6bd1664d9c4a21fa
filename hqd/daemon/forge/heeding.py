"""What follows from people's words on a pull request becomes events in the draft. Nothing is decided here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

from hqd.core.gate_use import resolve_gates
from hqd.core.recovery import steps_from
from hqd.core.reviews.checks import KIND, Awaited
from hqd.core.reviews.state import is_ahead
from hqd.core.reviews.words import Act, Asked, Dropped, Followed, LandedThere, Ordered, Passed, Stuck, Terms
from hqd.core.secret_scan import scan
from hqd.daemon import landings
from hqd.daemon.draft import Draft
from hqd.daemon.people import words
from hqd.daemon.people.words import Speaker
from hqd.errors import HqdError, Usage, joined, unstopped
from hqd.model.board import Board, Task
from hqd.model.duration import seconds
from hqd.model.failure import Outcome, ParkReason
from hqd.model.gate import GateSpec, Level
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, EventKind, Person, Via
from hqd.model.task import State
from hqd.ports import Branches

DEFAULT_WAIT = "2h"
"""How long a check's word is waited for where the gate does not say."""


def heed(draft: Draft, task: Task, act: Act, branches: Branches, now: datetime) -> tuple[str, str] | None:
    """Lays the events of `act` into the draft; for an order, (its item, what its author is told)."""
    match act:
        case Ordered():
            return act.item, _ordered(draft, task, act, now)
        case Asked():
            _asked(draft, task, act, now)
        case Passed(by):
            event = _event(EventKind.FEEDBACK, State.QUEUE, task, by, now, outcome=Outcome.PASSED)
            draft.happen(task, event, author=_person(by))
        case Followed():
            _followed(draft, task, act, now)
        case LandedThere(commit):
            draft.happen(task, landings.landed_event(task, commit, "forge", Via.FORGE, now))
        case Dropped(since):
            _dropped(draft, task, since, branches, now)
        case Stuck():
            _stuck(draft, task, act, now)
        case _:
            assert_never(act)
    return None


def terms_of(task: Task, board: Board, base: str, secrets: frozenset[str]) -> Terms | None:
    """What holds for a task's review; None where its playbook or step is not there any more."""
    playbook, state = board.playbook_of(task), task.cursor.review
    step = next((each for each in playbook.steps if each.name == state.step), None) if playbook and state else None
    if playbook is None or step is None or step.review is None:
        return None
    rules = board.rules_of(task)
    gates = resolve_gates((*step.gates, *step.gates_before), rules.settings.gates)
    from_forge = [gate for gate in gates if gate.kind == KIND]
    forge = board.current.settings.forge
    return Terms(
        land=step.review.land,
        to=_mends(playbook, step),
        base=base,
        debounce=_delta(forge.debounce),
        grace=_delta(forge.branch_grace),
        bots=frozenset(forge.allow_bots),
        again=len(from_forge) < len(gates),
        awaited=tuple(_awaited(gate) for gate in from_forge if gate.level is Level.ENFORCE),
        secrets=secrets,
        ahead=task.state is State.BLOCKED and is_ahead(task.cursor),
        onto=task.cursor.merge.onto if task.cursor.merge is not None else None,
    )


def _awaited(gate: GateSpec) -> Awaited:
    names = gate.params.get("names") or ()
    wait = str(gate.params.get("wait") or DEFAULT_WAIT)
    return Awaited(gate.name, tuple(str(name) for name in names), _delta(wait))


def _mends(playbook: Playbook, step: Step) -> str | None:
    """The agent step that answers people's words."""
    agents = [each.name for each in playbook.steps[: playbook.position(step.name)] if each.kind is StepKind.AGENT]
    named = step.review.on_changes if step.review is not None else None
    return named if named in agents else agents[-1] if agents else None


def _ordered(draft: Draft, task: Task, order: Ordered, now: datetime) -> str:
    """A word of `/hqd`, and what it came to. It is heard once, also where it is refused."""
    speaker = Speaker(_person(order.by), Via.FORGE)
    if order.word == "drop":
        return words.drop(draft, task, speaker, now, why=f"/hqd drop by {order.by}")
    heard = _event(EventKind.FEEDBACK, task.state, task, order.by, now, items=(order.item,))
    heard = heard.model_copy(update={"message": f"/hqd {order.word} by {order.by}"})
    task = draft.happen(task, heard, author=speaker.person)
    try:
        return _word(draft, task, order, speaker, now)
    except HqdError as fault:
        return joined(unstopped(fault.message), unstopped(fault.remedy), ". ") + "."


def _word(draft: Draft, task: Task, order: Ordered, speaker: Speaker, now: datetime) -> str:
    if scan(order.text):
        raise Usage("A secret stands in it, so it is not taken", remedy="Revoke that secret, and say it without")
    if order.word == "retry":
        return words.retry(draft, task, speaker, now, step=order.text.split()[0] if order.text.split() else None)
    if order.word == "answer":
        return words.answer(draft, task, speaker, now, order.text)
    raise Usage(f"hqd does not know `/hqd {order.word}`", remedy="There are retry, drop, why, and answer TEXT")


def _asked(draft: Draft, task: Task, act: Asked, now: datetime) -> None:
    playbook = draft.board.playbook_of(task)
    stale = steps_from(playbook, act.to) if playbook is not None else ()
    event = _event(EventKind.FEEDBACK, State.QUEUE, task, act.by, now, step=act.to)
    more = {"findings": act.findings, "items": act.items, "children": stale, "review": act.state}
    draft.happen(task, event.model_copy(update=more), author=_person(act.by))


def _followed(draft: Draft, task: Task, act: Followed, now: datetime) -> None:
    """News of the branch; commits that gates have not seen go back to the review step, which runs them."""
    to = task.state if task.state is State.BLOCKED else State.QUEUE if act.again else State.REVIEW
    event = _event(EventKind.FEEDBACK, to, task, act.by, now)
    draft.happen(task, event.model_copy(update={"review": act.state, "message": act.why, "head": act.state.head}))


def _dropped(draft: Draft, task: Task, since: datetime, branches: Branches, now: datetime) -> None:
    """Nothing that has landed is dropped: git is asked once more."""
    review = task.cursor.review
    found = branches.landed({task.id: (review.base, review.head)}) if review is not None else {}
    if task.id in found:
        draft.happen(task, landings.landed_event(task, found[task.id], "git", Via.GIT, now))
        return
    event = _event(EventKind.DROPPED, State.DROPPED, task, "forge", now)
    why = f"its pull request was closed at {since:%Y-%m-%d %H:%M} UTC, without having landed"
    draft.happen(task, event.model_copy(update={"message": why}))


def _stuck(draft: Draft, task: Task, act: Stuck, now: datetime) -> None:
    if act.items:
        task = draft.happen(task, _event(EventKind.FEEDBACK, State.REVIEW, task, "forge", now, items=act.items))
    event = _event(EventKind.PARKED, State.BLOCKED, task, "forge", now)
    more = {"reason": ParkReason(act.reason), "missing": act.missing, "findings": act.findings}
    draft.happen(task, event.model_copy(update=more))


def _event(
    kind: EventKind,
    to: State,
    task: Task,
    by: str,
    now: datetime,
    *,
    step: str | None = None,
    outcome: Outcome | None = None,
    items: tuple[str, ...] = (),
) -> Event:
    """`head` is what people had before them."""
    head = task.cursor.review.head if task.cursor.review is not None else None
    return Event(
        event=kind, to=to, at=now, by=by, via=Via.FORGE, step=step or task.cursor.step or "", outcome=outcome,
        items=items, head=head,
    )  # fmt: skip


def _person(login: str) -> Person:
    """Who a login is, in git: forges do not tell addresses."""
    return Person(name=login, email="noreply@forge.invalid")


def _delta(text: str) -> timedelta:
    return timedelta(seconds=seconds(text))
