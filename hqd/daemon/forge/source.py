"""One repository on a forge, as the daemon follows it: whom it asks, and what its clone here knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hqd.ports import RemoteForge


@dataclass(frozen=True, slots=True)
class Source:
    """`base`: the branch that work lands on. Safe to use from several threads.

    `fetch` brings the commits of all branches here, and moves nothing of the HQ's; `catch_up` asks for main to be
    brought here, to the commit that is named or beyond. Both may raise RemoteUnavailable and RemoteRefused.
    `descends(old, new)`: False also where one of them is not here. `main`: the tip of `base` here.
    """

    server: RemoteForge
    base: str
    fetch: Callable[[], Mapping[str, str]]
    catch_up: Callable[[str], object]
    descends: Callable[[str, str], bool]
    main: Callable[[], str]

    def has(self, commit: str) -> bool:
        """Whether the commit is here."""
        return self.descends(commit, commit)


Sources = Callable[[str | None], Source | None]
"""The source of a place by its name; None where its reviews are not on a forge. Raises Expected and Misconfigured."""
