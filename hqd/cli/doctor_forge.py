"""The forge's part of `hqd doctor`: each right that is needed there, tried."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator

from hqd.adapters.forges.rights import Right, rights
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.bootstrap.origin import remote_of, token_from
from hqd.errors import HqdError
from hqd.model.settings import Settings


def forge_rights(repo: GitRepository, settings: Settings, found: EnvironmentSecrets) -> Iterator[Right]:
    """What was found, most basic first; nothing where reviews are local."""
    forge = settings.forge
    if forge.kind == "local" or forge.repo is None:
        return
    forges = Forges(lambda: settings, found, threading.Event())
    try:
        server, _token = forges.server(forge, forge.repo)
        remote = remote_of(repo, token_from(lambda: settings.hq, found, forges))
        if remote is None:
            yield Right("forge", False, "there is no remote `origin` to push branches to", "git remote add origin URL")
            return
        branch = f"hqd/doctor-{secrets.token_hex(4)}"
        yield from rights(
            forge.kind, forge.repo, server, remote, settings.hq.branch, branch, lambda: commit_without_files(repo)
        )
    except HqdError as fault:
        yield Right("forge", False, fault.message, fault.remedy)
    finally:
        forges.close()


def commit_without_files(repo: GitRepository) -> str:
    """A commit without files and parents, which no ref names."""
    tree = repo.git.quick("mktree", stdin=b"").text
    who = {f"GIT_{role}_{what}": "hqd" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return repo.git.quick("commit-tree", tree, "-m", "hqd doctor", env=who).text
