"""Where work goes, wired: the HQ and, one mirror each, the target repositories of `[repos.*]`."""

from __future__ import annotations

from hqd.adapters.local_forge import LocalForge
from hqd.bootstrap.opening import Hq
from hqd.daemon.places import Place, Places
from hqd.errors import Expected


def places_of(hq: Hq) -> Places:
    """The places of an HQ, each made when it is first asked for."""
    here = Place(None, hq.branches, LocalForge(hq.branches))

    def place(repo: str | None) -> Place:
        if repo is None:
            return here
        raise Expected(f"no repository {repo} in hqd.toml", remedy=f"add [repos.{repo}] with its url")

    return place
