"""The target repositories' part of `hqd doctor`: each is read and, where no forge's rights are tried, pushed to."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from hqd.adapters.mirror import Mirrors
from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import MIRRORS, GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.places import target_token
from hqd.cli.doctor.forge import commit_without_files
from hqd.cli.doctor.origin import TIMEOUT, Found
from hqd.core.reviews.names import host_of, repository_at
from hqd.errors import HqdError
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.model.settings import Repository, Settings


def repos_found(
    repo: GitRepository, private: Path, env: Mapping[str, str], settings: Settings, found: EnvironmentSecrets
) -> Iterator[tuple[str, Found]]:
    """(name, what was tried) for each of `[repos.*]`."""
    forges = Forges(lambda: settings, found, threading.Event())
    token_of = target_token(found, forges)
    mirrors = Mirrors(private / MIRRORS, env, lambda: settings.repos)
    try:
        for name, target in settings.repos.items():
            try:
                remote = RemoteOf(repo.git, target.url, token=partial(token_of, target), timeout=TIMEOUT)
                at = target.forge_repo or repository_at(target.url, host_of(settings.forge))
                elsewhere = settings.forge.kind == "local" or at is None
                yield name, _read(name, target, remote)
                if elsewhere:
                    yield name, _pushed(repo, remote)
            except HqdError as fault:
                yield name, Found(False, fault.message, fault.remedy)
            if mirrors.path(name).is_dir():  # fetched before: what copies of it stay without
                for what in mirrors.get(name).unfilled():
                    yield name, Found(None, what)
    finally:
        mirrors.close()
        forges.close()


def _read(name: str, target: Repository, remote: RemoteOf) -> Found:
    ref = f"refs/heads/{target.branch}"
    tip = remote.heads([ref]).get(ref)
    if tip is None:
        return Found(False, f"{remote.url} has no branch {target.branch}", f"set [repos.{name}] branch, or push it")
    return Found(True, f"{remote.url} can be read; its {target.branch} is at {tip[:12]}")


def _pushed(repo: GitRepository, remote: RemoteOf) -> Found:
    """Work goes there as branches named hqd/TASK; whether main takes a push shows when the first work lands."""
    ref, commit = f"refs/heads/hqd/doctor-{secrets.token_hex(4)}", commit_without_files(repo)
    (done,) = remote.push([RefUpdate(ref, commit)])
    if done.outcome is not PushOutcome.DONE:
        remedy = "let hqd push branches named hqd/*, or people merge what hqd has here"
        return Found(False, f"{remote.url} refuses a push: {done.message}", remedy)
    (gone,) = remote.push([RefUpdate(ref, None, commit)])
    kept = "" if gone.outcome is PushOutcome.DONE else f"; {ref} could not be deleted again"
    return Found(True, f"branches named hqd/* go to {remote.url}; a protected main shows when work lands{kept}")
