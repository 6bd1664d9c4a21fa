"""The forge's part of `hqd doctor`: each right that is needed there, tried."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace

from hqd.adapters.forges.rights import Right, rights
from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.origin import remote_of, token_from
from hqd.bootstrap.places import target_token
from hqd.core.reviews.names import host_of, repository_at
from hqd.errors import HqdError
from hqd.model.settings import Repository, Settings
from hqd.ports import Remote


def forge_rights(repo: GitRepository, settings: Settings, found: EnvironmentSecrets) -> Iterator[Right]:
    """What was found, most basic first, for the HQ's own repository and for each of `[repos.*]` on the forge, whose
    rights bear its name; nothing where reviews are local."""
    forge = settings.forge
    if forge.kind == "local":
        return
    forges = Forges(lambda: settings, found, threading.Event())
    try:
        if forge.repo is not None:
            yield from _of_hq(repo, settings, forge.repo, forges, found)
        for name, target in settings.repos.items():
            at = target.forge_repo or repository_at(target.url, host_of(forge))
            if at is not None:
                for right in _of_target(repo, settings, target, at, forges, found):
                    yield replace(right, name=name if right.name == "forge" else f"{name}: {right.name}")
    finally:
        forges.close()


def _of_hq(
    repo: GitRepository, settings: Settings, at: str, forges: Forges, found: EnvironmentSecrets
) -> Iterator[Right]:
    try:
        remote = remote_of(repo, token_from(lambda: settings.hq, found, forges))
    except HqdError as fault:
        yield Right("forge", False, fault.message, fault.remedy)
        return
    if remote is None:
        yield Right("forge", False, "there is no remote `origin` to push branches to", "git remote add origin URL")
        return
    yield from _tried(repo, settings, at, forges, remote, settings.hq.branch)


def _of_target(
    repo: GitRepository, settings: Settings, target: Repository, at: str, forges: Forges, found: EnvironmentSecrets
) -> Iterator[Right]:
    token = target_token(found, forges)
    try:
        remote = RemoteOf(repo.git, target.url, token=lambda: token(target))
    except HqdError as fault:
        yield Right("forge", False, fault.message, fault.remedy)
        return
    yield from _tried(repo, settings, at, forges, remote, target.branch)


def _tried(
    repo: GitRepository, settings: Settings, at: str, forges: Forges, remote: Remote, base: str
) -> Iterator[Right]:
    forge, branch = settings.forge, f"hqd/doctor-{secrets.token_hex(4)}"
    try:
        server, _token = forges.server(forge, at)
        yield from rights(forge.kind, at, server, remote, base, branch, lambda: commit_without_files(repo))
    except HqdError as fault:
        yield Right("forge", False, fault.message, fault.remedy)


def commit_without_files(repo: GitRepository) -> str:
    """A commit without files and parents, which no ref names."""
    tree = repo.git.quick("mktree", stdin=b"").text
    who = {f"GIT_{role}_{what}": "hqd" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return repo.git.quick("commit-tree", tree, "-m", "hqd doctor", env=who).text
