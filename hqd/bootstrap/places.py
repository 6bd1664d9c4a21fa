"""Where work goes, wired: the HQ and, one mirror each, the target repositories of `[repos.*]`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from hqd.adapters.mirror import Mirrors
from hqd.adapters.repository import MIRRORS
from hqd.adapters.secrets import EnvironmentSecrets, reference
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.opening import Hq
from hqd.daemon.repositories.places import Place, Places
from hqd.daemon.rulebook import Rulebook
from hqd.model.settings import Repository
from hqd.ports import Remote


def mirrors_of(
    hq: Hq,
    env: Mapping[str, str],
    rulebook: Rulebook,
    found: EnvironmentSecrets,
    forges: Forges,
    stack: ExitStack,
) -> Mirrors:
    """The mirrors of the repositories that the settings in force name; calls under way end with the stack."""
    stop = threading.Event()
    token = target_token(found, forges)
    mirrors = Mirrors(hq.private / MIRRORS, env, lambda: rulebook.current.settings.repos, token, stop)
    stack.callback(mirrors.close)
    stack.callback(stop.set)
    return mirrors


def target_token(found: EnvironmentSecrets, forges: Forges) -> Callable[[Repository], str | None]:
    """The token of a target repository: its own, else the forge's where it is on it; None: git's own ways."""

    def token(settings: Repository) -> str | None:
        if settings.token is not None:
            name = reference(settings.token)
            return found.get(name) if name is not None else None
        of_forge = forges.token_for(settings.url)
        return of_forge() if of_forge is not None else None

    return token


def places_of(hq: Hq, mirrors: Mirrors, forges: Forges, origin: Remote | None) -> Places:
    """The places of an HQ, each made when it is asked for. `origin`: where the HQ's own branches go."""

    def place(repo: str | None) -> Place:
        if repo is None:
            forge = forges.here(origin, hq.branches)
            return Place(None, hq.branches, forge, hq.branches.updates)
        mirror = mirrors.get(repo)
        forge = forges.of(mirror.settings, mirror, mirror.branches)
        return Place(repo, mirror.branches, forge, mirror.branches.updates, mirror)

    return place
