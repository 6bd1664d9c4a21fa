"""The forge, wired: which adapter, which repository, whose credentials; made anew where hqd.toml changes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from hqd.adapters.forges.reviews import NoForge, ServerForge
from hqd.adapters.local_forge import LocalForge
from hqd.adapters.secrets import EnvironmentSecrets, reference, where_to_put
from hqd.core.reviews.names import clone_url, host_of, is_on, name_on, repository_at
from hqd.errors import ForgeRefused, ForgeUnavailable, Misconfigured, RemoteRefused, RemoteUnavailable
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
        self._lock = threading.RLock()

    def here(self, origin: Remote | None, branches: Branches) -> Forge:
        """The HQ's own; its branches go to `origin`."""
        settings = self._settings()
        if settings.forge.kind == "local":
            return LocalForge(branches)
        if settings.forge.repo is None:
            return NoForge(branches, Misconfigured("hqd.toml: [forge] names no `repo`", remedy="write owner/name"))
        if origin is None:
            remedy = f"git remote add origin {clone_url(settings.forge) or 'URL'}, and start hqd again"
            return NoForge(branches, Misconfigured("the HQ has no remote `origin` to push branches to", remedy=remedy))
        return self._made(settings.forge.repo, origin, settings.hq.branch, branches)

    def of(self, repository: Repository, target: Target, branches: Branches) -> Forge:
        """A target repository's; local where it is on no forge, or on another one than `[forge]` names."""
        settings = self._settings().forge
        name = name_on(settings, repository)
        if name is None:
            return LocalForge(branches, target)
        return self._made(name, target, repository.branch, branches)

    def server(self, settings: ForgeSettings, repo: str) -> tuple[RemoteForge, Token]:
        """The client of one repository, and its token. Raises Misconfigured."""
        with self._lock:
            key = (settings, repo)
            if key not in self._servers:
                token, options = self._credentials(settings, repo)
                self._servers[key] = (connected(settings, repo, token, options, self._stop), token)
            return self._servers[key]

    def token_for(self, url: str) -> Token | None:
        """The token that may be sent to a git URL: the forge's own, and to the forge's own host only.

        Asked for it, it raises RemoteUnavailable and RemoteRefused: an App's token has to be bought first.
        """
        settings = self._settings().forge
        host = host_of(settings)
        name = repository_at(url, host) or settings.repo
        if settings.kind == "local" or name is None or not is_on(url, host):
            return None

        def token() -> str | None:
            try:
                return self.server(settings, name)[1]()
            except ForgeUnavailable as fault:
                raise RemoteUnavailable("down", fault.message, remedy=fault.remedy) from fault
            except (ForgeRefused, Misconfigured) as fault:
                raise RemoteRefused("credentials", fault.message, remedy=fault.remedy) from fault

        return token

    def close(self) -> None:
        self._stop.set()
        for server, token in self._servers.values():
            for end in (getattr(server, "disconnect", None), getattr(token, "close", None)):
                if end is not None:
                    end()

    def _made(self, repo: str, remote: Remote, base: str, branches: Branches) -> Forge:
        settings = self._settings().forge
        key = (settings, repo, remote.url, base)
        made = self._forges.get(key)
        if made is None:
            try:
                server, _token = self.server(settings, repo)
            except (Misconfigured, ForgeRefused) as fault:
                return NoForge(branches, fault)
            made = self._forges.setdefault(key, ServerForge(server, remote, branches, base))
        return made

    def _credentials(self, settings: ForgeSettings, repo: str) -> tuple[Token, dict[str, Any]]:
        name = reference(settings.token or "")
        if settings.app_id is None:
            hint = {"where": where_to_put(name)} if name is not None else {}
            return (lambda: self._found.get(name) if name is not None else None), hint
        from hqd.adapters.forges.github_app import AppTokens

        key = reference(settings.app_key or "")
        tokens = AppTokens(
            settings.app_id, lambda: self._found.get(key) if key is not None else None, repo,
            installation=settings.app_installation, api_url=settings.api_url, given=self._found.remember,
            **_ways(settings, self._stop),
        )  # fmt: skip
        return tokens, {"check_runs": True, "login": tokens.login, "refused": tokens.forget}


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
