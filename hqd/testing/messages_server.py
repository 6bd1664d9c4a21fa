"""A real HTTP server on 127.0.0.1 that speaks the Messages API from a script, with every way it can go wrong.

    with MessagesServer([error(529, "overloaded_error"), text("# Done")]) as server:
        ...                     # point ANTHROPIC_BASE_URL at server.url
    server.requests[0].body     # what was asked

It refuses what the real API refuses (no key, no messages, tool results without their call), so that a client that
passes here is not merely one that was never looked at. It counts tokens at four characters each and keeps a prompt
cache, so that usage follows from the request.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CHARACTERS_PER_TOKEN = 4
_PIECE = 24  # characters of text in one delta


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request is answered with. Make one with the functions below."""

    blocks: tuple[Mapping[str, Any], ...] = ()
    stop_reason: str = "end_turn"
    status: int = 200
    error: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0  # seconds before anything is sent
    drip: float = 0.0  # seconds between two events
    cut_after: int | None = None  # events sent before the connection is cut
    hang_after: int | None = None  # events sent before nothing more comes
    garbage_after: int | None = None  # events sent before one that is no JSON
    error_after: int | None = None  # events sent before the event `error` inside the stream
    usage: Mapping[str, int] = field(default_factory=dict)  # in place of what was counted


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. `at` is monotonic time in seconds."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    at: float

    @property
    def prompt(self) -> str:
        """All text of all user messages, for assertions."""
        return "".join(_texts(self.body.get("messages", ())))


Script = Sequence[Reply] | Callable[[Request], Reply]


def text(answer: str, *, stop_reason: str = "end_turn", **usage: int) -> Reply:
    """A plain answer. `stop_reason="max_tokens"` is a truncated one, `"refusal"` a declined one."""
    return Reply(blocks=({"type": "text", "text": answer},), stop_reason=stop_reason, usage=usage)


def data(value: object) -> Reply:
    """Structured output: the value as JSON text, as the API gives it for `output_config.format`."""
    return text(json.dumps(value))


def tool(name: str, arguments: Mapping[str, Any], *, say: str = "", identity: str = "toolu_1") -> Reply:
    """A call of a tool."""
    call = {"type": "tool_use", "id": identity, "name": name, "input": dict(arguments)}
    said = ({"type": "text", "text": say},) if say else ()
    return Reply(blocks=(*said, call), stop_reason="tool_use")


def error(
    status: int,
    kind: str = "api_error",
    message: str = "scripted failure",
    *,
    retry_after: float | None = None,
    code: str | None = None,
) -> Reply:
    """An error of the API, in its own JSON shape; `code` stands in `error.details.error_code`."""
    details: dict[str, Any] = {"type": kind, "message": message}
    if code is not None:
        details["details"] = {"error_code": code}
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Reply(status=status, error=details, headers=headers)


def hang(answer: str = "", *, after: int = 0) -> Reply:
    """Accepts the request and then is silent; with `after`, some events come first."""
    return replace(text(answer), hang_after=after)


def drip(answer: str, seconds: float) -> Reply:
    """A slow answer: `seconds` between two events."""
    return replace(text(answer), drip=seconds)


def cut(answer: str, *, after: int = 4) -> Reply:
    """The connection breaks in the middle of the answer."""
    return replace(text(answer), cut_after=after)


def garbage(answer: str = "some text", *, after: int = 3) -> Reply:
    """An event in the middle is no JSON."""
    return replace(text(answer), garbage_after=after)


def overloaded_in_stream(answer: str = "some text", *, after: int = 3) -> Reply:
    """The stream starts well and then carries an `error` event."""
    broken = {"type": "overloaded_error", "message": "Overloaded"}
    return replace(text(answer), error_after=after, error=broken)


class MessagesServer:
    """The server as a context manager. A script is a sequence (then `after`), or a function of the request."""

    def __init__(
        self,
        script: Script = (),
        *,
        after: Reply | None = None,
        api_key: str | None = None,
        count: Callable[[Request], int | Reply] | None = None,
    ) -> None:
        """`count`: what a request for a count of tokens is answered with, in place of a quarter of its characters."""
        self._counter = count or (lambda request: _count(request.body))
        self._script = script
        self._after = after if after is not None else error(400, "invalid_request_error", "the script is used up")
        self._api_key = api_key
        self._lock = threading.Lock()
        self._next = 0
        self._cache: set[str] = set()
        self.closing = threading.Event()
        self.requests: list[Request] = []
        self._http = _Http(("127.0.0.1", 0), _Conversation)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="messages-server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def messages(self) -> list[Request]:
        """The requests for an answer, without those for a count of tokens."""
        return [request for request in self.requests if request.path.partition("?")[0] == "/v1/messages"]

    def __enter__(self) -> MessagesServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def reply_to(self, request: Request) -> Reply:
        """Records the request and says what to answer."""
        fault = self._fault_of(request)
        with self._lock:
            self.requests.append(request)
            if fault is not None:
                return fault
            if request.path.partition("?")[0].endswith("/count_tokens"):
                counted = self._counter(request)
                return Reply(blocks=({"input_tokens": counted},)) if isinstance(counted, int) else counted
            turn, self._next = self._next, self._next + 1
        if callable(self._script):
            return self._script(request)
        return self._script[turn] if turn < len(self._script) else self._after

    def _fault_of(self, request: Request) -> Reply | None:
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if not key or (self._api_key is not None and key != self._api_key):
            return error(401, "authentication_error", "invalid x-api-key")
        if request.path.partition("?")[0] not in ("/v1/messages", "/v1/messages/count_tokens"):
            return error(404, "not_found_error", f"no such path: {request.path}")
        problem = _problem(request.body)
        return None if problem is None else error(400, "invalid_request_error", problem)

    def usage(self, body: Mapping[str, Any]) -> dict[str, int]:
        """Input tokens as counted and cached: what stands before the last breakpoint is cached by its text."""
        whole, prefix = _prompt_and_prefix(body)
        cached = len(prefix) // _CHARACTERS_PER_TOKEN
        rest = len(whole) // _CHARACTERS_PER_TOKEN - cached
        if not prefix:
            return {"input_tokens": rest, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
        digest = hashlib.sha256(prefix.encode()).hexdigest()
        with self._lock:
            known = digest in self._cache
            self._cache.add(digest)
        read, written = (cached, 0) if known else (0, cached)
        return {"input_tokens": rest, "cache_read_input_tokens": read, "cache_creation_input_tokens": written}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    owner: MessagesServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        raw = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(path=self.path, headers=headers, body=json.loads(raw or b"{}"), at=time.monotonic())
        reply = self.server.owner.reply_to(request)
        if self._sleep(reply.wait):
            return
        if reply.hang_after == 0:
            self._hang()
        elif reply.status != 200:
            self._send(reply.status, {"type": "error", "error": reply.error, "request_id": "req_1"}, reply.headers)
        elif self.path.partition("?")[0].endswith("/count_tokens"):
            self._send(200, reply.blocks[0], {})
        elif request.body.get("stream"):
            self._stream(request, reply)
        else:
            self._send(200, self._message(request, reply), reply.headers)

    def _usage(self, request: Request, reply: Reply) -> dict[str, int]:
        said = sum(len(json.dumps(block)) for block in reply.blocks)
        counted = self.server.owner.usage(request.body)
        return {**counted, "output_tokens": max(1, said // _CHARACTERS_PER_TOKEN), **reply.usage}

    def _message(self, request: Request, reply: Reply) -> dict[str, Any]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": request.body["model"],
            "content": list(reply.blocks),
            "stop_reason": reply.stop_reason,
            "stop_sequence": None,
            "usage": self._usage(request, reply),
        }

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.send_header("request-id", "req_1")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def _stream(self, request: Request, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("request-id", "req_1")
        self.end_headers()
        for number, event in enumerate(_events(self._message(request, reply))):
            if number == reply.cut_after:
                self.close_connection = True
                return
            if number == reply.hang_after:
                self._hang()
                return
            if number == reply.garbage_after:
                self._chunk(b"event: content_block_delta\ndata: {this is no json\n\n")
                continue
            if number == reply.error_after:
                self._chunk(_sse({"type": "error", "error": reply.error}))
                break
            self._chunk(_sse(event))
            if self._sleep(reply.drip):
                return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, payload: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(payload), payload))
        self.wfile.flush()

    def _hang(self) -> None:
        self.server.owner.closing.wait()
        self.close_connection = True

    def _sleep(self, seconds: float) -> bool:
        """Waits; true when the server is closing meanwhile."""
        return seconds > 0 and self.server.owner.closing.wait(seconds)


def _sse(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The message as the API streams it: input usage at the start, output usage and stop reason at the end."""
    usage = dict(message["usage"])
    first = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": first}
    for index, block in enumerate(message["content"]):
        empty, deltas = _pieces(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _pieces(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if block["type"] == "text":
        cuts = range(0, len(block["text"]), _PIECE)
        return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"][at : at + _PIECE]} for at in cuts]
    arguments = json.dumps(block["input"])
    cuts = range(0, len(arguments), _PIECE)
    deltas = [{"type": "input_json_delta", "partial_json": arguments[at : at + _PIECE]} for at in cuts]
    return {**block, "input": {}}, deltas


def _content(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = message.get("content", [])
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _texts(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message.get("role") == "user":
            yield from (block.get("text", "") for block in _content(message))


def _prompt_and_prefix(body: Mapping[str, Any]) -> tuple[str, str]:
    """All that is sent as one text, and the part of it up to the last cache breakpoint."""
    whole, prefix = json.dumps(body.get("tools", [])), ""
    system = body.get("system", [])
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else list(system)
    for message in body.get("messages", ()):
        blocks += _content(message)
    for block in blocks:
        plain = {name: value for name, value in block.items() if name != "cache_control"}
        whole += json.dumps(plain)
        if "cache_control" in block:
            prefix = whole
    return whole, prefix


def _count(body: Mapping[str, Any]) -> int:
    return len(_prompt_and_prefix(body)[0]) // _CHARACTERS_PER_TOKEN


def _problem(body: Mapping[str, Any]) -> str | None:
    """What the real API refuses with 400."""
    messages = body.get("messages")
    if not isinstance(body.get("model"), str) or not isinstance(messages, list) or not messages:
        return "model and messages are required"
    if messages[0].get("role") != "user":
        return "messages: the first must be of the user"
    if json.dumps(body).count('"cache_control"') > 4:
        return "a maximum of 4 blocks with cache_control may be provided"
    for before, message in zip([{}, *messages], messages, strict=False):
        calls = {block.get("id") for block in _content(before) if block.get("type") == "tool_use"}
        results = {block.get("tool_use_id") for block in _content(message) if block.get("type") == "tool_result"}
        if results - calls:
            return "tool_result without its tool_use in the message before"
        if calls - results:
            return "tool_use without its tool_result in the message after"
        if any(block.get("type") == "text" and not block.get("text", "").strip() for block in _content(message)):
            return "text content blocks must be non-empty"
    return None
