"""A GitHub App's tokens: a signed claim buys one that is good for an hour, for one installation.

The private key never leaves this process; what leaves it is a claim of at most ten minutes. Needs PyJWT with
cryptography (`pip install "hqd[github-app]"`), loaded when the first token is wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.adapters.forges.github import API, HEADERS
from hqd.adapters.forges.http import ForgeHttp
from hqd.errors import ForgeRefused, Misconfigured

EARLY = timedelta(minutes=5)
"""A token is renewed so long before it ends: a push that begins with it must end with it."""

_BACK = timedelta(seconds=60)  # GitHub refuses claims from the future: clocks differ
_LONGEST = 4096  # characters of a token
_CLAIM = timedelta(minutes=9)  # GitHub takes ten at most


class AppTokens:
    """Called for a token; the same one until shortly before it ends. `given` is told of each, so that it is masked.

    `key`: asked for the App's private key (PEM) at each renewal, so that a new one counts at once. `installation`:
    None asks GitHub for the one that has `repo`. Raises ForgeRefused, ForgeUnavailable, Misconfigured.
    """

    def __init__(
        self,
        app: str,
        key: Callable[[], str | None],
        repo: str,
        *,
        installation: str | None = None,
        api_url: str | None = None,
        given: Callable[[str], None] = lambda _token: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        **options: Any,
    ) -> None:
        self._app, self._key, self._repo = app, key, repo
        self._named = self._installation = installation
        self._given, self._now = given, now
        self._http = ForgeHttp(api_url or API, self._claim, headers=HEADERS, now=now, **options)
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = datetime.min.replace(tzinfo=UTC)
        self._name: str | None = None

    def __call__(self) -> str | None:
        with self._lock:
            if self._token is None or self._now() >= self._until - EARLY:
                self._renew()
            return self._token

    def forget(self) -> None:
        """GitHub does not take the token, or not for everything: the next one is bought anew. It may have been revoked,
        the App installed again, or given more rights, which a token that was bought before does not have."""
        with self._lock:
            self._token = None
            self._installation = self._named

    def login(self) -> str:
        """Whose the tokens are: `NAME[bot]`."""
        if self._name is None:
            self._name = f"{self._http.get('/app').said.name('slug')}[bot]"
        return self._name

    def close(self) -> None:
        self._http.close()

    def _renew(self) -> None:
        if self._installation is None:
            found = self._http.find(f"/repos/{self._repo}/installation")
            if found is None:
                raise ForgeRefused(
                    "rights", f"the GitHub App {self._app} is not installed on {self._repo}",
                    remedy="install it there, with the rights that docs/forges.md names",
                )  # fmt: skip
            self._installation = str(found.said.number("id"))
        path = f"/app/installations/{self._installation}/access_tokens"
        said = self._http.write("POST", path, {"repositories": [self._repo.partition("/")[2]]}).said
        self._token, self._until = said.name("token", _LONGEST), said.time("expires_at")
        self._given(self._token)

    def _claim(self) -> str | None:
        key = self._key()
        if key is None:
            return None
        try:
            import jwt
        except ModuleNotFoundError as absent:
            raise Misconfigured(
                "a GitHub App needs PyJWT with cryptography", remedy='pip install "hqd[github-app]"'
            ) from absent
        now = self._now()
        claims = {"iat": int((now - _BACK).timestamp()), "exp": int((now + _CLAIM).timestamp()), "iss": self._app}
        try:
            return jwt.encode(claims, key, algorithm="RS256")
        except (ValueError, TypeError, jwt.exceptions.PyJWTError) as wrong:
            message = f"[forge] app_key is no private key of a GitHub App ({type(wrong).__name__})"
            raise ForgeRefused("credentials", message, remedy="put the PEM file that GitHub made there") from None
