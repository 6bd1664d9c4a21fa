"""What can be known to be wrong with target repositories without asking them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hqd.core.globs import leaves
from hqd.model.playbook import Playbook
from hqd.model.problem import Place, Problem
from hqd.model.settings import Repository, Settings
from hqd.model.spelling import meant

_PASSWORD = re.compile(r"[a-z+]+://[^/@:]*:[^/@]+@")


def repository_faults(repository: Repository, place: Place, path: str) -> Iterator[Problem]:
    """What is wrong with one of `[repos.*]` by itself."""
    url = repository.url
    if not url.strip() or url.startswith("-") or any(ord(char) < 33 for char in url):
        yield Problem(path, 0, "", f"not a URL of a git repository: {url!r}", place=(*place, "url"))
    elif _PASSWORD.match(url):
        yield Problem(
            path, 0, "", "a password stands in the URL, and with it in git", 'use token = "secret:NAME"',
            place=(*place, "url"),
        )  # fmt: skip
    if repository.token is not None and not repository.token.startswith("secret:"):
        yield Problem(path, 0, "", "a token is no value of hqd.toml", 'write "secret:NAME"', place=(*place, "token"))
    for number, glob in enumerate(repository.protected):
        if leaves(glob):
            message = f"{glob} leaves the repository"
            yield Problem(path, 0, "", message, "name a path inside it", place=(*place, "protected", number))


def repo_faults(playbook: Playbook, settings: Settings, settings_path: str, path: str) -> Iterator[Problem]:
    """Whether a playbook's repository is there."""
    if playbook.repo is not None and playbook.repo not in settings.repos:
        message = f"there is no repository {playbook.repo} in {settings_path}"
        remedy = meant(playbook.repo, settings.repos) if settings.repos else f"add [repos.{playbook.repo}] with its url"
        yield Problem(path, 0, "", message, remedy, place=("repo",))
