"""A real HTTP server on 127.0.0.1 before a fake forge, with every way in which forges fail.

    with ForgeServer(forge, "github") as server:
        server.fail(method="POST", path=r"/pulls$", status=502, done=True)    # did it, then failed
        ...                                                                    # point `api_url` at server.url
    server.requests                                                            # what was asked, and how it was answered

Flavours: `github` answers as GitHub's OpenAPI description says (held by scripts/forge-contract); `gitlab` and `gitea`
answer as their documentation says, which nothing here checks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from hqd.testing import forge_gitea, forge_github, forge_gitlab
from hqd.testing.forge_app import FakeApp
from hqd.testing.forge_routes import Asked
from hqd.testing.forge_state import Event, FakeForge


@dataclass(slots=True)
class Seen:
    """One request for assertions; `status` 0: it was not answered."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float
    status: int = 0


@dataclass(slots=True)
class Failure:
    """What goes wrong with the next `times` requests that fit, but for the first `skip` of them.

    `done`: the forge has done it all the same.
    """

    method: str | None
    path: str
    times: int
    skip: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    done: bool = False
    how: str = "status"  # status, cut, hang, drip, garbage, html

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method in (None, method) and re.search(self.path, path) is not None


Flavour = Callable[[FakeForge, Asked], tuple[int, Any]]
FLAVOURS: dict[str, tuple[str, Flavour]] = {
    "github": ("", forge_github.answer),
    "github-enterprise": ("/api/v3", forge_github.answer),
    "gitlab": ("/api/v4", forge_gitlab.answer),
    "gitea": ("/api/v1", forge_gitea.answer),
    "forgejo": ("/api/v1", forge_gitea.answer_as_forgejo),
}
TOKEN = "t0ken-of-hqd"  # noqa: S105 - opens nothing
_TOKENS = (("authorization", "Bearer "), ("authorization", "token "), ("private-token", ""))
_SIGNED = {"github": "x-hub-signature-256", "gitea": "x-gitea-signature"}


class ForgeServer:
    """The server as a context manager. `limit`: requests until the primary limit; 304s do not count.

    `app`: a GitHub App, whose tokens are taken as well.
    """

    def __init__(
        self,
        forge: FakeForge,
        flavour: str = "github",
        token: str = TOKEN,
        limit: int = 5000,
        app: FakeApp | None = None,
    ) -> None:
        self.forge, self.flavour, self.token, self.app = forge, flavour, token, app
        self.prefix, self._answer = FLAVOURS[flavour]
        self.limit, self.remaining, self.resets = limit, limit, int(time.time()) + 3600
        self.requests: list[Seen] = []
        self.failures: list[Failure] = []
        self.at: Callable[[str, Seen], None] = lambda _moment, _seen: None  # `asked`, then `done`: not yet answered
        self.closing = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Conversation)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="forge-server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}{self.prefix}"

    def __enter__(self) -> ForgeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def fail(self, *, method: str | None = None, path: str = "", times: int = 1, **what: Any) -> None:
        """The next `times` requests that fit fail; see Failure."""
        self.failures.append(Failure(method, path, times, **what))

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for seen in self.requests if seen.method == method and re.search(path, seen.path))

    def done(self, method: str, path: str) -> int:
        """How many such requests the forge has carried out; one that was asked for twice may be refused once."""
        fit = (seen for seen in self.requests if seen.method == method and re.search(path, seen.path))
        return sum(1 for seen in fit if 200 <= seen.status < 300)

    def failure_for(self, method: str, path: str) -> Failure | None:
        with self.forge.lock:
            found = next((each for each in self.failures if each.fits(method, path)), None)
            if found is not None and found.skip > 0:
                found.skip -= 1
                return None
            if found is not None:
                found.times -= 1
            return found

    def reply(self, asked: Asked) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON) for one request: token, limit, flavour, page, ETag."""
        with self.forge.lock:
            claimed = self.app.answer(asked) if self.app is not None else None
            if claimed is not None:
                return claimed[0], {}, claimed[1]
            if not self._authorised(asked.headers):
                return (
                    401,
                    {},
                    {"message": "Bad credentials", "documentation_url": "https://docs.example/", "status": "401"},
                )
            if self.remaining <= 0:
                body = {
                    "message": "API rate limit exceeded for user ID 1.",
                    "documentation_url": "https://docs.example/",
                }
                return 429 if self.flavour == "gitlab" else 403, self._limits(), body
            self.forge.look()
            status, data = self._answer(self.forge, asked)
            headers: dict[str, str] = {}
            if asked.method == "GET" and status == 200:
                data, headers = _page(asked, data)
                etag = 'W/"' + hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest() + '"'
                headers["etag"] = etag
                if asked.headers.get("if-none-match") == etag:
                    return 304, {**self._limits(), "etag": etag}, None
            self.remaining -= 1
            return status, {**self._limits(), **headers}, data

    def _authorised(self, headers: Mapping[str, str]) -> bool:
        if self.app is not None and self.app.takes(headers):
            return True
        return any(
            hmac.compare_digest(headers.get(name, "").encode(), (prefix + self.token).encode())
            for name, prefix in _TOKENS
        )

    def _limits(self) -> dict[str, str]:
        prefix = "ratelimit" if self.flavour == "gitlab" else "x-ratelimit"
        told = {"limit": self.limit, "remaining": self.remaining, "reset": self.resets}
        return {f"{prefix}-{name}": str(value) for name, value in told.items()}

    def delivery(self, event: Event, secret: str) -> tuple[dict[str, str], bytes]:
        """A webhook as this forge sends it: (headers, body). The test decides when, how often, and in which order."""
        kind = {"gitlab": "gitlab", "gitea": "gitea", "forgejo": "gitea"}.get(self.flavour, "github")
        shapes = {"github": forge_github.event, "gitlab": forge_gitlab.event, "gitea": forge_gitea.event}
        headers, payload = shapes[kind](self.forge, event)
        body = json.dumps(payload).encode()
        if kind == "gitlab":
            return {**headers, "content-type": "application/json", "x-gitlab-token": secret}, body
        digest = hmac.new(secret.encode(), body, "sha256").hexdigest()
        signature = ("sha256=" if kind == "github" else "") + digest
        return {**headers, "content-type": "application/json", _SIGNED[kind]: signature}, body

    def deliver(self, event: Event, secret: str, url: str) -> int:
        """Sends a webhook now; the status it was answered with."""
        headers, body = self.delivery(event, secret)
        request = urllib.request.Request(url, body, headers)  # noqa: S310 - 127.0.0.1, from the test
        try:
            with urllib.request.urlopen(request, timeout=10) as done:  # noqa: S310
                return int(done.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return int(refused.code)


def _page(asked: Asked, data: Any) -> tuple[Any, dict[str, str]]:
    """The page that was asked for, and its `Link` to the next; objects that hold one list are cut within."""
    key = next((name for name in ("statuses", "check_runs") if isinstance(data, dict) and name in data), None)
    rows = data[key] if key else data
    if not isinstance(rows, list):
        return data, {}
    size = int(asked.query.get("per_page") or asked.query.get("limit") or 30)
    number = int(asked.query.get("page") or 1)
    cut = rows[(number - 1) * size : number * size]
    headers = {}
    if len(rows) > number * size:
        there = f"{asked.base}{asked.path}?{urlencode({**asked.query, 'page': number + 1})}"
        headers["link"] = f'<{there}>; rel="next", <{asked.base}{asked.path}?page=99>; rel="last"'
    return ({**data, key: cut} if key else cut), headers


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    owner: ForgeServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes; the second would wait for an acknowledgement
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        owner = self.server.owner
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(owner.prefix) if parts.path.startswith(owner.prefix + "/") else parts.path
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(raw) if raw else None
        seen = Seen(self.command, self.path, headers, body, time.monotonic())
        owner.requests.append(seen)
        owner.at("asked", seen)
        failure = owner.failure_for(self.command, self.path)
        asked = Asked(self.command, path, query, body, owner.url, headers)
        if failure is None:
            seen.status, extra, data = owner.reply(asked)
            owner.at("done", seen)
            self._send(seen.status, extra, _encoded(data))
            return
        if failure.done:
            owner.reply(asked)
        seen.status = self._fail(failure)

    def _fail(self, failure: Failure) -> int:
        if failure.how in ("cut", "hang"):
            if failure.how == "hang":
                self.server.owner.closing.wait()
            self.close_connection = True
            return 0
        if failure.how == "drip":
            self._drip()
            return 200
        kinds = {"garbage": b'{"number": ', "html": b"<html><body>Bad gateway</body></html>"}
        self._send(failure.status, dict(failure.headers), kinds.get(failure.how) or _encoded(failure.body))
        return failure.status

    def _drip(self) -> None:
        """An answer that never ends and is never silent for long."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "1000000")
        self.end_headers()
        while not self.server.owner.closing.wait(0.02):
            self.wfile.write(b" ")

    def _send(self, status: int, headers: Mapping[str, str], payload: bytes) -> None:
        self.send_response_only(status)
        self.send_header("date", formatdate(usegmt=True))
        if payload:
            self.send_header("content-type", "application/json; charset=utf-8")
        if status not in (204, 304):
            self.send_header("content-length", str(len(payload)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)


def _encoded(data: Any) -> bytes:
    return b"" if data is None else json.dumps(data).encode()
