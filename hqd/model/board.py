"""The board: every open task as main has it, and what stands around it. What `decide` looks at."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from hqd.model.decision import Decision
from hqd.model.lesson import Lesson
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Cursor, Event, Hold, Pin
from hqd.model.settings import Settings
from hqd.model.task import State, TaskDocument


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings, playbooks and lessons of one pin: what a task runs under."""

    pin: Pin
    settings: Settings
    playbooks: Mapping[str, Playbook]
    lessons: tuple[Lesson, ...] = ()  # in force (shadow, warn or enforce), by id


@dataclass(frozen=True, slots=True)
class Task:
    """One open task: its file as main has it, and the cursor of its newest record (number `n`; 0: none yet)."""

    id: str
    state: State
    document: TaskDocument
    blob: str
    cursor: Cursor
    n: int = 0
    last: Event | None = None  # the newest record's event, where it is known

    def changed(self, **fields: Any) -> Task:
        return replace(self, **fields)


@dataclass(frozen=True, slots=True)
class Slots:
    """What is in flight now: task ids, and how many runs each agent and group has."""

    running: frozenset[str] = frozenset()
    agents: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Streak:
    """Transient failures of one agent in a row, and the tasks that met them."""

    failures: int = 0
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that decisions rest on.

    `values` maps a blob id to its text: content-addressed, hence the same for ever. `waiting` names tasks
    that a person has in hand (an open commit, an unfinished edit) with what is waited for.
    """

    tasks: Mapping[str, Task]
    rules: Mapping[Pin, Rules]
    current: Rules
    slots: Slots = Slots()
    holds: Mapping[str, Hold] = field(default_factory=dict)
    local: frozenset[str] = frozenset()  # holds that stand beside the repository, not on main
    streaks: Mapping[str, Streak] = field(default_factory=dict)  # by agent
    probing: frozenset[str] = frozenset()  # holds of which one task may try now
    waiting: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, State] = field(default_factory=dict)  # needed tasks that have ended
    started: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)  # agent -> claims of the last minute
    closed: Mapping[str, Task] = field(default_factory=dict)  # ended tasks that open ones refer to, as they ended
    coming: Container[str] = ()  # slugs of files that still lie in the inbox
    slugs: Collection[str] = ()  # of ended tasks, where some need names nothing: for `did you mean`
    values: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()  # in force, newest first
    targets: Mapping[str, str] = field(default_factory=dict)  # repository -> its main, where fetched a moment ago
    host: str = ""
    restored: Mapping[str, str] = field(default_factory=dict)  # playbooks that an escape has brought full review back
    seed: str = ""  # random, once per process: nonces of claims follow from it
    snapshot: str = ""  # the commit that this board was read at
    paused: bool = False
    stopping: bool = False
    spent_today: float = 0.0
    tokens_today: int = 0

    @property
    def known(self) -> Mapping[str, Task]:
        """Open tasks, and the ended ones that they refer to."""
        return ChainMap({}, self.tasks, self.closed)  # type: ignore[arg-type]  # read only

    def rules_of(self, task: Task) -> Rules:
        """The pinned rules; before the first claim the ones in force."""
        if task.cursor.pin is None:
            return self.current
        return self.rules.get(task.cursor.pin, self.current)

    def playbook_of(self, task: Task) -> Playbook | None:
        if task.cursor.playbook is None:
            return None
        return self.rules_of(task).playbooks.get(task.cursor.playbook)

    def step_of(self, task: Task) -> Step | None:
        playbook = self.playbook_of(task)
        if playbook is None or task.cursor.step is None:
            return None
        return next((step for step in playbook.steps if step.name == task.cursor.step), None)
