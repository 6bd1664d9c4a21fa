"""origin, wired: the remote, the ledger that waits for it where several hosts work, and who follows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqd.adapters.git import GitFailed
from hqd.adapters.ledger import GitLedger
from hqd.adapters.ledger.shared import SharedLedger
from hqd.adapters.mainline import NAME, SAID, GitMainline
from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets, reference
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.opening import Hq
from hqd.daemon.origin.follow import Origin
from hqd.daemon.origin.line import Line, Pace
from hqd.daemon.origin.patience import Patience
from hqd.daemon.rulebook import Rulebook
from hqd.errors import Misconfigured
from hqd.model.duration import seconds
from hqd.model.settings import HqSettings


@dataclass(frozen=True)
class Following:
    """`origin` and `remote` None: the HQ has no remote of that name. `seek`, from any thread: origin's main may have
    moved, to the commit that is named or beyond."""

    ledger: SharedLedger
    origin: Origin | None
    remote: RemoteOf | None = None
    seek: Callable[[str | None], None] = lambda _commit: None


def urls_of(repository: GitRepository) -> tuple[str, str] | None:
    """Where `origin` is fetched from and pushed to, with a person's own rewriting of URLs; None: there is none."""
    try:
        found = [repository.git.read("remote", "get-url", *push, NAME).text for push in ((), ("--push",))]
    except GitFailed:
        return None
    return found[0], found[1]


def remote_of(
    repository: GitRepository, token: Callable[[str], str | None], stop: threading.Event | None = None, **options: Any
) -> RemoteOf | None:
    """origin of a repository. `token` is asked with its URL before each call. Raises Misconfigured."""
    urls = urls_of(repository)
    if urls is None:
        return None
    return RemoteOf(
        repository.git, urls[0], push_url=urls[1], name=NAME, token=lambda: token(urls[0]),
        tracking=f"refs/remotes/{NAME}/", stop=stop, **options,
    )  # fmt: skip


def token_from(hq: Callable[[], HqSettings], found: EnvironmentSecrets, forges: Forges) -> Callable[[str], str | None]:
    """`[hq] token`, else the forge's own where origin is on it; else git's own ways (a helper, an ssh key)."""

    def token(url: str) -> str | None:
        name = reference(hq().token or "")
        if name is not None:
            return found.get(name)
        of_forge = forges.token_for(url)
        return of_forge() if of_forge is not None else None

    return token


def following_of(
    hq: Hq,
    ledger: GitLedger,
    rulebook: Rulebook,
    found: EnvironmentSecrets,
    forges: Forges,
    host: str,
    note: Callable[[str], None],
    patience: Patience,
    stack: ExitStack,
) -> Following:
    """Raises Misconfigured for several hosts without an origin."""
    stop = threading.Event()
    stack.callback(stop.set)
    repository = hq.repository

    def settings() -> HqSettings:
        return rulebook.current.settings.hq

    def shared() -> bool:
        return settings().hosts == "many"

    remote = remote_of(repository, token_from(settings, found, forges), stop)
    if remote is None and shared():
        raise Misconfigured(
            'hqd.toml: hq.hosts = "many", and there is no remote named origin: claims are won by pushing them',
            remedy='git remote add origin URL, or say hosts = "one"',
        )
    waited_for = remote.ended_by(patience) if remote is not None else None
    writing = SharedLedger(ledger, repository, waited_for, shared=shared, begins=patience.begin)
    if remote is None:
        return Following(writing, None)
    mainline = GitMainline(ledger, repository)
    pace = Pace(lambda: seconds(settings().fetch), lambda: seconds(settings().push))
    line = Line(remote, repository.ref, repository.tip, mainline.descends, pace, stop)
    writing.onto, writing.saw, writing.won, writing.missed = line.onto, line.saw, line.won, line.missed
    origin = Origin(
        line, mainline, hq.history, hq.branches, remote.url, host, note, _teller(hq.private / SAID),
        shared=shared, person=hq.person,
    )  # fmt: skip
    return Following(writing, origin, remote, line.seek)


def _teller(path: Path) -> Callable[[Mapping[str, Any]], None]:
    def tell(facts: Mapping[str, Any]) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8", errors="replace")
            temporary.replace(path)
        except OSError:
            return  # a full disk must not stop the daemon from saying so elsewhere

    return tell
