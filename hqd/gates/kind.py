"""What a gate kind is: a name, parameters, and one function from what it sees to a verdict.

A plug-in writes its kinds with nothing but this file. A kind never decides about levels, `not`, `when` or the
author's own message: the registry does. It raises `CannotJudge` where it has no answer, which is an `error`.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqd.gates.markdown import Document
from hqd.model.attempt import Answer
from hqd.model.gate import Evidence, GateResult, Level, Subject
from hqd.ports import Programs

EXCERPT = 120
"""Longest excerpt in evidence, in characters."""


class CannotJudge(Exception):
    """A kind has no verdict: something it needs is missing or broken. Becomes `error`, never pass or fail.

    `cost` in dollars: what was paid all the same.
    """

    def __init__(self, message: str, cost: float = 0.0) -> None:
        super().__init__(message)
        self.cost = cost


class Params(BaseModel):
    """Base of a kind's parameters. The docstring of each kind's class is its exact definition.

    `defer_build`: pydantic builds the validator of a class at its first use; a run uses few kinds.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True, defer_build=True
    )


class Range(Params):
    """At least `min`, at most `max`; one of them must be given."""

    min: int | None = Field(default=None, ge=0, description="the smallest number that passes")
    max: int | None = Field(default=None, ge=0, description="the largest number that passes")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max}): nothing can pass")
        return self


class Cost(IntEnum):
    """What running a gate costs; the order in which gates run."""

    CHEAP = 0  # a pure program, well below a millisecond
    DEAR = 1  # starts a process
    JUDGE = 2  # asks a model or a person


class Scope(StrEnum):
    """What target `output` means to a kind."""

    TEXT = "text"  # the texts of the target
    WORK = "work"  # the output and every file that the attempt changed
    NONE = "none"  # the kind has no target: it looks at the attempt as a whole


class Piece:
    """One text of a gate's target, with the name that people and agents know it by.

    `numbers` maps its lines to line numbers of the file where they differ (an attempt's added lines).
    `data` is the value where the target is one (typed output, `key:PATH`).
    """

    def __init__(
        self, path: str, text: str, *, raw: bytes | None = None, numbers: tuple[int, ...] = (), data: Any = None
    ) -> None:
        self.path = path
        self.text = text
        self.data = data
        self._raw = raw
        self._numbers = numbers

    @property
    def raw(self) -> bytes:
        return self.text.encode("utf-8", "surrogatepass") if self._raw is None else self._raw

    @cached_property
    def digest(self) -> str:
        seen = hashlib.blake2b(self.raw, digest_size=16)
        seen.update(b"\0" + self.path.encode("utf-8", "surrogatepass") + repr((self._numbers, self.data)).encode())
        return seen.hexdigest()

    @cached_property
    def document(self) -> Document:
        return Document(self.text)

    @cached_property
    def stripped(self) -> str:
        return self.text.strip()

    def line_number(self, line: int) -> int:
        """The number to show for this text's 1-based line."""
        return self._numbers[line - 1] if 0 < line <= len(self._numbers) else line

    def line_at(self, offset: int) -> int:
        return self.line_number(self.text.count("\n", 0, offset) + 1)

    def at(self, offset: int, length: int = 0) -> Evidence:
        """Evidence for a place in the text: its line, or the part of a long one around it."""
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        end = len(self.text) if end < 0 else end
        if end - start > EXCERPT:
            start = max(start, offset - EXCERPT // 3)
            end = min(end, max(start + EXCERPT, offset + min(length, EXCERPT)))
        return Evidence(path=self.path, line=self.line_at(offset), excerpt=shorten(self.text[start:end]))

    def on(self, line: int, excerpt: str = "") -> Evidence:
        """Evidence for one of this text's 1-based lines."""
        return Evidence(path=self.path, line=self.line_number(line), excerpt=shorten(excerpt))


class Asks(Protocol):
    """The door to agents that judge."""

    def ask(self, agent: str, prompt: str, schema: Mapping[str, Any], stop: threading.Event | None) -> Answer:
        """One question. Raises CannotJudge where there is no agent of that name."""

    def identity(self, agent: str) -> str:
        """What a verdict depends on besides the prompt: provider and model. Raises CannotJudge."""


@dataclass(frozen=True, slots=True)
class Doors:
    """The outside things that some kinds need. What is None makes those kinds `error`, with a plain word why."""

    programs: Programs | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    asks: Asks | None = None
    known_secrets: tuple[str, ...] = ()  # values that hqd itself handed out; found also where they stand encoded


@dataclass(frozen=True, slots=True)
class View:
    """What a kind sees of one attempt. `nested(member, label)` runs a gate in this one: a name or a table."""

    name: str
    pieces: tuple[Piece, ...]
    subject: Subject
    doors: Doors
    nested: Callable[[Any, str], GateResult]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a kind says. `passed` None: nothing to judge here (`skip`), `message` says why.

    `settled` fails are not turned into passes by `not`: a text that is not there satisfies no gate.
    """

    passed: bool | None
    message: str = ""
    evidence: tuple[Evidence, ...] = ()
    score: float | None = None
    threshold: float | None = None
    cost: float = 0.0
    settled: bool = False


@dataclass(frozen=True, slots=True)
class GateKind:
    """One kind of gate.

    `evaluate` takes the validated parameters and a `View`. `check` names what is wrong with parameters beyond
    their shape. `pure` kinds depend on nothing but the parameters, the target's texts and `reads` (attributes of
    the subject); only their verdicts are cached. Raise `version` when the same input may get another verdict.
    """

    name: str
    group: str
    params: type[Params]
    evaluate: Callable[[Any, View], Verdict]
    version: int = 1
    cost: Cost = Cost.CHEAP
    scope: Scope = Scope.TEXT
    pure: bool = True
    reads: tuple[str, ...] = ()
    check: Callable[[Any], tuple[str, ...]] | None = None
    default_level: Level | None = None  # where the author names none
    needs_calibration: bool = False  # no `enforce` without one
    raw: tuple[str, ...] = ()  # parameters that are never templates (nested gates render their own)
    members: Callable[[Any], tuple[Any, ...]] | None = None  # nested gates: names or tables


def shorten(text: str, limit: int = EXCERPT) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def listed(values: tuple[str, ...] | list[str], limit: int = 8) -> str:
    """Values for a message: quoted, and no more than `limit` of them."""
    shown = ", ".join(f'"{shorten(value, 60)}"' for value in values[:limit])
    return shown if len(values) <= limit else f"{shown} and {len(values) - limit} more"


def each(judge: Callable[[Any, Piece], Verdict]) -> Callable[[Any, View], Verdict]:
    """A kind that judges text by text: all of the target's texts must pass."""

    def evaluate(params: Any, view: View) -> Verdict:
        if len(view.pieces) == 1:
            return judge(params, view.pieces[0])
        return together(tuple((piece, judge(params, piece)) for piece in view.pieces))

    return evaluate


def together(verdicts: tuple[tuple[Piece, Verdict], ...]) -> Verdict:
    """One verdict for many texts: the failures, each with its path; the first one's score."""
    failed = [(piece, verdict) for piece, verdict in verdicts if verdict.passed is False]
    if not failed:
        judged = [verdict for _, verdict in verdicts if verdict.passed]
        if not judged:
            return verdicts[0][1] if verdicts else Verdict(None, "there is no text to judge")
        return judged[0]
    message = "\n".join(f"{piece.path}: {verdict.message}" for piece, verdict in failed[:10])
    if len(failed) > 10:
        message += f"\nand {len(failed) - 10} more files"
    evidence = tuple(item for _, verdict in failed for item in verdict.evidence)[:20]
    first = failed[0][1]
    return Verdict(False, message, evidence, first.score, first.threshold)


def counted(params: Range, count: int, what: str, evidence: tuple[Evidence, ...] = ()) -> Verdict:
    """The verdict of a kind that counts. `what` is the plural, such as `words`."""
    seen = number(count, what)
    if params.min is not None and count < params.min:
        asked = f"at least {params.min} {'is' if params.min == 1 else 'are'} asked for"
        message = f"{seen} found; {asked} ({params.min - count} more)."
        return Verdict(False, message, evidence, float(count), float(params.min))
    if params.max is not None and count > params.max:
        allowed = f"at most {params.max} {'is' if params.max == 1 else 'are'} allowed"
        message = f"{seen} found; {allowed} ({count - params.max} fewer)."
        return Verdict(False, message, evidence, float(count), float(params.max))
    bound = params.min if params.min is not None else params.max
    return Verdict(True, seen, (), float(count), None if bound is None else float(bound))


_PLURAL = re.compile(r"s\b")


def number(count: int, what: str) -> str:
    """`2 words`, `1 word`. `what` is the plural; the first word that ends in s is the one that is counted."""
    return f"{count} {_PLURAL.sub('', what, count=1) if count == 1 else what}"
