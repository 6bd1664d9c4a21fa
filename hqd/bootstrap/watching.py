"""The forge as the daemon follows it, wired: which repositories, by which client, with which clone."""

from __future__ import annotations

from collections.abc import Callable

from hqd.adapters.forges.reviews import ServerForge
from hqd.adapters.instance import host_id
from hqd.adapters.mirror import Mirrors
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.opening import Hq, SystemClock
from hqd.daemon.forge.source import Source, Sources
from hqd.daemon.forge.turns import Turns
from hqd.daemon.forge.watch import Watch
from hqd.daemon.repositories.places import Places
from hqd.daemon.rulebook import Rulebook
from hqd.model.duration import seconds


def sources_of(
    hq: Hq, rulebook: Rulebook, places: Places, mirrors: Mirrors, catch_up: Callable[[str | None], object]
) -> Sources:
    """Where reviews are asked about; `catch_up` brings the HQ's main here, where it lacks the commit that is named."""

    def source(repo: str | None) -> Source | None:
        forge = places(repo).forge
        if not isinstance(forge, ServerForge):
            return None
        if repo is None:
            branch, descends = rulebook.current.settings.hq.branch, hq.history.descends
            return Source(forge.server, branch, forge.remote.fetch, catch_up, descends, hq.repository.tip)
        mirror = mirrors.get(repo)

        def tip() -> str:
            return mirror.repository.resolve(mirror.main) or ""

        return Source(
            forge.server, mirror.settings.branch, mirror.fetch, lambda _: mirror.fetch(), mirror.descends, tip
        )

    return source


def turns_of(hq: Hq, rulebook: Rulebook) -> Turns:
    """Whether this host or another one sees to a pull request first."""

    def shared() -> bool:
        return rulebook.current.settings.hq.hosts == "many"

    return Turns(host_id(hq.private), shared, lambda: seconds(rulebook.current.settings.forge.poll))


def watch_of(
    hq: Hq, rulebook: Rulebook, places: Places, found: EnvironmentSecrets, sources: Sources, turns: Turns
) -> Watch:
    """The outside that follows pull requests."""
    return Watch(
        sources,
        places,
        lambda: seconds(rulebook.current.settings.forge.poll),
        found.known,
        SystemClock().now,
        hq.private,
        turns,
    )
