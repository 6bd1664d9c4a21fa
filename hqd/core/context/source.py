"""What may be sent (a candidate) and what became of it (a document), each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Status = Literal["kept", "cut", "dropped"]
Form = Literal["whole", "body", "index", "mention", "lesson", "decision"]
"""How a blob becomes text: as it is, without its front matter, as one line that says what is in it (`mention`: to an
agent that cannot read files); of a lesson, what it tells agents; of a decision, what was decided and why."""


class Layer(IntEnum):
    """Where a rule stands; documents of a wider layer come first, so that more prompts begin alike."""

    NATIVE = 0  # a convention of the repository itself: AGENTS.md and the like
    HQ = 1
    PLAYBOOK = 2
    STEP = 3


def path_of(source: str, repo: str) -> str:
    """A source's path within its own repository: manifests name those of others `site:docs/style.md`."""
    return source.removeprefix(f"{repo}:") if repo else source


@dataclass(frozen=True, slots=True)
class Candidate:
    """One document that a rule names.

    `stable`: whether it is the same for all tasks of the step, and so may stand in the part that providers cache.
    `group` names the rule as a whole: documents of one group share `max_tokens`. `problem`: why it cannot be used at
    all; it is then in the manifest, and nowhere else.
    """

    source: str
    blob: str
    rule: str
    layer: Layer = Layer.STEP
    priority: int = 0
    required: bool = False
    max_tokens: int | None = None
    group: str = ""
    stable: bool = True
    form: Form = "whole"
    heading: str = ""
    score: float | None = None
    problem: str | None = None
    quarantine: bool = False
    topic: str = ""  # the question that it answers: of two answers to one question only one is sent
    repo: str = ""  # the target repository that its blob is in; empty: the HQ
    moment: str = ""  # since when it holds, ISO 8601; of two answers the newer counts
    remark: str = ""  # what else the account is to say of it, where it is sent

    @property
    def path(self) -> str:
        """Its path within its own repository."""
        return path_of(self.source, self.repo)

    @property
    def result(self) -> bool:
        """A result of the task's own steps or children: sent also where another says the same."""
        return self.source.startswith(("output:", "child:"))


@dataclass(frozen=True, slots=True)
class Text:
    """A candidate's content. `problem`: it cannot be sent (binary, too large, gone). `flags`: what is suspicious."""

    text: str = ""
    problem: str | None = None
    flags: tuple[str, ...] = ()


Load = Callable[[Candidate], Text]


@dataclass(frozen=True, slots=True)
class Document:
    """One document as decided: where it came from (path or `output:STEP`), its blob, its rule, its text.

    `text` is what is sent: cut, where `chars` and `mark` say how. `tokens` None: it was not even looked at.
    """

    source: str
    blob: str
    rule: str
    text: str
    status: Status = "kept"
    why: str = ""
    tokens: int | None = None
    stable: bool = True
    form: Form = "whole"
    heading: str = ""
    chars: int | None = None
    mark: str | None = None
    score: float | None = None
    flags: tuple[str, ...] = ()
    repo: str = ""

    @property
    def sent(self) -> bool:
        return self.status != "dropped"
