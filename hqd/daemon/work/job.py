"""A job: what a worker is handed after its claim is durable. Frozen; the worker reads nothing else of the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hqd.core.decide import attempt_seconds
from hqd.core.limits.budget import attempt_dollars, attempt_tokens
from hqd.core.place import repo_of
from hqd.model.attempt import Report
from hqd.model.board import Rules, Task
from hqd.model.failure import Failure, Outcome
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, Finding
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

    @classmethod
    def of(
        cls,
        event: Event,
        task: Task,
        rules: Rules,
        commit: str,
        known: Mapping[str, Task],
        values: Mapping[str, str],
        spent_today: tuple[float, int],
        now: datetime,
    ) -> Job:
        """The job of a claim that is durable as `commit`. `known`: other tasks; `spent_today`: dollars, tokens."""
        playbook = rules.playbooks[event.playbook or ""]
        step = playbook.step(event.step or "")
        return cls(
            task=task,
            rules=rules,
            playbook=playbook,
            step=step,
            attempt=event.attempt or 1,
            nonce=event.claim.nonce if event.claim is not None else "",
            agent=event.agent,
            mode=event.mode or "first",
            snapshot=event.snapshot or commit,
            commit=commit,
            now=now,
            timeout=attempt_seconds(rules, playbook, step, event.agent),
            budget_usd=attempt_dollars(task, rules, playbook, step, spent_today[0]),
            budget_tokens=attempt_tokens(task, rules, playbook, step, spent_today[1]),
            values=values,
            kin={each: known[each] for ids in task.cursor.children.values() for each in ids if each in known},
        )

    @classmethod
    def afterwards(
        cls, task: Task, rules: Rules, playbook: Playbook, commit: str, values: Mapping[str, str], now: datetime
    ) -> Job:
        """For a look at work that is done, before it lands: no attempt, nothing is spent."""
        agents = [step for step in playbook.steps if step.kind is StepKind.AGENT]
        step = agents[-1] if agents else playbook.steps[-1]
        attempt = task.cursor.attempts.get(step.name, 1)
        return cls(
            task, rules, playbook, step, attempt, "", None, "again", commit, commit, now, 0.0, None, None, values
        )

    @property
    def settings(self) -> AgentSettings | None:
        return self.rules.settings.agents.get(self.agent) if self.agent is not None else None

    @property
    def repo(self) -> str | None:
        """The target repository that the work goes to; None: the HQ."""
        return repo_of(self.task, self.playbook)

    @property
    def main(self) -> str:
        """The commit of main, in the HQ or the target repository, that the task's work is to be built on."""
        return self.snapshot if self.repo is None else self.task.cursor.base or self.snapshot

    @property
    def accepted(self) -> str:
        """The accepted work so far, else where the branch began, else main."""
        return self.task.cursor.head or self.task.cursor.base or self.snapshot

    @property
    def tip(self) -> str:
        """What an attempt starts from: the accepted work, where main is to be brought together with it, that merge."""
        merge = self.task.cursor.merge
        return merge.commit if merge is not None else self.accepted

    @property
    def files(self) -> bool:
        """Whether the attempt needs a working copy: programs, and agents with file tools."""
        settings = self.settings
        if settings is None:
            return any(getattr(gate, "kind", None) == "command" for gate in self.step.gates)
        return settings.provider == "command" or settings.tools or self.step.tools

    def ended(
        self, outcome: Outcome, failure: Failure | None, message: str, findings: tuple[Finding, ...] = ()
    ) -> Report:
        """The report of an attempt that came to nothing an agent or a program made. Texts are clean of secrets."""
        return Report(
            task=self.task.id,
            step=self.step.name,
            attempt=self.attempt,
            nonce=self.nonce,
            outcome=outcome,
            failure=failure,
            message=message,
            findings=findings,
        )
