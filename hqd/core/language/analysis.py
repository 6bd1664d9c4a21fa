"""What an expression or a template refers to, and what of that can be known to be wrong without any facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hqd.model.spelling import meant

ROOTS = frozenset(
    {"task", "inputs", "output", "outputs", "answers", "children", "gates", "cost", "attempt", "round"}
    | {"now", "due", "item", "row", "agent", "step", "reason", "findings"}
)
"""Every name that an expression may start from; which of them have a value depends on the place."""

TASK_ATTRIBUTES = frozenset({"id", "slug", "title", "text", "tags", "repo", "playbook", "branch", "priority"})
"""The task in templates (design section 11)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`root.name` as used in a source. `guarded`: the source itself asks whether it is defined, or has a default."""

    root: str
    name: str
    line: int
    guarded: bool


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a source refers to."""

    roots: tuple[tuple[str, int], ...]  # (name, first line)
    references: tuple[Reference, ...]

    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.roots)

    def unknown(self, roots: Iterable[str] = ROOTS) -> tuple[tuple[int, str, str], ...]:
        """What can be known to be wrong without any facts: (line, message, remedy)."""
        known = frozenset(roots)
        found = [
            (line, f"{name} is not known here", meant(name, known)) for name, line in self.roots if name not in known
        ]
        found += [
            (use.line, f"task.{use.name} does not exist", meant(use.name, TASK_ATTRIBUTES))
            for use in self.references
            if use.root == "task" and use.name not in TASK_ATTRIBUTES
        ]
        return tuple(sorted(found))
