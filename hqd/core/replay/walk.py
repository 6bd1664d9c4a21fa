"""One task's history decided again under other rules, event by event, up to the first decision that differs. Pure.

Two boards go along: one under the rules that were in force, which tells which recorded events were decisions of those
rules, and one under the others. What was no decision (a person's word, a crash, a lost remote) happens on both.
What follows from a person's word under the other rules, `people.py` says.
What an agent answered is exact for as long as it would have been asked the very same. From the first question that
differs on, recorded answers only stand in (`asked`); at the first decision that differs nothing is recorded any more
(`differs`). `bounds.py` says what may have come after the first of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from hqd.core.evolve import evolve
from hqd.core.flow import next_move
from hqd.core.gate_use import resolve_gates
from hqd.core.moves import ClaimStep, End, FailStep, GoTo, Land, Move, Park
from hqd.core.replay.gating import Judge, Regated, Unknowable, regated
from hqd.core.replay.people import Otherwise, audited, heard, unasked
from hqd.core.replay.told import said, why, words
from hqd.core.routing import choose
from hqd.errors import IllegalTransition
from hqd.model.board import Board, Rules, Task
from hqd.model.failure import Outcome
from hqd.model.gate import GateSpec, Level
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, EventKind, Pin
from hqd.model.task import State

DECIDED = frozenset(
    {EventKind.CLAIMED, EventKind.ROUTED, EventKind.PARKED, EventKind.DONE, EventKind.DROPPED, EventKind.LANDED}
)
"""Kinds of events that rules decide; those that a person said are none."""

_ASKS = {
    StepKind.AGENT: "asks its agent something else",
    StepKind.ASK: "asks people something else",
    StepKind.RUN: "runs something else",
}

Prompts = Callable[[Rules, Playbook, Step], object]
"""Everything of a step that says what is asked, or run, but for the task: equal values, equal questions."""


@dataclass(frozen=True, slots=True)
class Past:
    """One task as recorded: as it was accepted, and every event after that in order."""

    task: Task
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class World:
    """What a walk is made in. `old`, `new`: the rules of a pin, as they were and as they are tried.

    `values`: texts of outputs by blob. `judge`: of a text and the step's typed-ness makes the judge of gates.
    """

    old: Callable[[Pin], Rules]
    new: Callable[[Pin], Rules]
    values: Mapping[str, str]
    judge: Callable[[Task, Event, str | None], Judge]
    old_prompts: Prompts
    new_prompts: Prompts


@dataclass(frozen=True, slots=True)
class Differs:
    """A difference: at record `n`, what was decided, what would be, and why.

    `move` None: what would follow is not known at all. `task`, `rules`: as they would be just before it. `position`:
    how many events came before it.
    """

    n: int
    at: datetime
    step: str | None
    was: str
    would_be: str
    why: str
    move: Move | None
    task: Task
    rules: Rules
    position: int


@dataclass(slots=True)
class Walked:
    """How far a task could be followed."""

    task: str
    same: int = 0  # decisions that are the same
    outside: int = 0  # recorded by hqd, and not what the rules of then decide: the world's doing, or another hqd
    rerun: int = 0  # verdicts of gates that were made anew
    unjudged: set[str] = field(default_factory=set)
    asked: Differs | None = None  # the first question that differs, or verdict that nobody can tell
    differs: Differs | None = None  # the first decision that differs
    ends: str | None = None  # why it is not followed to its end, where nothing differs

    @property
    def first(self) -> Differs | None:
        """Where it is exact up to."""
        return self.asked or self.differs


def walk(past: Past, world: World) -> Walked:
    """Follows one task. Never raises for what its history says."""
    return _Walk(past, world).go()


def bare(task: Task) -> Task:
    """A task that waits for nothing: what it waited for then had come before each claim."""
    header = task.document.header.model_copy(update={"needs": (), "not_before": None, "suspend": False})
    return task.changed(document=task.document.model_copy(update={"header": header}))


class _Walk:
    def __init__(self, past: Past, world: World) -> None:
        self.world, self.events = world, past.events
        self.old = self.new = bare(past.task)
        self.found = Walked(past.task.id)
        self.pins = _pins(past.events)
        self.position = 0

    def go(self) -> Walked:
        for place, event in enumerate(self.events):
            self.position = place
            try:
                if not self._follow(place, event):
                    break
            except IllegalTransition as fault:
                self.found.ends = f"record {self.old.n + 1} cannot be followed: {fault.message}"
                break
            except KeyError as fault:
                self.found.ends = f"at record {self.old.n + 1}: {fault.args[0] if fault.args else fault}"
                break
        return self.found

    def _follow(self, place: int, event: Event) -> bool:
        """One event on both boards; False where the walk ends."""
        pin = self.pins[place]
        if pin is None:
            if event.event in DECIDED and event.via is None:
                self.found.outside += 1
            self._happen(event, event)
            return True
        old_rules, new_rules = self.world.old(pin), self.world.new(pin)
        if event.event in DECIDED and event.via is None:
            decided = self._decided(event, old_rules, new_rules)
            if decided is None:
                return False
            self._happen(event, decided)
            return True
        if event.event in (EventKind.FINISHED, EventKind.REVIEW_OPENED):
            return self._ended(event, old_rules, new_rules)
        other = heard(event, self.old, self.new, old_rules, new_rules)
        if isinstance(other, Otherwise):
            return self._otherwise(event, other, new_rules)
        self._happen(event, other)
        return True

    def _otherwise(self, event: Event, other: Otherwise, rules: Rules) -> bool:
        found = self._difference(event, other.would_be, other.why, other.move, rules)
        self.found.differs = replace(found, was=other.was)
        return False

    def _happen(self, old: Event, new: Event) -> None:
        self.old, self.new = evolve(self.old, old), evolve(self.new, new)

    # -- decisions --------------------------------------------------------------------------------------------

    def _decided(self, event: Event, old_rules: Rules, new_rules: Rules) -> Event | None:
        """The event as it is under the other rules; None where the walk ends here."""
        if self.old.state is not State.QUEUE:
            self.found.outside += 1
            return event
        moved = next_move(self.old, _board(self.old, old_rules, self.world.values), event.at)
        if isinstance(moved, FailStep) or not _fits(moved, event, self.old, old_rules):
            self.found.outside += 1
            return event
        if _spawns(event, old_rules):
            self.found.ends = f"step {event.step} has children: they are tasks of their own, followed apart"
            return None
        other = next_move(self.new, _board(self.new, new_rules, self.world.values), event.at)
        if not _fits(other, event, self.new, new_rules):
            self.found.differs = self._difference(event, words(other), why(moved, other), other, new_rules)
            return None
        if event.event is EventKind.CLAIMED:
            review = unasked(event, self.old, self.new, old_rules, new_rules)
            if review is not None:
                self._otherwise(event, review, new_rules)
                return None
        if event.event is EventKind.CLAIMED and self.found.asked is None:
            asked = self._asked_otherwise(event, old_rules, new_rules)
            if asked:
                self.found.asked = self._difference(event, words(other), asked, other, new_rules)
        self.found.same += 1
        return _as_decided(event, moved, other, new_rules)

    def _asked_otherwise(self, event: Event, old_rules: Rules, new_rules: Rules) -> str:
        """Why an agent, a person or a program would have been asked something else; empty: the very same."""
        old, new = _place(event, old_rules), _place(event, new_rules)
        does = _ASKS.get(new[1].kind) if new is not None else None
        if old is None or new is None or does is None:
            return ""
        if self.world.old_prompts(old_rules, *old) != self.world.new_prompts(new_rules, *new):
            return f"step {event.step} {does}"
        if new[1].kind is not StepKind.AGENT:
            return ""
        if [each.text for each in self.old.cursor.findings] != [each.text for each in self.new.cursor.findings]:
            return f"the agent of step {event.step} is told other findings"
        agent = event.agent or ""
        if old_rules.settings.agents.get(agent) != new_rules.settings.agents.get(agent):
            return f"agent {agent} is set up otherwise"
        return ""

    def _difference(self, event: Event, would_be: str, why: str, move: Move | None, rules: Rules) -> Differs:
        n, was = self.old.n + 1, said(event)
        return Differs(n, event.at, event.step, was, would_be, why, move, self.new, rules, self.position)

    # -- ends of attempts -------------------------------------------------------------------------------------

    def _ended(self, event: Event, old_rules: Rules, new_rules: Rules) -> bool:
        """An attempt's end under the other gates."""
        old, new = self._specs(event, old_rules), self._specs(event, new_rules)
        if old is None or new is None:
            self._happen(event, event)
            return True
        if event.event is EventKind.REVIEW_OPENED:
            return self._opened(event, old, new, new_rules)
        try:
            again = regated(event, old, new, self._judge(event))
        except Unknowable as fault:
            self.found.differs = self._difference(event, "goes on", str(fault), None, new_rules)
            return False
        self._count(event, again, new, new_rules)
        asked = audited(
            again.event, event, self.new, new_rules, new_rules.playbooks.get(self.new.cursor.playbook or "")
        )
        if asked is not None and self._explained(event, old_rules):
            return self._otherwise(event, asked, new_rules)
        self._happen(event, again.event)
        return True

    def _explained(self, event: Event, rules: Rules) -> bool:
        """Whether the rules of then, too, say whether people are shown this attempt's end."""
        return audited(event, event, self.old, rules, rules.playbooks.get(self.old.cursor.playbook or "")) is None

    def _opened(self, event: Event, old: Sequence[GateSpec], new: Sequence[GateSpec], rules: Rules) -> bool:
        """A review that was opened: its gates had held, and may not hold now."""
        passed = event.model_copy(update={"event": EventKind.FINISHED, "outcome": Outcome.PASSED})
        again = regated(passed, old, new, self._judge(event))
        self._count(event, again, new, rules)
        if again.event.outcome is not Outcome.PASSED:
            red = again.event.message or ""
            self.found.differs = self._difference(event, "the review is not opened", red, None, rules)
            return False
        self._happen(event, event)
        return True

    def _count(self, event: Event, again: Regated, specs: Sequence[GateSpec], rules: Rules) -> None:
        """What was judged anew; where a gate that counts could not be, nothing is exact after this attempt."""
        self.found.rerun += again.rerun
        self.found.unjudged.update(again.unjudged)
        counts = [each.name for each in specs if each.name in again.unjudged and each.level is not Level.SHADOW]
        if counts and self.found.asked is None:
            told = f"what {', '.join(counts)} would say does not follow from the recorded text"
            found = self._difference(event, said(event), told, None, rules)
            self.found.asked = replace(found, position=self.position + 1)

    def _judge(self, event: Event) -> Judge:
        blob = event.output_blob
        if blob is None:
            ref = next((ref for ref in reversed(self.new.cursor.outputs.values()) if not ref.stale), None)
            blob = ref.blob if ref is not None else None
        try:
            text = self.world.values[blob] if blob is not None else self.new.document.text
        except KeyError:
            text = None
        return self.world.judge(self.new, event, text)

    def _specs(self, event: Event, rules: Rules) -> tuple[GateSpec, ...] | None:
        place = _place(event, rules, self.old.cursor.playbook)
        if place is None:
            return None
        playbook, step = place
        uses = [*step.gates_before, *step.gates]
        if step.kind is StepKind.AGENT:
            last = [each.name for each in playbook.steps if each.kind is StepKind.AGENT][-1]
            own = self.old.document.header.gates if step.name == last else ()
            uses += [*playbook.gates, *own]
        return resolve_gates(uses, rules.settings.gates)


def _pins(events: Sequence[Event]) -> list[Pin | None]:
    """The pin that each event was decided under: its own, the claim's before it, or the first claim's after it."""
    found: list[Pin | None] = []
    pin: Pin | None = None
    for event in events:
        if event.pin is not None:
            pin = event.pin
        elif event.event is EventKind.RESUMED:
            pin = None
        found.append(pin)
    coming: Pin | None = None
    for place in range(len(events) - 1, -1, -1):
        if found[place] is None:
            found[place] = coming
        else:
            coming = found[place]
    return found


def _board(task: Task, rules: Rules, values: Mapping[str, str]) -> Board:
    pin = task.cursor.pin if task.cursor.pin is not None else rules.pin
    return Board(tasks={task.id: task}, rules={pin: rules, rules.pin: rules}, current=rules, values=values)


def _place(event: Event, rules: Rules, playbook: str | None = None) -> tuple[Playbook, Step] | None:
    found = rules.playbooks.get(event.playbook or playbook or "")
    step = next((each for each in found.steps if each.name == event.step), None) if found is not None else None
    return (found, step) if found is not None and step is not None else None


def _spawns(event: Event, rules: Rules) -> bool:
    place = _place(event, rules)
    return event.event is EventKind.CLAIMED and place is not None and place[1].kind is StepKind.SPAWN


def _fits(move: Move, event: Event, task: Task, rules: Rules) -> bool:
    """Whether a move is what the event says was decided."""
    match move:
        case ClaimStep():
            place = _claimed(move, task, rules)
            said = (event.playbook or task.cursor.playbook, event.step, event.mode, event.agent)
            return event.event is EventKind.CLAIMED and place == said
        case GoTo():
            return event.event is EventKind.ROUTED and move.step == event.step
        case Park():
            return event.event is EventKind.PARKED and move.reason is event.reason
        case End():
            return event.event is (EventKind.DROPPED if move.dropped else EventKind.DONE)
        case Land():
            return event.event is EventKind.LANDED
        case _:
            return False


def _claimed(move: ClaimStep, task: Task, rules: Rules) -> tuple[str, str, str, str | None] | None:
    """Playbook, step, mode and agent of a claim."""
    playbook = rules.playbooks.get(task.cursor.playbook or "") if task.cursor.step is not None else None
    if playbook is None:
        chosen = choose(task, rules)
        if isinstance(chosen, Park):
            return None
        playbook = chosen
    return playbook.name, move.step, move.mode, move.agent or playbook.step(move.step).agent


def _as_decided(event: Event, was: Move, move: Move, rules: Rules) -> Event:
    """The recorded event with what the other rules would have written into it; where they say the same, as it is."""
    if isinstance(move, ClaimStep):
        rungs = {} if move == was else {"rung": move.rung, "ladder": move.ladder}
        return event.model_copy(update={**rungs, "pin": rules.pin})
    if isinstance(move, GoTo) and move != was:
        return event.model_copy(update={"route": move.key, "findings": move.findings, "items": move.stale})
    return event
