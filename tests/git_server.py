"""Git over HTTP on 127.0.0.1: git's own http-backend behind Python's server, with a token, as a forge has it."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class GitServer:
    """Serves the bare repositories under `root`. `readers` may fetch, `writers` may push as well; both empty: anyone.

    `down`: answers 503 to all. `moved`: answers 301 to there. `seen`: the Authorization headers that came.
    """

    root: Path
    url: str = ""
    readers: set[str] = field(default_factory=set)
    writers: set[str] = field(default_factory=set)
    down: bool = False
    moved: str = ""
    seen: list[str] = field(default_factory=list)

    def refusal(self, header: str, *, push: bool) -> int:
        """The status that a request is refused with; 0: it may pass."""
        if self.down:
            return 503
        if self.moved:
            return 301
        if not self.readers | self.writers:
            return 0
        token = _token(header)
        if token not in self.readers | self.writers:
            return 401
        return 403 if push and token not in self.writers else 0


def _token(header: str) -> str:
    kind, _, value = header.partition(" ")
    return base64.b64decode(value).decode().partition(":")[2] if kind == "Basic" else ""


@contextmanager
def serve(root: Path) -> Iterator[GitServer]:
    found = GitServer(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, found)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, server: GitServer) -> None:
    body = _body(request)
    parts = urlsplit(request.path)
    header = request.headers.get("Authorization", "")
    server.seen.append(header)
    push = "git-receive-pack" in request.path
    refused = server.refusal(header, push=push)
    if refused:
        request.send_response(refused)
        if refused == 401:
            request.send_header("WWW-Authenticate", 'Basic realm="git"')
        if refused == 301:
            request.send_header("Location", server.moved + request.path)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return
    env = {
        **os.environ,
        "GIT_PROJECT_ROOT": str(server.root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REMOTE_USER": "git",
        "REMOTE_ADDR": "127.0.0.1",
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
    head, _, out = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    request.send_response(int(fields.pop("Status", "200 OK").split()[0]))
    for name, value in fields.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(out)))
    request.end_headers()
    request.wfile.write(out)


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline(), 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)
