"""A GitHub App's tokens: bought with a signed claim, renewed in time, and never the key itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.forges.github_app import AppTokens
from hqd.errors import ForgeRefused, Misconfigured
from hqd.model.review import ReviewRequest
from hqd.testing.forge_app import FakeApp
from tests.forge_scene import CONNECT, QUICK, Scene, key_pair, scene, template

jwt = pytest.importorskip("jwt", reason="the extra github-app is not installed")


PRIVATE, PUBLIC = key_pair()


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 1, 7, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock) -> FakeApp:
    return FakeApp("4711", PUBLIC, now=clock)


@pytest.fixture
def forge(tmp_path: Path, app: FakeApp) -> Iterator[Scene]:
    with scene(template(tmp_path / "made"), tmp_path / "scene") as found:
        found.server.app = app
        yield found


Tokens = Callable[..., AppTokens]


@pytest.fixture
def tokens(forge: Scene, clock: Clock) -> Iterator[Tokens]:
    """Makes clients with a key; they are closed at the end."""
    made: list[AppTokens] = []

    def make(key: str | None = PRIVATE, **options: Any) -> AppTokens:
        options = {"api_url": forge.server.url, "now": clock, "patience": QUICK, **options}
        made.append(AppTokens("4711", lambda: key, "acme/hq", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_pull_request_is_opened_with_an_installations_token(
    forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens
) -> None:
    """The whole way: claim, installation, token, request; the token of the fixture opens nothing here."""
    forge.server.token = "nobody's"
    made = tokens()
    remote = CONNECT["github"](made, "acme/hq", forge.server.url, check_runs=True, login=made.login, patience=QUICK)
    forge.push("hqd/T-1", {"b.txt": "b\n"})
    opened = remote.open_review(ReviewRequest(branch="hqd/T-1", base="main", title="A title"))
    remote.disconnect()
    assert opened.number == 1
    assert made.login() == "hqd[bot]"
    assert len(app.issued) == 1


def test_the_same_token_is_used_until_shortly_before_it_ends(
    forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens
) -> None:
    made = tokens()
    first = made()
    clock.at += timedelta(minutes=54)
    assert made() == first
    clock.at += timedelta(minutes=2)
    assert made() != first
    assert len(app.issued) == 2


def test_a_token_that_is_revoked_before_its_time_is_bought_anew(
    forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens
) -> None:
    """Also where the App was installed again, which gives the installation another number."""
    forge.server.token = "nobody's"
    made = tokens()
    remote = CONNECT["github"](made, "acme/hq", forge.server.url, refused=made.forget, patience=QUICK)
    assert remote.find_review("hqd/T-1") is None
    app.revoke()
    app.installation += 1
    with pytest.raises(ForgeRefused) as refused:
        remote.find_review("hqd/T-1")
    assert refused.value.cause == "credentials"
    assert remote.find_review("hqd/T-1") is None
    remote.disconnect()
    assert len(app.issued) == 2


def test_every_token_is_told_so_that_it_can_be_masked(forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens) -> None:
    told: list[str] = []
    tokens(given=told.append)()
    assert told == app.issued


def test_the_key_is_never_sent(forge: Scene, clock: Clock, tokens: Tokens) -> None:
    tokens()()
    line = PRIVATE.splitlines()[1]
    assert all(line not in f"{seen.path} {seen.headers} {seen.body}" for seen in forge.server.requests)


@pytest.mark.parametrize(
    "key", [key_pair()[0], "no key at all", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_wrong_key_is_said_and_not_shown(forge: Scene, clock: Clock, key: str, tokens: Tokens) -> None:
    with pytest.raises(ForgeRefused) as refused:
        tokens(key)()
    assert refused.value.cause == "credentials"
    assert key.splitlines()[-1] not in str(refused.value)


def test_no_key_is_said(forge: Scene, clock: Clock, tokens: Tokens) -> None:
    with pytest.raises(ForgeRefused) as refused:
        tokens(None)()
    assert refused.value.cause == "credentials"


def test_an_app_that_is_not_installed_there_is_said_with_a_remedy(
    forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens
) -> None:
    app.repository = "acme/other"
    with pytest.raises(ForgeRefused, match="not installed on acme/hq") as refused:
        tokens()()
    assert (refused.value.cause, "install" in refused.value.remedy) == ("rights", True)


def test_a_clock_that_is_wrong_is_said(forge: Scene, clock: Clock, app: FakeApp, tokens: Tokens) -> None:
    """GitHub takes no claim from the future; a minute of difference is borne."""
    app.now = lambda: clock.at - timedelta(seconds=50)
    assert tokens()()
    app.now = lambda: clock.at - timedelta(minutes=5)
    with pytest.raises(ForgeRefused):
        tokens()()


def test_a_missing_library_is_said_with_the_extra_that_has_it(
    forge: Scene, clock: Clock, monkeypatch: pytest.MonkeyPatch, tokens: Tokens
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jwt", None)
    with pytest.raises(Misconfigured) as wanted:
        tokens()()
    assert "hqd[github-app]" in wanted.value.remedy
