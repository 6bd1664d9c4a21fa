"""A forge's own API description as judge: Prism's proxy stands between the adapter and the fake forge.

    adapter -> front -> Prism -> back -> fake of the present test

Prism needs half a minute to start, so that one serves all tests; the two forwarders here let each test have a fake of
its own. GraphQL has no OpenAPI description and goes straight to the fake.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 180.0
"""Seconds for Prism to read 13 MB of description."""
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
_VIOLATION = "stoplight.io/prism/errors"


@dataclass
class Judge:
    """Prism with its two forwarders. `violations`: what it found wrong, in the adapter's requests or in the answers."""

    violations: list[str] = field(default_factory=list)
    judged: int = 0
    fake: str = ""  # the address of the present test's fake
    prism: str = ""
    front: str = ""
    prefix: str = ""  # of addresses that the fake gives (the next page), which is no part of the described paths
    nulls: bool = True  # False: the description is of OpenAPI 2, which has no null; the forge writes it all the same

    def address(self, server: Any) -> str:
        """Where the adapter of a test with this fake shall go."""
        self.fake = server.url
        return self.front

    def note(self, method: str, path: str, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.judged += 1
        if "problem+json" not in (answer.headers.get("content-type") or ""):
            return
        told = json.loads(body)
        if _VIOLATION in str(told.get("type", "")):
            faults = [str(each) for each in told.get("validation", ())] or [str(told.get("detail", ""))]
            self.violations += [f"{method} {path}: {told.get('title')}: {fault}" for fault in faults]


def _without_nulls(payload: bytes) -> bytes:
    """An answer in which what is null is left out."""
    if not payload.startswith((b"{", b"[")):
        return payload

    def mended(value: Any) -> Any:
        if isinstance(value, list):
            return [mended(each) for each in value]
        if isinstance(value, dict):
            return {key: mended(each) for key, each in value.items() if each is not None}
        return value

    return json.dumps(mended(json.loads(payload))).encode()


class _Forwarder(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    judge: Judge
    to_prism: bool

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up."""


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection a request: none outlives the fake that it led to
    server: _Forwarder

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        judge = self.server.judge
        to_prism = self.server.to_prism and urlsplit(self.path).path != "/graphql"
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        there = urlsplit(judge.prism if to_prism else judge.fake)
        connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        path = self.path.removeprefix(judge.prefix) if to_prism else self.path
        connection.request(self.command, path, body or None, headers)
        answer = connection.getresponse()
        payload = answer.read()
        if not (self.server.to_prism or judge.nulls):
            payload = _without_nulls(payload)
        if to_prism:
            judge.note(self.command, self.path, answer, payload)
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)
        connection.close()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET


@contextlib.contextmanager
def judge(home: Path, description: Path, log: Path) -> Iterator[Judge]:
    """`home`: the folder in which npm has put Prism; `description`: OpenAPI 2 or 3."""
    found = Judge()
    with _serving(found, to_prism=True) as front, _serving(found, to_prism=False) as back:
        found.front = front
        with _prism(home, description, back, log) as found.prism:
            yield found


@contextlib.contextmanager
def _serving(found: Judge, *, to_prism: bool) -> Iterator[str]:
    server = _Forwarder(("127.0.0.1", 0), _Conversation)
    server.judge, server.to_prism = found, to_prism
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def _prism(home: Path, description: Path, upstream: str, log: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = home / "node_modules/.bin/prism"
    argv = [str(program), "proxy", "--errors", "-h", "127.0.0.1", "-p", str(port), str(description), upstream]
    with log.open("wb") as output:
        child = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(port, child, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait_for(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if child.poll() is not None:
            raise AssertionError(f"Prism ended with {child.returncode}: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise AssertionError(f"Prism did not listen within {PATIENCE:.0f} s: {log.read_text(errors='replace')[-2000:]}")
