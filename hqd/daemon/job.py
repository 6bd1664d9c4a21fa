"""A job: what a worker is handed after its claim is durable. Frozen; the worker reads nothing else of the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hqd.model.board import Rules, Task
from hqd.model.playbook import Playbook, Step
from hqd.model.settings import AgentSettings


@dataclass(frozen=True, slots=True)
class Job:
    """`task` is as after the claim (its cursor is the claimed one). `budget_…`: what it may spend at most."""

    task: Task
    rules: Rules
    playbook: Playbook
    step: Step
    attempt: int
    nonce: str
    agent: str | None
    mode: str
    snapshot: str  # the commit whose documents it reads
    commit: str  # the claim's own commit: has the task's earlier records
    now: datetime
    timeout: float  # seconds
    budget_usd: float | None
    budget_tokens: int | None
    values: Mapping[str, str]  # blob id -> text of outputs
    kin: Mapping[str, Task] = field(default_factory=dict)  # its children, by id

    @property
    def settings(self) -> AgentSettings | None:
        return self.rules.settings.agents.get(self.agent) if self.agent is not None else None

    @property
    def files(self) -> bool:
        """Whether the attempt needs a working copy: programs, and agents with file tools."""
        settings = self.settings
        if settings is None:
            return any(getattr(gate, "kind", None) == "command" for gate in self.step.gates)
        return settings.provider == "command" or settings.tools or self.step.tools
