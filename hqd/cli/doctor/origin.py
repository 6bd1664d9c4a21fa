"""origin's part of `hqd doctor`: reading it and pushing to it, tried with a ref that is thrown away."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.origin import remote_of, token_from
from hqd.cli.board.origin import origin_facts
from hqd.cli.doctor.forge import commit_without_files
from hqd.errors import HqdError
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.model.settings import Settings

TRIED = "refs/hqd/doctor/"
LAYOUT = (
    "let hqd push to main, or keep a state-only HQ: a repository of its own with an unprotected main, and the work"
    " in [repos.NAME], whose main may be protected"
)
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was tried. `ok` None: worth knowing, not wrong."""

    ok: bool | None
    said: str
    remedy: str = ""


def origin_found(repo: GitRepository, settings: Settings, found: EnvironmentSecrets) -> Iterator[Found]:
    """What was tried, in order; nothing more after the first thing that fails."""
    forges = Forges(lambda: settings, found, threading.Event())
    try:
        remote = remote_of(repo, token_from(lambda: settings.hq, found, forges), timeout=TIMEOUT)
        if remote is None:
            yield _none(settings)
            return
        yield from _tried(repo, remote)
    except HqdError as fault:
        yield Found(False, fault.message, fault.remedy)
    finally:
        forges.close()


def _none(settings: Settings) -> Found:
    if settings.hq.hosts == "many":
        return Found(False, 'hq.hosts = "many", and there is no remote named origin', "git remote add origin URL")
    return Found(None, "none: state stays in this clone", "git remote add origin URL, for a copy elsewhere")


def _tried(repo: GitRepository, remote: RemoteOf) -> Iterator[Found]:
    main = remote.heads([repo.ref]).get(repo.ref)
    yield Found(True, f"{remote.url} can be read; its {repo.branch} is at {main[:12] if main else 'nothing yet'}")
    ref = TRIED + secrets.token_hex(6)
    commit = commit_without_files(repo)
    (pushed,) = remote.push([RefUpdate(ref, commit)])
    if pushed.outcome is not PushOutcome.DONE:
        yield Found(False, f"{remote.url} refuses a push: {pushed.message}", LAYOUT)
        return
    (gone,) = remote.push([RefUpdate(ref, None, commit)])
    kept = "" if gone.outcome is PushOutcome.DONE else f"; {ref} could not be deleted again"
    facts = origin_facts(repo)
    if facts is not None and facts["trouble"] == "policy":
        yield Found(False, f"{repo.branch} itself is refused: {facts['message']}", LAYOUT)
        return
    yield Found(
        True, f"a throw-away ref was pushed and deleted; a protected {repo.branch} shows at its first push{kept}"
    )
