"""What the daemon listens and speaks to beyond its clone, as the settings in force want it."""

from __future__ import annotations

from collections.abc import Callable

from hqd.adapters.forges.webhooks import Wake
from hqd.adapters.history import GitHistory
from hqd.adapters.mirror import Mirrors
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.listening import Listening
from hqd.bootstrap.oneself import asking
from hqd.bootstrap.opening import Hq
from hqd.bootstrap.proposals import proposing
from hqd.bootstrap.watching import sources_of, turns_of, watch_of
from hqd.core.reviews.names import name_on
from hqd.daemon.autonomy import Autonomy
from hqd.daemon.forge.acting import Acting
from hqd.daemon.forge.remind import Reminders
from hqd.daemon.lessons import reverts
from hqd.daemon.lessons.proposing import Proposer
from hqd.daemon.lessons.teaching import Teaching
from hqd.daemon.outside import Outside
from hqd.daemon.repositories.places import Places
from hqd.daemon.repositories.targets import Targets
from hqd.daemon.rulebook import Rulebook
from hqd.model.settings import Settings
from hqd.ports import Checkout, Notifier

_OF_BRANCHES = frozenset({"push", "pull_request", "Push Hook", "Merge Request Hook", "unknown"})
"""Deliveries after which main of origin, or of a target repository, may be another."""


def outsides_of(
    hq: Hq,
    rulebook: Rulebook,
    checkout: Checkout,
    places: Places,
    mirrors: Mirrors,
    found: EnvironmentSecrets,
    note: Callable[[str], None],
    notifier: Notifier,
    targets: Targets,
    catch_up: Callable[[str | None], None] = lambda _commit: None,
) -> tuple[Outside, ...]:
    """In the order in which a turn asks them. `catch_up`, from any thread: origin's main is to be brought here, where
    main has not the commit that is named."""

    def told(wake: Wake) -> None:
        watch.hint(wake.number, wake.commit)
        if wake.event in _OF_BRANCHES:
            catch_up(None)
            targets.seek(lambda repo: _is_about(wake, rulebook.current.settings, repo))

    turns = turns_of(hq, rulebook)
    sources = sources_of(hq, rulebook, places, mirrors, catch_up)
    watch = watch_of(hq, rulebook, places, found, sources, turns)
    acting = Acting(places, hq.history, rulebook, found.known, note, turns, sources, watch.hint)
    listening = Listening(rulebook, found, told, note)
    teaching = Teaching(
        hq.history, checkout, rulebook, hq.private, Proposer(proposing(hq.root, hq.env), note),
        reverts.Targets(hq.history, lambda repo: GitHistory(mirrors.get(repo).repository)),
    )  # fmt: skip
    autonomy = Autonomy(rulebook, asking(hq.root, hq.env, ("report", "autonomy", "--propose", "--json")), note)
    return (watch, acting, Reminders(notifier), listening, teaching, autonomy)


def _is_about(wake: Wake, settings: Settings, repo: str) -> bool:
    """Whether a delivery may be about a target repository: it names that one, or none. Forges ignore the case."""
    found = settings.repos.get(repo)
    name = name_on(settings.forge, found) if found is not None else None
    return name is not None and (wake.repo is None or wake.repo.lower() == name.lower())
