"""What a worker is handed, what an agent answers, and what a worker hands back. All frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult
from hqd.model.record import Finding, Usage, Work
from hqd.model.settings import AgentSettings


@dataclass(frozen=True, slots=True)
class Question:
    """One call of an agent.

    `stable` is the part of the prompt that is the same for all tasks of the step (cached by providers that
    can); the agent is sent `stable + prompt`. `cwd` is the task's copy, or None where the step needs no files.
    """

    agent: str
    settings: AgentSettings
    task: str
    step: str
    attempt: int
    stable: str
    prompt: str
    cwd: Path | None
    output_file: Path | None
    slot: int
    timeout: float  # seconds
    max_bytes: int
    schema: Mapping[str, Any] | None = None
    budget_usd: float | None = None  # what this attempt may still spend
    budget_tokens: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # for expressions: task, inputs, …
    tools: bool = False

    @property
    def text(self) -> str:
        return self.stable + self.prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `failure` None: the agent claims success; hqd checks for itself."""

    text: str
    raw: bytes
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    failure: Failure | None = None
    message: str = ""  # one line for people: why it failed
    stop: str | None = None
    retry_after: float | None = None
    needs_human: str | None = None  # the question
    replan: str | None = None
    decisions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's frozen result of one attempt; the loop turns it into one `finished` event.

    `files` are committed beside the record: role (`prompt.md`, `raw.txt`, `output.md`, `patch.diff`,
    `manifest.json`) to bytes, already scanned and redacted.
    """

    task: str
    step: str
    attempt: int
    nonce: str
    outcome: Outcome
    failure: Failure | None = None
    message: str = ""
    findings: tuple[Finding, ...] = ()
    gates: tuple[GateResult, ...] = ()
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    stop: str | None = None
    wall: float = 0.0
    prompt_hash: str | None = None
    fingerprint: str | None = None
    retry_after: float | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    output_role: str | None = None
    output_data: bool = False
    work: Work | None = None
    decisions: tuple[Mapping[str, Any], ...] = ()
    sample: float | None = None  # of a review that people were not asked for: the share that they are asked for
    arm: str | None = None  # of the playbook's experiment
