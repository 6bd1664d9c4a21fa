"""What settings tell of a forge: its host, a repository's name there, its URL. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hqd.model.settings import Forge, Repository

_HOSTS = {"github": "github.com", "gitlab": "gitlab.com"}
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?P<path>[^/].*)")
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)+")


def host_of(forge: Forge) -> str | None:
    """The host that serves the forge's repositories; None where the settings do not tell."""
    if forge.api_url is None:
        return _HOSTS.get(forge.kind)
    return urlsplit(forge.api_url).hostname


def repository_at(url: str, host: str | None) -> str | None:
    """`owner/name` of a git URL on `host`; None for a URL of another host, a path, or what is no such name."""
    scp = _SCP.fullmatch(url) if "://" not in url else None
    if scp is not None:
        found, path = scp["host"], scp["path"]
    else:
        parts = urlsplit(url)
        found, path = parts.hostname or "", parts.path
    name = path.strip("/").removesuffix(".git")
    if host is None or found.lower() != host.lower() or not _NAME.fullmatch(name):
        return None
    return name


def name_on(forge: Forge, repository: Repository) -> str | None:
    """A target repository's `owner/name` on the forge; None where it is on no forge, or on another one."""
    if forge.kind == "local":
        return None
    return repository.forge_repo or repository_at(repository.url, host_of(forge))


def clone_url(forge: Forge) -> str | None:
    """The https URL of the HQ's own repository on the forge; None where the settings do not tell."""
    if forge.repo is None:
        return None
    if forge.api_url is None:
        host = _HOSTS.get(forge.kind)
        return f"https://{host}/{forge.repo}.git" if host is not None else None
    parts = urlsplit(forge.api_url)
    folder = re.sub(r"/api(/v\d+)?/?$", "", parts.path)
    return f"{parts.scheme}://{parts.netloc}{folder}/{forge.repo}.git"


def is_on(url: str, host: str | None) -> bool:
    """Whether a git URL leads to the forge's host over http(s): only there the forge's token is sent."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and host is not None and (parts.hostname or "").lower() == host.lower()
