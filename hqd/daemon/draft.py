"""A draft: the board as it will be once the batch is committed. Every part of a turn writes into one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from hqd.codec import layout
from hqd.codec.decision import decision_path, write_decision
from hqd.core import decisions
from hqd.core.decide import Start
from hqd.daemon.batch import Batch
from hqd.daemon.people.spool import Reply
from hqd.model.board import Board, Slots, Streak, Task
from hqd.model.change import Act
from hqd.model.decision import Decision
from hqd.model.problem import Problem
from hqd.model.record import Event, EventKind, Hold, Person
from hqd.model.task import State


@dataclass(slots=True)
class Draft:
    """Runs ahead of main. Thrown away whole when the ledger refuses the batch."""

    board: Board
    batch: Batch
    tasks: dict[str, Task]
    holds: dict[str, Hold]
    starts: list[tuple[Start, Task]] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)  # by request id
    deferred: set[str] = field(default_factory=set)  # requests that a later turn answers
    consumed: list[str] = field(default_factory=list)  # reports, by nonce
    problems: dict[str, Problem] = field(default_factory=dict)  # path -> problem found in this turn
    restore: list[Act] = field(default_factory=list)
    notes: dict[str, str | None] = field(default_factory=dict)  # notes that a person wrote into: path -> blob
    paused: bool = False
    ended: dict[str, State] = field(default_factory=dict)
    closed: dict[str, Task] = field(default_factory=dict)  # tasks that ended in this turn
    spent: float = 0.0
    tokens: int = 0
    streaks: dict[str, Streak] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    agents: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    started: dict[str, tuple[datetime, ...]] = field(default_factory=dict)
    carry: Callable[[Event], Event] = lambda event: event  # work that was begun on commits that main has left since
    decided: tuple[Decision, ...] = ()  # filed in this turn

    @classmethod
    def of(cls, board: Board, batch: Batch) -> Draft:
        return cls(
            board,
            batch,
            dict(board.tasks),
            dict(board.holds),
            paused=board.paused,
            spent=board.spent_today,
            tokens=board.tokens_today,
            streaks=dict(board.streaks),
            running=set(board.slots.running),
            agents=Counter(board.slots.agents),
            groups=Counter(board.slots.groups),
            started=dict(board.started),
        )

    def now_board(self) -> Board:
        """The board as it is ahead of main."""
        return replace(
            self.board,
            tasks=self.tasks,
            holds=self.holds,
            paused=self.paused,
            slots=Slots(frozenset(self.running), self.agents, self.groups),
            started=self.started,
            spent_today=self.spent,
            tokens_today=self.tokens,
            streaks=self.streaks,
            decisions=(*self.board.decisions, *self.decided),
            ended={**self.board.ended, **self.ended},
            closed={**self.board.closed, **self.closed} if self.closed else self.board.closed,
        )

    def start(self, action: Start) -> None:
        """Adds a claim; its slot counts as taken from now on."""
        task = self.happen(self.tasks[action.task], action.event)
        self.starts.append((action, task))
        self.running.add(task.id)
        if action.event.agent is not None:
            self.agents[action.event.agent] += 1
            begun = self.started.get(action.event.agent, ())
            self.started[action.event.agent] = (*begun, action.event.at)
        if action.group is not None:
            self.groups[action.group] += 1

    def free(self, task: str, agent: str | None, group: str | None) -> None:
        """A worker has come home; its slot may be given away in this very batch."""
        if task in self.running:
            self.running.discard(task)
            if agent is not None:
                self.agents[agent] -= 1
            if group is not None:
                self.groups[group] -= 1

    def happen(
        self,
        task: Task,
        event: Event,
        *,
        files: Mapping[str, bytes] | None = None,
        acts: tuple[Act, ...] = (),
        body: bytes | None = None,
        source: str | None = None,
        author: Person | None = None,
        extra: tuple[tuple[str, bytes], ...] = (),
    ) -> Task:
        """Adds an event of a task; tasks that end leave the board. Raises IllegalTransition."""
        event = self.carry(event)
        note = layout.note_path(task.id)
        if task.state is State.BLOCKED is not event.to and note in self.notes and all(a.path != note for a in acts):
            acts = (*acts, Act(note, self.notes[note]))  # it goes with the state; what was written there is kept aside
        filed = decisions.files(task, event, self.board.snapshot)
        extra = (*extra, *((decision_path(each), write_decision(each)) for each in filed))
        self.decided += filed
        after = self.batch.task(
            task, event, files=files, acts=acts, body=body, source=source, author=author, extra=extra
        )
        if after.state.open:
            self.tasks[task.id] = after
        else:
            self.tasks.pop(task.id, None)
            self.ended[task.id] = after.state
            self.closed[task.id] = after
        if event.usage is not None:
            self.spent += event.usage.cost or 0.0
            self.tokens += event.usage.tokens
        return after

    def refused_probe(self, names: frozenset[str]) -> None:
        """Held causes that stand still: nothing else tries them in this very batch."""
        self.board = replace(self.board, probing=self.board.probing - names)

    def hold(self, hold: Hold, at: datetime) -> None:
        if hold.name in self.holds:
            return
        self.batch.hold(hold, Event(event=EventKind.HELD, to=State.QUEUE, at=at, message=hold.missing), there=False)
        self.holds[hold.name] = hold

    def lift(
        self, name: str, at: datetime, by: str, why: str, *, there: bool = True, acts: tuple[Act, ...] = ()
    ) -> None:
        hold = self.holds.pop(name, None)
        if hold is not None:
            event = Event(event=EventKind.LIFTED, to=State.QUEUE, at=at, by=by, message=why)
            self.batch.hold(hold, event, there=there, acts=acts)
