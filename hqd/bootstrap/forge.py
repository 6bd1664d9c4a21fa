"""The forge, wired: which adapter, which repository, whose credentials; made anew where hqd.toml changes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from hqd.adapters.forges.reviews import ServerForge
from hqd.adapters.git import Git
from hqd.adapters.local_forge import LocalForge
from hqd.adapters.remote import RemoteOf
from hqd.adapters.secrets import EnvironmentSecrets, reference
from hqd.core.forge_names import clone_url, host_of, is_on, repository_at
from hqd.errors import Misconfigured
from hqd.model.settings import Forge as ForgeSettings
from hqd.model.settings import Repository, Settings
from hqd.ports import Branches, Forge, Remote, RemoteForge, Target

Token = Callable[[], str | None]


class Forges:
    """The forges of an HQ and of its target repositories, as the settings in force want them. Safe for many threads.

    `settings` is asked each time; an adapter is made once for each repository and way to reach it. `stop` ends waits.
    """

    def __init__(self, settings: Callable[[], Settings], found: EnvironmentSecrets, stop: threading.Event) -> None:
        self._settings, self._found, self._stop = settings, found, stop
        self._servers: dict[tuple[ForgeSettings, str], tuple[RemoteForge, Token]] = {}
        self._forges: dict[object, Forge] = {}
        self._origin: str | None = None
        self._lock = threading.RLock()

    def here(self, git: Git, branches: Branches, descends: Callable[[str, str], bool]) -> Forge:
        """The HQ's own: branches go to `origin`, or to the repository's own address where there is no origin."""
        settings = self._settings()
        if settings.forge.kind == "local":
            return LocalForge(branches)
        with self._lock:
            if self._origin is None:
                self._origin = git.quick("config", "--get", "remote.origin.url", codes=(0, 1)).text
        url = self._origin or clone_url(settings.forge)
        return self._made(settings.forge, settings.forge.repo, url, settings.hq.branch, git, branches, descends)

    def of(
        self,
        repository: Repository,
        git: Git,
        branches: Branches,
        descends: Callable[[str, str], bool],
        target: Target,
    ) -> Forge:
        """A target repository's; local where it is on no forge, or on another one than `[forge]` names."""
        settings = self._settings().forge
        name = repository.forge_repo or repository_at(repository.url, host_of(settings))
        if settings.kind == "local" or name is None:
            return LocalForge(branches, target)
        return self._made(settings, name, repository.url, repository.branch, git, branches, descends, target)

    def server(self, settings: ForgeSettings, repo: str) -> tuple[RemoteForge, Token]:
        """The client of one repository, and its token. Raises Misconfigured."""
        with self._lock:
            key = (settings, repo)
            if key not in self._servers:
                token, options = self._credentials(settings, repo)
                self._servers[key] = (connected(settings, repo, token, options, self._stop), token)
            return self._servers[key]

    def token_for(self, url: str) -> Token | None:
        """The token that may be sent to a git URL: the forge's own, and to the forge's own host only."""
        settings = self._settings().forge
        if settings.kind == "local" or settings.repo is None or not is_on(url, host_of(settings)):
            return None
        return self.server(settings, settings.repo)[1]

    def close(self) -> None:
        self._stop.set()
        for server, _token in self._servers.values():
            disconnect: Callable[[], None] | None = getattr(server, "disconnect", None)
            if disconnect is not None:
                disconnect()

    def _made(
        self,
        settings: ForgeSettings,
        repo: str | None,
        url: str | None,
        base: str,
        git: Git,
        branches: Branches,
        descends: Callable[[str, str], bool],
        target: Target | None = None,
    ) -> Forge:
        if repo is None or url is None:
            what = "repo" if repo is None else "api_url"
            raise Misconfigured(f"hqd.toml: [forge] kind = {settings.kind!r} needs `{what}`", remedy="add it")
        key = (settings, repo, url, base, id(target))
        made = self._forges.get(key)
        if made is None:
            server, token = self.server(settings, repo)
            remote: Remote = target or RemoteOf(
                git, url, name="forge", token=token if is_on(url, host_of(settings)) else None, stop=self._stop
            )
            made = self._forges.setdefault(key, ServerForge(server, remote, branches, base, descends))
        return made

    def _credentials(self, settings: ForgeSettings, repo: str) -> tuple[Token, dict[str, Any]]:
        name = reference(settings.token or "")
        if settings.app_id is None:
            return (lambda: self._found.get(name) if name is not None else None), {}
        from hqd.adapters.forges.github_app import AppTokens

        key = reference(settings.app_key or "")
        tokens = AppTokens(
            settings.app_id, lambda: self._found.get(key) if key is not None else None, repo,
            installation=settings.app_installation, api_url=settings.api_url, given=self._found.remember,
            **_ways(settings, self._stop),
        )  # fmt: skip
        return tokens, {"check_runs": True, "login": tokens.login}


def connected(
    settings: ForgeSettings, repo: str, token: Token, options: Mapping[str, Any], stop: threading.Event
) -> RemoteForge:
    """The adapter of a forge that has a server. Importing it loads httpx only when it is asked something."""
    from hqd.adapters.forges import gitea, github, gitlab

    connect: Mapping[str, Callable[..., RemoteForge]] = {
        "github": github.connect, "gitlab": gitlab.connect, "gitea": gitea.connect,
    }  # fmt: skip
    return connect[settings.kind](token, repo, settings.api_url, **{**_ways(settings, stop), **options})


def _ways(settings: ForgeSettings, stop: threading.Event) -> dict[str, Any]:
    return {"proxy": settings.proxy, "ca_file": settings.ca_file, "pause": stop.wait}


def forges_of(settings: Callable[[], Settings], found: EnvironmentSecrets, stack: ExitStack) -> Forges:
    """The forges, closed with the daemon."""
    made = Forges(settings, found, threading.Event())
    stack.callback(made.close)
    return made
