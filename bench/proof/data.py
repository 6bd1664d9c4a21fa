"""The recorded answers as the arms see them: which models there are, which prompts all of them answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bench import ifeval
from bench.ifeval import Prompt, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Model:
    """A model under a short name. `weight`: what a character costs, in billions of parameters; 1 where nobody knows."""

    name: str
    prefix: str
    weight: float = 1.0


MODELS = {
    model.name: model
    for model in (
        Model("qwen-7b", "Qwen2.5-7B-", 7.61),
        Model("qwen-14b", "Qwen2.5-14B-", 14.7),
        Model("qwen-32b", "Qwen2.5-32B-", 32.5),
        Model("gpt-4o", "gpt-4o-2024-"),
        Model("claude-3.5-sonnet", "claude-3-5-sonnet-"),
    )
}


@dataclass(frozen=True)
class Recorded:
    """Everything that is recorded in one folder. `rows` is the file that replay agents answer from, left in place."""

    folder: Path
    prompts: Mapping[int, Prompt]
    answers: Mapping[tuple[int, str], Response]  # (key, full model name)

    @property
    def rows(self) -> Path:
        return self.folder / "responses.jsonl.gz"

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Full names, sorted."""
        return tuple(sorted({model for _, model in self.answers}))

    def full_name(self, short: str) -> str | None:
        """The recorded model that a short name means; None where there is none."""
        return next((name for name in self.models if name.startswith(MODELS[short].prefix)), None)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Short name -> full name, of the models that are here."""
        return {short: full for short in MODELS if (full := self.full_name(short)) is not None}

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """The prompts that every named model answered, in order: what paired comparisons are over."""
        return tuple(
            key for key in sorted(self.prompts) if all((key, full) in self.answers for full in self.names.values())
        )

    def answer(self, key: int, short: str) -> Response:
        return self.answers[key, self.names[short]]


def read(where: Path) -> Recorded:
    """Reads a folder of the form of ifeval-responses. Raises KeyError for a constraint that the table lacks."""
    prompts = ifeval.prompts(where)
    answers = {(each.key, each.model): each for each in ifeval.responses(where) if each.key in prompts}
    return Recorded(where, prompts, answers)


def sample(keys: Sequence[T], most: int) -> tuple[T, ...]:
    """At most so many, spread evenly over the keys in order."""
    return tuple(keys[at * len(keys) // most] for at in range(most)) if most < len(keys) else tuple(keys)
