"""Where a task's work goes: the HQ itself, or a target repository of `[repos.*]`. State always stays in the HQ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hqd.ports import Branches, Forge, Target


@dataclass(frozen=True, slots=True)
class Place:
    """One repository that work goes to. `repo`: its name in `[repos.*]`; None: the HQ, which has no `target`.

    What is fetched and pushed by `target` keeps `branches` in step.
    """

    repo: str | None
    branches: Branches
    forge: Forge
    target: Target | None = None


Places = Callable[[str | None], Place]
"""The place of a name. Raises Expected where hqd.toml has no such repository."""
