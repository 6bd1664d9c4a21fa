"""Decisions: which are in force, for whom, which contradict each other, and when a task's own are filed. Pure.

Laws. What a task records counts for nobody until its work is accepted; rejected work leaves none. Of two active ones
on one topic that say different things, only a person decides which holds, or the later one that names the earlier
in `supersedes`. What a person wrote into a task's front matter (`supersedes: ID`) counts like that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from hqd.core.moves import Park
from hqd.model.board import Board, Task
from hqd.model.decision import Decision, Recorded
from hqd.model.failure import Outcome, ParkReason
from hqd.model.gate import GateResult, GateSpec, Level
from hqd.model.playbook import Step, StepKind
from hqd.model.problem import Problem, ProblemLevel, one_line
from hqd.model.record import Cursor, Event, EventKind, Finding, Phase
from hqd.model.task import State

GATE = "decision:"
"""How the names of gates begin that come from decisions: `decision:ID`."""

MOST = 20
"""Decisions that one attempt may record."""

_SHOWN = 600
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Filed:
    """A decision as a tree has it."""

    decision: Decision
    path: str
    blob: str


@dataclass(frozen=True, slots=True)
class Settled:
    """All decisions of a tree: those in force, newest first; the others with the reason; and what is wrong."""

    active: tuple[Filed, ...] = ()
    inactive: tuple[tuple[Filed, str], ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(each.decision for each in self.active)


NOTHING = Settled()


def settle(filed: Iterable[Filed]) -> Settled:
    """Which of the decisions of a tree are in force, and what a person has to mend among them."""
    known: dict[str, Filed] = {}
    problems: list[Problem] = []
    for each in sorted(filed, key=lambda one: one.path):
        first = known.setdefault(each.decision.id, each)
        if first is not each:
            message = f"a second decision {each.decision.id}; the first is {first.path}"
            problems.append(_problem(each, "id", message, "give it an id of its own"))
    replaced = _replaced([each.decision for each in known.values()])
    active, inactive = [], []
    for each in sorted(known.values(), key=lambda one: (_moment(one.decision), one.decision.id), reverse=True):
        why = replaced.get(each.decision.id)
        if each.decision.status == "withdrawn":
            inactive.append((each, "it is withdrawn"))
        elif why is not None:
            inactive.append((each, f"superseded by {why}"))
        else:
            active.append(each)
        problems += _lacking(each, known)
    for place, each in enumerate(active):
        for other in active[place + 1 :]:
            if contradicts(each.decision, other.decision):
                message = f"contradicts {other.decision.id} on the topic {each.decision.topic!r}"
                remedy = f"let one stand: `supersedes: [ID]`, or `status: withdrawn` in {other.path}"
                problems.append(_problem(each, "topic", message, remedy))
    return Settled(tuple(active), tuple(inactive), tuple(problems))


def _lacking(each: Filed, known: Collection[str]) -> list[Problem]:
    decision = each.decision
    found = [
        _problem(each, "supersedes", f"there is no decision {name}", "name one by its id")
        for name in decision.supersedes
        if name not in known
    ]
    if decision.topic is None and decision.status == "active":
        message = "no topic: nothing is ever found to contradict it"
        found.append(_problem(each, "topic", message, "name the question that it answers", ProblemLevel.WARNING))
    return found


def _problem(each: Filed, key: str, message: str, remedy: str, level: ProblemLevel = ProblemLevel.ERROR) -> Problem:
    return Problem(each.path, 0, key, message, remedy, level, (key,))


def _replaced(decisions: Sequence[Decision]) -> dict[str, str]:
    """Id -> id of the one that took its place. A withdrawn one replaces nothing; nor do those in a circle."""
    by_id = {each.id: each for each in decisions}
    found: dict[str, str] = {}
    for each in decisions:
        for name in each.supersedes if each.status == "active" else ():
            if name in by_id and name != each.id and not _reaches(by_id, name, each.id):
                found.setdefault(name, each.id)
    return found


def _reaches(by_id: dict[str, Decision], start: str, goal: str) -> bool:
    waiting, seen = [start], set()
    while waiting:
        at = waiting.pop()
        if at == goal:
            return True
        if at not in seen and at in by_id:
            seen.add(at)
            waiting += by_id[at].supersedes
    return False


def contradicts(one: Recorded, other: Recorded) -> bool:
    """Whether both answer one question, for the same tasks, in different words."""
    if one.topic is None or other.topic is None or _plain(one.topic) != _plain(other.topic):
        return False
    return _plain(one.decision) != _plain(other.decision) and _overlap(one, other)


def _overlap(one: Recorded, other: Recorded) -> bool:
    """Whether some task may be in the scope of both."""
    if not (one.playbooks and other.playbooks) or set(one.playbooks) & set(other.playbooks):
        return True
    return bool(set(one.tags) & set(other.tags))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def in_scope(decision: Recorded, playbook: str, tags: Collection[str]) -> bool:
    """Whether a decision is about tasks of this playbook with these tags."""
    if not decision.playbooks and not decision.tags:
        return True
    return playbook in decision.playbooks or bool(set(decision.tags) & set(tags))


def checks_of(settled: Settled, task: Task, playbook: str, step: Step) -> tuple[tuple[Filed, GateSpec], ...]:
    """The gates that decisions put before a step's output: of every agent step, and of what else `steps` names.

    Not those of the task itself, nor what it may supersede.
    """
    excused = supersedes_of(task)
    return tuple(
        (each, gate_of(each.decision))
        for each in settled.active
        if each.decision.check is not None
        and each.decision.task != task.id
        and each.decision.id not in excused
        and in_scope(each.decision, playbook, task.document.header.tags)
        and (step.name in each.decision.steps if each.decision.steps else step.kind is StepKind.AGENT)
    )


def gate_of(decision: Decision) -> GateSpec:
    """A decision's check as a gate: `decision:ID`; it enforces unless a person has written otherwise."""
    check = decision.check
    assert check is not None  # noqa: S101 - callers ask for those that have one
    level = check.level if "level" in check.model_fields_set else Level.ENFORCE
    return check.model_copy(update={"name": f"{GATE}{decision.id}", "level": level, "message": None})


def cited(result: GateResult, filed: Filed, commit: str | None) -> GateResult:
    """The verdict of a decision's gate, with what was decided, by whom, and since which commit."""
    decision = filed.decision
    by = f"task {decision.task}" if decision.task else "a person"
    where = f", commit {commit[:12]}" if commit else ""
    said = f"This contradicts decision {decision.id} ({one_line(decision.title)}; {by}{where}): "
    words = (decision.check.message if decision.check is not None else None) or result.message
    return result.model_copy(update={"message": f"{said}{_cut(decision.decision)} {words}".strip()})


def supersedes_of(task: Task) -> tuple[str, ...]:
    """Ids of decisions that the author of a task lets it supersede: `supersedes` of its front matter."""
    written = task.document.header.extra.get("supersedes")
    if isinstance(written, str):
        return (written,)
    return tuple(each for each in written if isinstance(each, str)) if isinstance(written, list | tuple) else ()


# -- what a task has recorded and not yet filed ---------------------------------------------------------------


def recorded(rows: Iterable[Mapping[str, Any]]) -> tuple[Recorded, ...]:
    """The decisions of a `finished` event. Those of records before they were checked may be anything: left out."""
    found = []
    for each in tuple(rows)[:MOST]:
        try:
            found.append(Recorded.model_validate(each))
        except ValidationError:
            continue
    return tuple(found)


def follow(before: Cursor, cursor: Cursor, event: Event) -> Cursor:
    """The cursor after an event, with what is decided and not yet filed. `before`: as it was."""
    if event.event is EventKind.FINISHED and event.outcome is Outcome.PASSED:
        decided = {step: each for step, each in before.decided.items() if step != event.step}
        return _changed(cursor, {**decided, str(event.step): event.decisions} if event.decisions else decided)
    if accepts(event):
        filed = len(_pending(before))
        return _changed(cursor.model_copy(update={"filed": before.filed + filed}), {})
    if event.event is EventKind.PARKED and event.reason is ParkReason.DECISION:
        told = Finding(source="hqd", text=event.missing or "", step=before.step)
        return cursor.model_copy(update={"findings": (told,)})
    if event.event is EventKind.RESUMED and before.reason is ParkReason.DECISION and event.step is None:
        return cursor.model_copy(update={"phase": Phase.PASSED, "findings": event.findings, "mode": "first"})
    anew = {cursor.step} if event.event in (EventKind.ROUTED, EventKind.RESUMED, EventKind.FEEDBACK) else set()
    stale = {step for step, ref in cursor.outputs.items() if ref.stale}
    return _changed(cursor, {step: each for step, each in before.decided.items() if step not in anew | stale})


def _changed(cursor: Cursor, decided: dict[str, tuple[dict[str, Any], ...]]) -> Cursor:
    return cursor if decided == cursor.decided else cursor.model_copy(update={"decided": decided})


def accepts(event: Event) -> bool:
    """Whether an event accepts a task's work: done, landed, or approved by a person."""
    if event.event is EventKind.FEEDBACK:
        return event.outcome is Outcome.PASSED and event.to is State.QUEUE
    return event.event in (EventKind.DONE, EventKind.LANDED)


def files(task: Task, event: Event, main: str = "") -> tuple[Decision, ...]:
    """The decisions that an event of a task files, in the order of its steps. `main`: the commit below it."""
    cursor = task.cursor
    if not cursor.decided or not accepts(event):
        return ()
    by_hand, own = supersedes_of(task), tuple(each for each in (cursor.playbook,) if each)
    return tuple(
        Decision(
            **{**dict(made), "supersedes": tuple(dict.fromkeys((*made.supersedes, *by_hand)))},
            id=f"D-{task.id[:8]}-{task.id[-6:]}-{cursor.filed + number}",
            at=event.at,
            task=task.id,
            step=step,
            attempt=cursor.attempts.get(step),
            commit=event.landed or cursor.landed or cursor.head or main or None,
        ).model_copy(update={"playbooks": made.playbooks or own})
        for number, (step, made) in enumerate(_pending(cursor), start=1)
    )


def _pending(cursor: Cursor) -> list[tuple[str, Recorded]]:
    return [(step, each) for step, made in cursor.decided.items() for each in recorded(made)]


def contradicted(task: Task, board: Board) -> Park | None:
    """The park of a task that has settled what is settled otherwise: both texts, for a person to choose."""
    cursor = task.cursor
    if cursor.phase is not Phase.PASSED or not (cursor.decided or cursor.filed):
        return None
    by_hand, own = supersedes_of(task), tuple(each for each in (cursor.playbook,) if each)
    mine: list[Recorded] = [
        each.model_copy(update={"playbooks": each.playbooks or own, "supersedes": (*each.supersedes, *by_hand)})
        for _step, each in _pending(cursor)
    ]
    mine += [each for each in board.decisions if each.task == task.id]
    steps = [step for step, _each in _pending(cursor)]
    for place, step in enumerate(steps):
        for earlier in range(place):
            if contradicts(mine[earlier], mine[place]):
                return Park(ParkReason.DECISION, _with_itself(mine[earlier], steps[earlier], mine[place], step))
    replaced = {name for each in (*mine, *board.decisions) for name in each.supersedes}
    for each in mine:
        for other in board.decisions:
            if other.task != task.id and other.id not in replaced and contradicts(each, other):
                return Park(ParkReason.DECISION, _both(each, other))
    return None


def _both(mine: Recorded, other: Decision) -> str:
    by = f"by task {other.task}" if other.task else "by a person"
    return (
        f"on the topic {mine.topic!r} it decided: {_cut(mine.decision)} But {other.id} ({one_line(other.title)}, {by})"
        f" says: {_cut(other.decision)} Choose: write `supersedes: {other.id}` into the front matter of this task, or"
        f" `status: withdrawn` into that decision (and `hqd apply`), then retry; or retry with --from STEP to have it"
        f" decided anew"
    )


def _with_itself(one: Recorded, step: str, other: Recorded, later: str) -> str:
    return (
        f"on the topic {one.topic!r} step {step} decided: {_cut(one.decision)} But step {later} of the same task says:"
        f" {_cut(other.decision)} Choose: say in the task which one holds, and retry with --from the step that is to"
        f" decide it anew"
    )


def _cut(text: str) -> str:
    line = one_line(" ".join(text.split()))
    line = line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
    return line if line.endswith((".", "!", "?", "…")) else line + "."


def _moment(decision: Decision) -> datetime:
    at = decision.at or _LONG_AGO
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
