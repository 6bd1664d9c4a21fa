"""One request to the Messages API, streamed, with a deadline that holds.

All requests of a process share one event loop on one thread, and one client for each server and key: a hundred
attempts in flight cost a hundred small coroutines. The official SDK is imported at the first request, on the caller's
thread, since that takes seconds; asyncio where it is used, since commands that only look make an agent too. Its own
retries are off; hqd retries where it is seen and counted.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hqd.model.record import Usage

if TYPE_CHECKING:
    import asyncio

    from anthropic import AsyncAnthropic

CONNECT = 15.0  # seconds
_POLL = 0.2  # seconds between looks at what may end a request
_CHARACTERS_PER_TOKEN = 4  # only for what a cut stream no longer told


@dataclass(slots=True)
class Turn:
    """One answer as far as it came. Written on the loop's thread, read by the caller.

    `content` are the finished blocks, as the next request must send them back. `error` is what ended it early.
    `ended` says what the caller ended it for.
    """

    text: str = ""
    content: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    model: str | None = None
    in_: int = 0
    out: int = 0
    cached: int = 0
    cache_write: int = 0
    characters: int = 0  # of text, thinking and tool arguments so far
    error: BaseException | None = None
    ended: str | None = None

    @property
    def usage(self) -> Usage:
        """Tokens as the server told; output that a cut stream no longer counted is estimated from its characters."""
        out = self.out if self.stop_reason else max(self.out, self.characters // _CHARACTERS_PER_TOKEN)
        return Usage(in_=self.in_, out=out, cached=self.cached, cache_write=self.cache_write, requests=1)


class MessagesApi:
    """The shared loop and clients. `idle` is the longest silence of a server, in seconds."""

    def __init__(self, idle: float = 120.0) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], AsyncAnthropic] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def load(self) -> ModuleType:
        """Imports the SDK, which takes seconds the first time and must not count against a deadline."""
        import anthropic

        return anthropic

    def ask(
        self,
        server: tuple[str, str],
        request: Mapping[str, Any],
        deadline: float,
        halted: Callable[[Turn], str | None],
    ) -> Turn:
        """Sends `request` to `server` (base URL, key) and waits for its whole answer, until monotonic `deadline`.

        `halted` is asked several times a second whether the request shall be given up, and for what; `deadline` is
        one such reason. Never raises for what the server does: that is `Turn.error`.
        """
        import asyncio

        client = self._client(*server)
        turn = Turn()
        done = threading.Event()
        task = asyncio.run_coroutine_threadsafe(_stream(client, request, turn, done), self._running_loop())
        while not done.wait(_POLL):
            turn.ended = "deadline" if time.monotonic() >= deadline else halted(turn)
            if turn.ended is not None:
                task.cancel()
                done.wait(2.0)
                return turn
        return turn

    def count(self, server: tuple[str, str], request: Mapping[str, Any], seconds: float) -> int | BaseException:
        """Input tokens of a request as the server counts them, or what kept it from counting."""
        import asyncio

        client = self._client(*server)
        counted = asyncio.run_coroutine_threadsafe(_count_tokens(client, request, seconds), self._running_loop())
        try:
            return counted.result(seconds + 1.0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller goes on without
            counted.cancel()
            return error

    def close(self) -> None:
        """Ends the loop's thread and the connections. The next `ask` starts anew."""
        with self._lock:
            loop, thread, clients = self._loop, self._thread, list(self._clients.values())
            self._loop = self._thread = None
            self._clients.clear()
        if loop is None or thread is None:
            return
        import asyncio

        for client in clients:
            with contextlib.suppress(Exception):  # a connection that does not close well is gone all the same
                asyncio.run_coroutine_threadsafe(client.close(), loop).result(2.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5.0)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="messages-api", daemon=True)
                self._thread.start()
            return self._loop

    def _client(self, base_url: str, key: str) -> AsyncAnthropic:
        anthropic = self.load()
        # The SDK warns of models near their end; that is the operator's affair, and no error of this request.
        warnings.filterwarnings("ignore", message="The model '", category=DeprecationWarning)
        with self._lock:
            client = self._clients.get((base_url, key))
            if client is None:
                timeout = anthropic.Timeout(connect=CONNECT, read=self._idle, write=60.0, pool=CONNECT)
                client = anthropic.AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, timeout=timeout)
                self._clients[(base_url, key)] = client
            return client


async def _count_tokens(client: AsyncAnthropic, request: Mapping[str, Any], seconds: float) -> int:
    return (await client.messages.count_tokens(**request, timeout=seconds)).input_tokens


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _stream(
    client: AsyncAnthropic, request: Mapping[str, Any], turn: Turn, done: threading.Event
) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        try:
            async with client.messages.stream(**request) as stream:
                async for event in stream:
                    _take(turn, event)
                message = await stream.get_final_message()
            turn.content = [block.model_dump(mode="json", exclude_none=True) for block in message.content]
            if turn.stop_reason is None:
                turn.error = ConnectionError("the answer broke off without a stop reason")
        except Exception as error:  # noqa: BLE001 - whatever ends a request is for the caller; a cancel is no Exception
            turn.error = error
        finally:
            done.set()

    return run()


def _take(turn: Turn, event: Any) -> None:
    """Keeps what is worth keeping even if nothing more comes."""
    if event.type == "message_start":
        turn.model = event.message.model
        _count(turn, event.message.usage)
    elif event.type == "message_delta":
        turn.stop_reason = event.delta.stop_reason
        _count(turn, event.usage)
    elif event.type == "text":
        turn.text += event.text
    elif event.type == "content_block_delta":
        delta = event.delta
        for name in ("text", "thinking", "partial_json"):
            turn.characters += len(getattr(delta, name, None) or "")


def _count(turn: Turn, usage: Any) -> None:
    """Counts are cumulative; what a message does not name stays."""
    names = {
        "in_": "input_tokens",
        "out": "output_tokens",
        "cached": "cache_read_input_tokens",
        "cache_write": "cache_creation_input_tokens",
    }
    for ours, theirs in names.items():
        value = getattr(usage, theirs, None)
        if isinstance(value, int):
            setattr(turn, ours, value)
