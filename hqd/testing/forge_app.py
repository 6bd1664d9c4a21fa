"""A GitHub App on the fake forge: claims are checked by its public key, tokens end, and all of it can be looked at.

Its answers have every field that GitHub's OpenAPI description requires (scripts/forge-contract judges them).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.testing.forge_github_shapes import USER_LINKS
from hqd.testing.forge_routes import Asked

LONGEST_CLAIM = 600
"""Seconds that GitHub lets a claim be good for."""

_RIGHTS = {"checks": "write", "contents": "write", "metadata": "read", "pull_requests": "write"}

Said = tuple[int, Any]


@dataclass
class FakeApp:
    """`public_key`: PEM. `repository`: where it is installed; None: nowhere. `lifetime`: of a token."""

    id: str
    public_key: str
    slug: str = "hqd"
    installation: int = 77
    repository: str | None = "acme/hq"
    lifetime: timedelta = timedelta(hours=1)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    issued: list[str] = field(default_factory=list)
    _until: dict[str, datetime] = field(default_factory=dict)

    def takes(self, headers: Mapping[str, str]) -> bool:
        """Whether a request bears a token of this App that has not ended."""
        sent = headers.get("authorization", "").removeprefix("Bearer ").encode()
        good = [token for token, until in self._until.items() if self.now() < until]
        return any(hmac.compare_digest(sent, token.encode()) for token in good)

    def answer(self, asked: Asked) -> Said | None:
        """What GitHub answers where a claim is wanted; None: the request is none of these."""
        routes: dict[tuple[str, str], Callable[[Asked], Said]] = {
            ("GET", "/app"): self._whoami,
            ("POST", f"/app/installations/{self.installation}/access_tokens"): self._token,
        }
        route = routes.get((asked.method, asked.path))
        if route is None and asked.method == "GET" and asked.path.endswith("/installation"):
            route = self._where
        if route is None:
            return None
        if not self._claimed(asked.headers):
            return 401, {
                "message": "A JSON web token could not be decoded",
                "documentation_url": "https://docs.example",
            }
        return route(asked)

    def _whoami(self, asked: Asked) -> Said:
        times = {"created_at": _time(self.now()), "updated_at": _time(self.now())}
        return 200, {
            "id": int(self.id), "slug": self.slug, "name": self.slug, "node_id": f"A_{self.id}", "description": None,
            "external_url": asked.base, "html_url": f"{asked.base}/apps/{self.slug}", "events": [],
            "owner": self._owner(asked), "permissions": _RIGHTS, **times,
        }  # fmt: skip

    def _where(self, asked: Asked) -> Said:
        if asked.path != f"/repos/{self.repository}/installation":
            return 404, {"message": "Not Found", "documentation_url": "https://docs.example", "status": "404"}
        url, owner = f"{asked.base}/app/installations/{self.installation}", self._owner(asked)
        times = {"created_at": _time(self.now()), "updated_at": _time(self.now())}
        return 200, {
            "id": self.installation, "app_id": int(self.id), "app_slug": self.slug, "account": owner,
            "target_id": owner["id"], "target_type": owner["type"], "repository_selection": "selected",
            "access_tokens_url": f"{url}/access_tokens", "repositories_url": f"{asked.base}/installation/repositories",
            "html_url": url, "single_file_name": None, "events": [], "permissions": _RIGHTS, "suspended_by": None,
            "suspended_at": None, **times,
        }  # fmt: skip

    def _owner(self, asked: Asked) -> dict[str, Any]:
        """GitHub's `simple-user`."""
        name = (self.repository or "acme/hq").partition("/")[0]
        url = f"{asked.base}/users/{name}"
        return {
            "login": name, "id": 5, "node_id": "O_5", "gravatar_id": "", "url": url, "html_url": url,
            "avatar_url": f"{url}/avatar", "type": "Organization", "site_admin": False,
            **{f"{link}_url": f"{url}/{link}" for link in USER_LINKS},
        }  # fmt: skip

    def revoke(self) -> None:
        """No token that was given until now opens anything any more."""
        self._until.clear()

    def _token(self, asked: Asked) -> Said:
        token = f"ghs_fake{len(self.issued) + 1:04d}installationtoken"
        until = self.now() + self.lifetime
        self.issued.append(token)
        self._until[token] = until
        return 201, {"token": token, "expires_at": _time(until)}

    def _claimed(self, headers: Mapping[str, str]) -> bool:
        """A claim of this App, signed with its key, for ten minutes at most, and now."""
        import jwt

        sent = headers.get("authorization", "").removeprefix("Bearer ")
        checks: Any = {"require": ["exp", "iat", "iss"], "verify_exp": False, "verify_iat": False}
        try:
            said = jwt.decode(sent, self.public_key, algorithms=["RS256"], issuer=self.id, options=checks)
        except jwt.exceptions.PyJWTError:
            return False
        now = self.now().timestamp()
        return bool(said["iat"] <= now < said["exp"] <= said["iat"] + LONGEST_CLAIM)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
