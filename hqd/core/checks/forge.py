"""What can be known to be wrong with [forge] without asking one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from hqd.model.problem import Problem, ProblemLevel
from hqd.model.settings import Forge, Settings

_REFERENCE = "secret:"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def forge_faults(forge: Forge, path: str) -> Iterator[Problem]:
    """Which repository, whose credentials, which server: each has to be there, and no secret in the file itself."""
    for key, message, remedy in (*_secrets(forge), *(_wanting(forge) if forge.kind != "local" else ())):
        yield Problem(path, 0, "", message, remedy, place=("forge", key) if key else ("forge",))
    if _in_clear(forge):
        message = "the token goes over the network unencrypted"
        yield Problem(path, 0, "", message, "use https", ProblemLevel.WARNING, ("forge", "api_url"))


def webhook_faults(settings: Settings, path: str) -> Iterator[Problem]:
    """An address to listen on, a secret that is not in the file, and a forge whose words are waited for."""
    webhook = settings.webhook
    if webhook is None:
        return
    if not _is_secret(webhook.secret):
        message = "a secret is no value of hqd.toml"
        yield Problem(path, 0, "", message, f'write "{_REFERENCE}NAME"', place=("webhook", "secret"))
    if not _is_listening(webhook.listen):
        message = f"no address to listen on: {webhook.listen}"
        yield Problem(path, 0, "", message, "write it like 127.0.0.1:8477", place=("webhook", "listen"))
    if settings.forge.kind == "local":
        message = "has no effect without a forge"
        yield Problem(path, 0, "", message, "set [forge], or remove it", ProblemLevel.WARNING, ("webhook",))


_Fault = tuple[str, str, str]
"""Key, message, remedy."""


def _secrets(forge: Forge) -> Iterator[_Fault]:
    for key in ("token", "app_key"):
        value = getattr(forge, key)
        if value is not None and not _is_secret(value):
            yield key, "a secret is no value of hqd.toml", f'write "{_REFERENCE}NAME"'


def _is_secret(value: str) -> bool:
    return value.startswith(_REFERENCE) and len(value) > len(_REFERENCE)


def _is_listening(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    return bool(host) and port.isdecimal() and port.isascii() and int(port) <= 65535


def _wanting(forge: Forge) -> Iterator[_Fault]:
    if forge.repo is None:
        yield "", f"kind {forge.kind} needs the name of the repository there", 'write repo = "owner/name"'
    elif not _is_name(forge.repo):
        yield "repo", f"no name of a repository on a forge: {forge.repo}", 'write repo = "owner/name"'
    if forge.kind == "gitea" and forge.api_url is None:
        yield "", "kind gitea needs the address of its API", 'like api_url = "https://git.example.org/api/v1"'
    if forge.app_id is None and forge.token is None:
        yield "", f"kind {forge.kind} needs a token", 'write token = "secret:NAME"'
    if forge.app_id is not None:
        yield from _app(forge)
    elif forge.app_key is not None or forge.app_installation is not None:
        yield "", "keys of a GitHub App without its app_id", "add app_id, or remove them"
    if forge.api_url is not None and not _is_address(forge.api_url):
        yield "api_url", "is no address of an API, or holds a user or password", "like https://forge.example.org/api/v3"


def _is_name(repo: str) -> bool:
    parts = repo.split("/")
    return len(parts) > 1 and all(parts) and not any(char in ":@" or char.isspace() for char in repo)


def _app(forge: Forge) -> Iterator[_Fault]:
    if forge.kind != "github":
        yield "app_id", f"means nothing to kind {forge.kind}", "use token"
    if forge.app_key is None:
        yield "app_id", "a GitHub App needs its private key", 'write app_key = "secret:NAME"'
    if forge.token is not None:
        yield "token", "stands beside a GitHub App: which one is meant?", "remove token, or app_id"


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    plain = not (parts.username or parts.password or parts.query)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def _in_clear(forge: Forge) -> bool:
    parts = urlsplit(forge.api_url or "")
    return forge.kind != "local" and parts.scheme == "http" and parts.hostname not in _LOOPBACK
