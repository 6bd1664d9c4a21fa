"""What the daemon knows between two turns: main as last seen, open tasks, holds, spend, what is in the way."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hqd.codec import layout
from hqd.codec.autonomy import read_restored
from hqd.codec.hold import read_hold
from hqd.core.decide import DAY_BUDGET
from hqd.core.decisions import Settled
from hqd.core.limits.rate import recent
from hqd.daemon.decisions import problems_of
from hqd.model.board import Board, Rules, Slots, Streak, Task
from hqd.model.problem import Problem
from hqd.model.record import Hold, Pin
from hqd.model.task import State
from hqd.ports import Tree

if TYPE_CHECKING:  # every reading command knows a Live; none of them needs a daemon's parts
    from hqd.daemon.parts import Parts

LOCAL_HOLDS = "local-holds.json"


@dataclass(slots=True)
class Live:
    """Changed by the loop only, and only after a batch is durable or main was moved by a person."""

    host: str
    seed: str
    values: Mapping[str, str]
    private: Path
    tree: Tree | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    local_holds: dict[str, Hold] = field(default_factory=dict)
    probe_at: dict[str, datetime] = field(default_factory=dict)
    streaks: dict[str, Streak] = field(default_factory=dict)  # transient failures in a row, by agent
    lifting: set[str] = field(default_factory=set)  # holds whose probe succeeded
    restored: dict[str, str] = field(default_factory=dict)  # playbook -> why all of its work is reviewed again
    paused: bool = False
    stopping: bool = False
    day: date | None = None
    spent: float = 0.0
    tokens: int = 0
    ended: dict[str, State] = field(default_factory=dict)
    started: dict[str, tuple[datetime, ...]] = field(default_factory=dict)  # agent -> claims of the last minute
    closed: dict[str, Task] = field(default_factory=dict)  # ended tasks that open ones refer to
    coming: Container[str] = ()  # slugs of what lies in the inbox
    slugs: Collection[str] = ()
    targets: Mapping[str, str] = field(default_factory=dict)  # repository -> its main, where fetched a moment ago
    waiting: dict[str, str] = field(default_factory=dict)  # task -> what a person has in hand
    busy: str | None = None
    busy_message: str = ""
    settled: Settled = field(default_factory=Settled)
    _settled_at: Pin | None = None
    task_problems: dict[str, tuple[Problem, ...]] = field(default_factory=dict)  # from main's tree
    problems: dict[str, Problem] = field(default_factory=dict)  # from the working tree, of the last turn

    @property
    def tip(self) -> str:
        return self.tree.commit if self.tree is not None else ""

    def board(self, current: Rules, known: Mapping[Pin, Rules], slots: Slots, now: datetime) -> Board:
        return Board(
            tasks=self.tasks,
            rules=known,
            current=current,
            slots=slots,
            holds={**self.holds, **self.local_holds},
            local=frozenset(self.local_holds),
            streaks=self.streaks,
            probing=frozenset(self._probing(now)),
            waiting=self.waiting,
            ended=self.ended,
            started=recent(self.started, now),
            closed=self.closed,
            coming=self.coming,
            slugs=self.slugs,
            targets=self.targets,
            values=self.values,
            decisions=self.settled.decisions,
            host=self.host,
            seed=self.seed,
            restored=self.restored,
            snapshot=self.tip,
            paused=self.paused,
            stopping=self.stopping,
            spent_today=self.spent,
            tokens_today=self.tokens,
        )

    def saw_own(self, parts: Parts) -> None:
        """Main is where hqd itself has just put it."""
        self.tree = parts.ledger.snapshot()
        self.see_decisions(parts)
        parts.see_tip(self.tip)

    def _probing(self, now: datetime) -> list[str]:
        """Committed holds of which one task may try whether the cause is gone."""
        due = []
        for name, hold in self.holds.items():
            at = self.probe_at.get(name, hold.probe)
            if name != DAY_BUDGET and at is not None and now >= at:
                due.append(name)
        return due

    def read_holds(self, tree: Tree) -> None:
        """Holds and PAUSED as main has them."""
        holds: dict[str, Hold] = {}
        for entry in tree.entries(layout.HOLDS):
            if entry.name.endswith(".md") and entry.name != "README.md":
                path = f"{layout.HOLDS}/{entry.name}"
                hold, problems = read_hold(tree.read(path) or b"", path)
                if hold is not None:
                    holds[hold.name] = hold
                else:
                    self.task_problems[path] = problems
        self.holds = holds
        self.read_restored(tree)
        self.paused = tree.entry(layout.PAUSED) is not None

    def see_decisions(self, parts: Parts) -> None:
        """What main's tree has settled; what is wrong with its files stands among the problems of main."""
        assert self.tree is not None  # noqa: S101 - set by every caller
        settled = parts.shop.context.decisions.of(self.tree)
        rules = parts.rulebook.current
        if settled is self.settled and rules.pin == self._settled_at:
            return
        self.settled, self._settled_at = settled, rules.pin
        for path in [path for path in self.task_problems if path.startswith(layout.DECISIONS + "/")]:
            del self.task_problems[path]
        for problem in problems_of(settled, parts.shop.gates(rules).check):
            self.task_problems[problem.path] = (*self.task_problems.get(problem.path, ()), problem)

    def read_restored(self, tree: Tree) -> None:
        """Playbooks whose full review an escape has restored, as main has them."""
        files = [f"{layout.AUTONOMY}/{each.name}" for each in tree.entries(layout.AUTONOMY)]
        found = [read_restored(tree.read(path) or b"") for path in files]
        self.restored = dict(filter(None, found))

    def hold_locally(self, hold: Hold) -> None:
        """A hold where nothing can be committed; kept under .git/hqd as far as the disk lets it."""
        self.local_holds[hold.name] = hold
        self._save_local()

    def lift_locally(self, name: str) -> bool:
        found = self.local_holds.pop(name, None) is not None
        if found:
            self._save_local()
        return found

    def load_local(self) -> None:
        try:
            rows = json.loads((self.private / LOCAL_HOLDS).read_text())
            self.local_holds = {row["name"]: Hold.model_validate(row) for row in rows}
        except (OSError, ValueError, KeyError):
            self.local_holds = {}

    def _save_local(self) -> None:
        rows = [hold.model_dump(mode="json") for hold in self.local_holds.values()]
        try:
            (self.private / LOCAL_HOLDS).write_text(json.dumps(rows))
        except OSError:
            return  # the very disk that is full; the hold stands in memory
