"""Webhooks of all three forges. A delivery wakes the loop and says where to look first; nothing else of it is believed.

- The signature is checked over the raw body, in constant time, before anything in it is read.
- GitHub and Gitea sign the body but not the delivery's id: a replay under a new id is known by its body. GitLab signs
  nothing and sends its secret along; use it over TLS.
- What is remembered of past deliveries is bounded and lost with the process. That is enough: a replay that slips
  through wakes the loop once more, which does no harm (design law 2).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from hqd.errors import Misconfigured

Kind = Literal["github", "gitlab", "gitea"]

LARGEST = 25_000_000
"""Bytes of a payload; GitHub sends none that is larger."""
_REMEMBERED = 4096
_PATIENCE = 10.0  # seconds without a byte
_LONGEST = 30.0  # seconds of a whole delivery: byte by byte, one could be kept open for ever
_MOST_OPEN = 64  # connections
_AT_ONCE = 4  # deliveries that are read at the same time, so that strangers cannot fill the memory
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_EVENT = {"github": "x-github-event", "gitlab": "x-gitlab-event", "gitea": "x-gitea-event"}
_DELIVERY = {"github": "x-github-delivery", "gitlab": "x-gitlab-event-uuid", "gitea": "x-gitea-delivery"}


@dataclass(frozen=True, slots=True)
class Wake:
    """A hint where something changed. `repo`: as the forge writes it; `number`: of a pull request; `commit`: whose
    checks say something new; None: unknown."""

    event: str
    repo: str | None = None
    number: int | None = None
    commit: str | None = None


def genuine(kind: Kind, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Whether who sent this knows the secret. `headers` in lower case. An empty secret opens nothing."""
    if not secret:
        return False
    if kind == "gitlab":
        return _same(headers.get("x-gitlab-token", ""), secret)
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if kind == "github":
        return _same(headers.get("x-hub-signature-256", ""), "sha256=" + wanted)
    return _same(headers.get("x-gitea-signature") or headers.get("x-forgejo-signature") or "", wanted)


def _same(given: str, wanted: str) -> bool:
    """Constant time; bytes, because `compare_digest` refuses text beyond ASCII."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def wake(kind: Kind, headers: Mapping[str, str], body: bytes) -> Wake:
    """What a genuine delivery hints at. Never raises: a payload that says nothing still wakes."""
    event = headers.get(_EVENT[kind]) or headers.get("x-forgejo-event") or "unknown"
    try:
        payload = json.loads(_plain(body))
    except (ValueError, RecursionError):
        payload = None
    about = payload if isinstance(payload, dict) else {}
    repo = _text(about, "repository", "full_name") or _text(about, "project", "path_with_namespace")
    return Wake(event[:64], repo, _number(about), _commit(about))


def _plain(body: bytes) -> bytes:
    """The JSON of a payload, which GitHub sends as a form unless it is told to send JSON."""
    if not body.startswith(b"payload="):
        return body
    return unquote_to_bytes(body.removeprefix(b"payload=").partition(b"&")[0].replace(b"+", b" "))


def _number(payload: Mapping[str, Any]) -> int | None:
    places = [("pull_request", "number"), ("issue", "number"), ("merge_request", "iid")]
    if payload.get("object_kind") in (None, "merge_request"):  # of a pipeline or an issue it is another count
        places.append(("object_attributes", "iid"))
    for place, key in places:
        found = payload.get(place)
        number = found.get(key) if isinstance(found, dict) else None
        if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**31:
            return number
    return None


def _commit(payload: Mapping[str, Any]) -> str | None:
    """Of news of a check: a status names the commit itself, a check run or a pipeline within."""
    found = [payload.get("sha")]
    for place, key in (
        ("check_run", "head_sha"), ("check_suite", "head_sha"), ("workflow_run", "head_sha"),
        ("object_attributes", "sha"),
    ):  # fmt: skip
        part = payload.get(place)
        found.append(part.get(key) if isinstance(part, dict) else None)
    return next((sha for sha in found if isinstance(sha, str) and _SHA.fullmatch(sha)), None)


def _text(payload: Mapping[str, Any], place: str, key: str) -> str | None:
    found = payload.get(place)
    text = found.get(key) if isinstance(found, dict) else None
    return text if isinstance(text, str) and 0 < len(text) <= 255 and text.isprintable() else None


class Deliveries:
    """Which deliveries have been seen. Safe to use from several threads."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most, self._lock = most, threading.Lock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, kind: Kind, headers: Mapping[str, str], body: bytes) -> bool:
        """False for one whose id, or whose body under any id, has been here; remembers it."""
        names = [b"body" + hashlib.sha256(body).digest()]
        identity = headers.get(_DELIVERY[kind]) or headers.get("x-forgejo-delivery")
        if identity:
            names.append(b"id" + hashlib.sha256(identity.encode("utf-8", "surrogateescape")).digest())
        with self._lock:
            known = any(name in self._seen for name in names)
            for name in names:
                self._seen[name] = None
                self._seen.move_to_end(name)
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)
        return not known


class WebhookServer:
    """Listens for deliveries, as a context manager; `told` is called from its threads for each that is genuine and new.

    `listen`: `HOST:PORT`; port 0 takes a free one. `secret` is asked for each delivery, so that a renewed one counts
    at once; `beat`: seconds in which the end of the context is noticed; `longest`: seconds of one delivery. Raises
    Misconfigured where it cannot listen.
    """

    def __init__(
        self,
        listen: str,
        kind: Kind,
        secret: Callable[[], str | None],
        told: Callable[[Wake], None],
        beat: float = 0.5,
        longest: float = _LONGEST,
    ) -> None:
        self.kind, self.secret, self.told = kind, secret, told
        self.deliveries = Deliveries()
        self.slots = threading.BoundedSemaphore(_AT_ONCE)
        try:
            self._http = _Http(_address(listen), _Conversation)
        except OSError as fault:
            raise Misconfigured(
                f"cannot listen for webhooks on {listen}: {fault.strerror or fault}",
                remedy="choose another port in [webhook] `listen`",
            ) from fault
        self._http.owner, self._http.longest = self, longest
        self._thread = threading.Thread(target=self._http.serve_forever, args=(beat,), name="hqd-webhooks", daemon=True)

    @property
    def port(self) -> int:
        return self._http.server_port

    def __enter__(self) -> WebhookServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def take(self, headers: Mapping[str, str], body: bytes) -> int:
        """The status that one delivery is answered with: 204 it woke, 202 it was here before, 401 it is not genuine."""
        if not genuine(self.kind, headers, body, self.secret() or ""):
            return 401
        if not self.deliveries.is_new(self.kind, headers, body):
            return 202
        self.told(wake(self.kind, headers, body))
        return 204


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isdecimal() and port.isascii()) or int(port) > 65535:
        raise Misconfigured(f"[webhook] `listen` is no address: {listen}", remedy="write it like 127.0.0.1:8477")
    return host.strip("[]"), int(port)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: WebhookServer
    longest: float

    def __init__(self, address: tuple[str, int], conversation: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}  # since when, by the steady clock
        super().__init__(address, conversation)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more."""
        with self._lock:
            room = len(self._open) < _MOST_OPEN
            if room:
                self._open[request] = time.monotonic()
        return room

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """At every beat: whoever takes too long is cut off, so that slow strangers keep nobody out."""
        end = time.monotonic() - self.longest
        with self._lock:
            late = [request for request, since in self._open.items() if since < end]
        for request in late:
            with contextlib.suppress(OSError):  # it has just ended by itself
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, or speaks no HTTP, has told nothing."""


class _Conversation(BaseHTTPRequestHandler):
    """One delivery a connection, to any path; nothing is logged that a stranger wrote."""

    server: _Http
    server_version = "hqd"
    sys_version = ""
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isdecimal() and length.isascii()):
            self._end(411)
        elif len(length) > 12 or int(length) > LARGEST:
            self._end(413)
        elif not self.server.owner.slots.acquire(blocking=False):
            self._end(503)  # forges try again, and polling is the net
        else:
            try:
                body = self.rfile.read(int(length))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self._end(self.server.owner.take(headers, body) if len(body) == int(length) else 400)
            finally:
                self.server.owner.slots.release()

    def _end(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()
