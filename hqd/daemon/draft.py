"""A draft: the board as it will be once the batch is committed. Every part of a turn writes into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from hqd.core.decide import Start
from hqd.daemon.batch import Batch
from hqd.daemon.spool import Reply
from hqd.model.board import Board, Task
from hqd.model.change import Act
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
    consumed: list[str] = field(default_factory=list)  # reports, by nonce
    problems: dict[str, Problem] = field(default_factory=dict)  # path -> problem found in this turn
    restore: list[Act] = field(default_factory=list)
    paused: bool = False
    ended: dict[str, State] = field(default_factory=dict)
    spent: float = 0.0
    tokens: int = 0

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
        )

    def now_board(self) -> Board:
        """The board as it is ahead of main."""
        running = set(self.board.slots.running) | {start.task for start, _task in self.starts}
        slots = replace(self.board.slots, running=frozenset(running))
        return replace(
            self.board,
            tasks=self.tasks,
            holds=self.holds,
            paused=self.paused,
            slots=slots,
            spent_today=self.spent,
            tokens_today=self.tokens,
            ended={**self.board.ended, **self.ended},
        )

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
    ) -> Task:
        """Adds an event of a task; tasks that end leave the board. Raises IllegalTransition."""
        after = self.batch.task(task, event, files=files, acts=acts, body=body, source=source, author=author)
        if after.state.open:
            self.tasks[task.id] = after
        else:
            self.tasks.pop(task.id, None)
            self.ended[task.id] = after.state
        if event.usage is not None:
            self.spent += event.usage.cost or 0.0
            self.tokens += event.usage.tokens
        return after

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
