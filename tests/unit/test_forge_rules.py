"""What `check` says of [forge]: each thing that is lacking, with its key and what to write."""

from __future__ import annotations

from typing import Any

import pytest

from hqd.core.checks.forge import forge_faults, webhook_faults
from hqd.core.reviews.names import clone_url, host_of, is_on, repository_at
from hqd.model.settings import FORMAT, Forge, Settings, Webhook

GOOD: dict[str, Any] = {"kind": "github", "repo": "acme/hq", "token": "secret:forge"}
APP: dict[str, Any] = {"kind": "github", "repo": "acme/hq", "app_id": "1", "app_key": "secret:key"}
GITEA: dict[str, Any] = {**GOOD, "kind": "gitea", "api_url": "https://git.example.org/api/v1"}


def faults(**keys: Any) -> list[str]:
    return [f"{'.'.join(map(str, each.place))}: {each.message}" for each in forge_faults(Forge(**keys), "hqd.toml")]


@pytest.mark.parametrize("keys", [{}, GOOD, APP, GITEA, {**GOOD, "api_url": "http://127.0.0.1:3000/api/v3"}])
def test_what_can_be_used_has_no_fault(keys: dict[str, Any]) -> None:
    assert faults(**keys) == []


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({**GOOD, "repo": None}, "forge: kind github needs the name of the repository there"),
        ({**GOOD, "repo": "acme"}, "forge.repo: no name of a repository on a forge: acme"),
        (
            {**GOOD, "repo": "https://github.com/acme/hq"},
            "forge.repo: no name of a repository on a forge: https://github.com/acme/hq",
        ),
        ({**GOOD, "token": None}, "forge: kind github needs a token"),
        ({**GOOD, "token": "ghp_abc"}, "forge.token: a secret is no value of hqd.toml"),
        ({**GOOD, "token": "secret:"}, "forge.token: a secret is no value of hqd.toml"),
        ({"token": "ghp_abc"}, "forge.token: a secret is no value of hqd.toml"),
        ({**APP, "app_key": "-----BEGIN"}, "forge.app_key: a secret is no value of hqd.toml"),
        ({**APP, "app_key": None}, "forge.app_id: a GitHub App needs its private key"),
        ({**APP, "token": "secret:x"}, "forge.token: stands beside a GitHub App: which one is meant?"),
        ({**APP, "kind": "gitlab"}, "forge.app_id: means nothing to kind gitlab"),
        ({**GOOD, "app_key": "secret:x"}, "forge: keys of a GitHub App without its app_id"),
        ({**GITEA, "api_url": None}, "forge: kind gitea needs the address of its API"),
        (
            {**GOOD, "api_url": "https://u:p@g.example"},
            "forge.api_url: is no address of an API, or holds a user or password",
        ),
        ({**GOOD, "api_url": "g.example/api"}, "forge.api_url: is no address of an API, or holds a user or password"),
        ({**GOOD, "api_url": "http://g.example/api/v3"}, "forge.api_url: the token goes over the network unencrypted"),
    ],
)
def test_what_is_lacking_is_named_once_with_its_key(keys: dict[str, Any], fault: str) -> None:
    assert faults(**keys) == [fault]


@pytest.mark.parametrize(
    ("keys", "forge", "fault"),
    [
        ({"secret": "abc"}, GOOD, ["webhook.secret: a secret is no value of hqd.toml"]),
        ({"secret": "secret:"}, GOOD, ["webhook.secret: a secret is no value of hqd.toml"]),
        ({"secret": "secret:w", "listen": "127.0.0.1"}, GOOD, ["webhook.listen: no address to listen on: 127.0.0.1"]),
        ({"secret": "secret:w", "listen": "h:99999"}, GOOD, ["webhook.listen: no address to listen on: h:99999"]),
        ({"secret": "secret:w"}, {}, ["webhook: has no effect without a forge"]),
        ({"secret": "secret:w", "listen": "[::1]:8477"}, GOOD, []),
    ],
)
def test_a_webhook_needs_an_address_a_secret_and_a_forge(
    keys: dict[str, Any], forge: dict[str, Any], fault: list[str]
) -> None:
    settings = Settings(format=FORMAT, forge=Forge(**forge), webhook=Webhook(**keys))
    found = webhook_faults(settings, "hqd.toml")
    assert [f"{'.'.join(map(str, each.place))}: {each.message}" for each in found] == fault


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:acme/site.git", "acme/site"),
        ("ssh://git@github.com/acme/site.git", "acme/site"),
        ("ssh://git@github.com:22/acme/site", "acme/site"),
        ("https://github.com/acme/site.git", "acme/site"),
        ("https://GitHub.com/acme/site/", "acme/site"),
        ("git@gitlab.com:group/sub/site.git", None),
        ("https://github.com.evil.example/acme/site", None),
        ("/srv/git/site.git", None),
        ("../site.git", None),
        ("https://github.com/site", None),
        ("https://github.com/acme/site?x=1/../y", "acme/site"),
    ],
)
def test_a_repositorys_name_follows_from_a_url_on_the_forges_own_host(url: str, name: str | None) -> None:
    assert repository_at(url, "github.com") == name


@pytest.mark.parametrize(
    ("keys", "url", "host"),
    [
        (GOOD, "https://github.com/acme/hq.git", "github.com"),
        ({**GOOD, "kind": "gitlab"}, "https://gitlab.com/acme/hq.git", "gitlab.com"),
        ({**GOOD, "api_url": "https://ghe.example/api/v3"}, "https://ghe.example/acme/hq.git", "ghe.example"),
        (GITEA, "https://git.example.org/acme/hq.git", "git.example.org"),
        ({**GITEA, "api_url": "https://x.example/git/api/v1"}, "https://x.example/git/acme/hq.git", "x.example"),
    ],
)
def test_a_forges_settings_tell_where_its_repositories_are(keys: dict[str, Any], url: str, host: str) -> None:
    assert (clone_url(Forge(**keys)), host_of(Forge(**keys))) == (url, host)


def test_the_token_goes_to_the_forges_own_host_over_http_only() -> None:
    """Not to a mirror elsewhere, and never where ssh authenticates."""
    assert is_on("https://github.com/acme/hq.git", "github.com")
    assert not is_on("https://github.com.evil.example/acme/hq.git", "github.com")
    assert not is_on("https://evil.example/github.com", "github.com")
    assert not is_on("git@github.com:acme/hq.git", "github.com")
    assert not is_on("https://github.com/acme/hq.git", None)
