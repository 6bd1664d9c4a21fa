"""How main, or people on its branch, have moved against a task's work, and what came of bringing the two together."""

from __future__ import annotations

from dataclasses import dataclass

from hqd.model.record import Merge


@dataclass(frozen=True, slots=True)
class Drift:
    """`tip`: main, `onto` its newest commit beside state, `start` where the branch leaves it; `commits`: those that
    touch the branch's paths, oldest first; `conflicts`: paths; `rewritten`: what the work was built on is not on main
    any more.

    `people`: not main has moved, but somebody has put the branch to `tip`, beside the work; `start` is what hqd had
    there when the work was begun, and `rewritten` that `tip` does not go on from it: it was pushed by force.
    """

    tip: str
    onto: str
    start: str
    commits: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    rewritten: bool = False
    people: bool = False

    @property
    def side(self) -> str:
        """Whose side is not the task's."""
        return "people" if self.people else "main"

    def __str__(self) -> str:
        if self.people:
            how = " by force" if self.rewritten else ""
            return f"people have pushed{how} to the branch meanwhile: it is at {self.tip[:12]}, beside the work"
        if self.rewritten:
            return f"main was rewritten: what the work was built on is not there any more (main is at {self.tip[:12]})"
        if self.conflicts:
            return f"main has moved to {self.onto[:12]}, in conflict with the work in {', '.join(self.conflicts[:5])}"
        count = len(self.commits)
        return f"main has moved: {count} commit{'s' if count > 1 else ''} on the work's paths, up to {self.onto[:12]}"


@dataclass(frozen=True, slots=True)
class Side:
    """One path in conflict: both sides as git marks them, or what is the matter; bounded."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Updated:
    """`head`: the work with main's changes; None: `merge` waits for somebody to resolve it, and `sides` shows it.

    `moved`: the work was put onto main anew, and begins at `onto` now; else main was merged into it.
    """

    onto: str
    head: str | None = None
    moved: bool = False
    merge: Merge | None = None
    sides: tuple[Side, ...] = ()
