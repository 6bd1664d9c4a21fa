"""Where a task's work goes: the HQ itself, or a target repository of `[repos.*]`. State always stays in the HQ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hqd.model.drift import Drift, Updated
from hqd.model.record import Merge
from hqd.ports import Branches, Forge, Target


class Updating(Protocol):
    """Task branches and a main that moves (design section 8): commits beside state on a branch's paths, or a conflict.

    State commits never count. No branch is set here; what is made is durable.
    """

    def drifted(self, reviews: Mapping[str, tuple[str, str]]) -> Mapping[str, Drift]:
        """task -> (base, head) in; out: those for which main has moved, and how. Remembers how far it has looked.

        Left out: branches that are checked out, and what was told several times with nothing coming of it.
        """

    def drift(self, base: str, head: str, main: str | None = None) -> Drift | None:
        """How main has moved for one branch; None: it has not. `main`: another tip of it than the one here."""

    def newest(self, task: str, head: str) -> str:
        """The tip of hqd/TASK, with people's commits, where it goes on from `head`; else `head`."""

    def base(self, base: str, head: str, *, seen: bool = False) -> str:
        """Where the work up to `head` leaves main: `base`, or a later commit of main that was merged into it.

        `seen`: of a main too that a remote has, and that is not main here yet.
        """

    def beside(self, head: str, known: Sequence[str], theirs: str) -> tuple[str, Drift | None]:
        """Where the work is, now that people have put its branch to `theirs`, and what they have put beside it.

        `known`: commits that hqd had there or began from, newest first; the last is behind `head` for certain.
        """

    def bring_up(self, task: str, head: str, drift: Drift, *, rebase: bool, message: str) -> Updated:
        """A commit that has both, or the merge as far as git gets by itself, with markers."""

    def settle(self, merge: Merge, head: str, message: str) -> tuple[str, tuple[str, ...]]:
        """The merge with the files of `head` in place of the markers; and the paths where `head` has markers still."""


@dataclass(frozen=True, slots=True)
class Place:
    """One repository that work goes to. `repo`: its name in `[repos.*]`; None: the HQ, which has no `target`.

    What is fetched and pushed by `target` keeps `branches` in step.
    """

    repo: str | None
    branches: Branches
    forge: Forge
    updates: Updating
    target: Target | None = None


Places = Callable[[str | None], Place]
"""The place of a name. Raises Expected where hqd.toml has no such repository."""
