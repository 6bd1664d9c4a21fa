"""What the forge could not be asked, repository by repository, and the holds that follow. For the loop's thread."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from hqd.core.reviews.holds import FORGE, hold, hold_name
from hqd.daemon.draft import Draft
from hqd.daemon.forge.faults import meaning
from hqd.errors import HqdError
from hqd.model.failure import Failure

_ASKING = "asking the forge: "
"""What a hold of the watch begins with; those of openings are lifted by openings."""

Repo = str | None


class Troubles:
    """`None` as a repository is the HQ."""

    def __init__(self) -> None:
        self._faults: dict[Repo, HqdError] = {}
        self._told: dict[Repo, HqdError] = {}  # the last fault that was seen as a hold
        self._good: dict[Repo, datetime] = {}  # when a round ended well, since the last fault

    @property
    def first(self) -> HqdError | None:
        return next(iter(self._faults.values()), None)

    def failed(self, repo: Repo, fault: HqdError) -> None:
        self._faults[repo] = fault
        self._good.pop(repo, None)

    def answered(self, repo: Repo, at: datetime) -> None:
        self._faults.pop(repo, None)
        self._good[repo] = at

    def unknown(self, repo: Repo, fault: HqdError) -> None:
        """A repository that cannot even be asked: what it said last counts."""
        self._faults.setdefault(repo, fault)

    def keep(self, repos: Container[Repo]) -> None:
        """Forgets repositories that nobody asks about any more: no answer would ever end their trouble."""
        self._faults = {repo: fault for repo, fault in self._faults.items() if repo in repos}

    def hold(self, draft: Draft, now: datetime) -> None:
        """A forge that will say no until a person has seen to it is a hold; one that is down is only waited for.

        Each fault holds once, and only a later answer lifts: of two hosts the forge may let in one and not the other.
        """
        standing = set()
        for repo, fault in self._faults.items():
            meant = meaning(fault, repo)
            if not meant.holds or meant.failure is Failure.PROVIDER:
                continue
            wanted = hold(meant.failure, f"{_ASKING}{meant.message}", now, repo=repo)
            standing.add(wanted.name)
            if wanted.name in draft.holds:
                self._told[repo] = fault
            elif self._told.get(repo) is not fault:
                draft.hold(wanted, now)
        for repo, at in self._good.items():
            for name in {FORGE, hold_name(repo)} - standing:
                there = draft.holds.get(name)
                if there is not None and there.missing.startswith(_ASKING) and at > there.since:
                    draft.lift(name, now, "hqd", "the forge answers again")
