"""What following origin needs of git; `adapters/mainline.py` fulfils it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hqd.model.change import Transition
from hqd.model.upstream import Unpushed


class Mainline(Protocol):
    """Main beside what origin has of it: what is not pushed, and moving main. For the loop's thread only.

    Commits are made by `build`, beside main; main moves once, by `advance`.
    """

    @property
    def tip(self) -> str: ...

    def agreed(self) -> str | None:
        """The tip of origin that main was last brought in line with; None: none yet."""

    def agree(self, tip: str) -> None: ...

    def descends(self, old: str, new: str) -> bool: ...

    def meet(self, one: str, other: str) -> str | None:
        """The best common ancestor; None: two histories that have nothing in common."""

    def unpushed(self, since: str, tip: str) -> tuple[Unpushed, ...]:
        """Main's first-parent line from `since`, which it leaves out, to `tip`; oldest first."""

    def build(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        """Commits on top of `base`, durable, while main stays. Raises CannotCommit, ValueError."""

    def advance(self, base: str, to: str, seen: str) -> None:
        """Moves main from `base` to `to`, index and files following; people's work is never touched.

        `seen`: what a later start takes as the last tip that was agreed to. Raises StaleHead, PathsInUse,
        RepositoryBusy, CannotCommit; then nothing was changed.
        """

    def merged(self, ours: str, theirs: str) -> tuple[tuple[str, str, str], ...]:
        """What merging changes on `ours`: (mode, object id or empty for deleted, path). Raises Conflict."""

    def graft(self, head: str, old: str, moved: Mapping[str, str]) -> str | None:
        """The commits of `head` that `old` does not have, made again on what their parents have become.

        `moved`: commit -> what it has become. Trees keep the new parent's workspace/. None: a conflict.
        """

    def same_work(self, one: str, other: str) -> bool:
        """Whether two commits have the same files beside workspace/."""

    def keep(self, tip: str) -> None:
        """refs/hqd/unpushed/… keeps a tip that main is about to leave."""

    def let_go(self) -> None:
        """All that was kept has been made anew and is pushed."""
