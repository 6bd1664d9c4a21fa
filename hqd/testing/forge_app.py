"""A GitHub App on the fake forge: claims are checked by its public key, tokens end, and all of it can be looked at."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.testing.forge_routes import Asked

LONGEST_CLAIM = 600
"""Seconds that GitHub lets a claim be good for."""

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
        return 200, {"id": int(self.id), "slug": self.slug, "name": self.slug}

    def _where(self, asked: Asked) -> Said:
        if asked.path != f"/repos/{self.repository}/installation":
            return 404, {"message": "Not Found", "documentation_url": "https://docs.example", "status": "404"}
        return 200, {"id": self.installation, "app_id": int(self.id), "app_slug": self.slug}

    def _token(self, asked: Asked) -> Said:
        token = f"ghs_fake{len(self.issued) + 1:04d}installationtoken"
        until = self.now() + self.lifetime
        self.issued.append(token)
        self._until[token] = until
        return 201, {"token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ")}

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
