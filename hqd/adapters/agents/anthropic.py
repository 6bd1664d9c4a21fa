"""A model behind the Messages API: Anthropic's own, or any server that speaks it (ANTHROPIC_BASE_URL)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from hqd.adapters.agents import api_errors
from hqd.adapters.agents.file_tools import ANSWER, ASK, REPLAN, TOOLS, FileTools
from hqd.adapters.agents.messages_api import MessagesApi, Turn
from hqd.adapters.agents.prices import cost, price_of
from hqd.adapters.secrets import reference
from hqd.core.secret_scan import mask, mask_bytes
from hqd.model.attempt import Answer, Question
from hqd.model.failure import Failure
from hqd.model.record import Usage
from hqd.model.settings import Price
from hqd.ports import Secrets

DEFAULT_URL = "https://api.anthropic.com"
_MINUTE, _HOUR = 60.0, 3600.0
_NO_KEY = "no-key"  # for a server of one's own that asks for none; the SDK wants something
_STOPS = {
    "max_tokens": (Failure.TRUNCATED, "the answer was cut at max_tokens"),
    "model_context_window_exceeded": (Failure.TRUNCATED, "the answer was cut at the model's context window"),
    "refusal": (Failure.REFUSAL, "the model declined"),
}
_ENDED = {
    "stopped": (Failure.INTERRUPTED, "stopped"),
    "deadline": (Failure.TIMEOUT, "not done in time"),
    "budget": (Failure.BUDGET, "the budget of this attempt is spent"),
    "bytes": (Failure.TRUNCATED, "the answer exceeds the limit of bytes"),
}


@dataclass(slots=True)
class _Attempt:
    """What one question has come to so far."""

    question: Question
    price: Price | None
    server: tuple[str, str]
    deadline: float
    forced: bool = False  # the schema as a tool, for servers that know no structured output
    messages: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    text: str = ""
    raw: list[str] = field(default_factory=list)
    stop: str | None = None

    def add(self, turn: Turn) -> None:
        self.usage = _sum(self.usage, turn.usage)
        self.model = turn.model or self.model
        self.stop = turn.stop_reason or self.stop
        content = turn.content or ([{"type": "text", "text": turn.text}] if turn.text else [])
        row = {"stop_reason": turn.stop_reason, "usage": turn.usage.model_dump(by_alias=True), "content": content}
        self.raw.append(json.dumps(row, ensure_ascii=False))

    def spent(self, turn: Turn | None = None) -> float:
        """Dollars so far, with a turn that is still coming; 0 where there is no price."""
        usage = self.usage if turn is None else _sum(self.usage, turn.usage)
        return cost(usage, self.price) or 0.0

    def over_budget(self, turn: Turn | None = None) -> bool:
        dollars, tokens = self.question.budget_usd, self.question.budget_tokens
        used = self.usage.tokens + (turn.usage.tokens if turn is not None else 0)
        return (dollars is not None and self.spent(turn) > dollars) or (tokens is not None and used > tokens)


class AnthropicAgent:
    """Streams answers; with tools, a bounded loop of turns on the files of the copy."""

    def __init__(
        self, env: Mapping[str, str], secrets: Secrets, prices: Mapping[str, Price], api: MessagesApi | None = None
    ) -> None:
        self._env = env
        self._secrets = secrets
        self._prices = prices
        self._api = api if api is not None else MessagesApi()
        self._plain: set[str] = set()  # base URLs of servers without structured output
        self._silent: dict[str, float] = {}  # base URLs of servers that did not count: until when not to ask

    def close(self) -> None:
        """Ends the shared connection thread."""
        self._api.close()

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """Asks until the model has answered, the turns are used up, or something ends it."""
        key, base_url = self._key(question), self._base_url(question)
        if key is None:
            message = f"no API key: {question.settings.api_key} is not found"
            return Answer(text="", raw=b"", failure=Failure.CREDENTIALS, message=message)
        if question.settings.model is None:
            return Answer(text="", raw=b"", failure=Failure.PROVIDER, message=f"agent {question.agent} names no model")
        self._api.load()
        attempt = _Attempt(
            question=question,
            price=price_of(question.settings.model, question.settings, self._prices),
            server=(base_url, key),
            deadline=time.monotonic() + question.timeout,
            forced=base_url in self._plain,
            messages=[{"role": "user", "content": _prompt(question)}],
        )
        return _masked(self._converse(attempt, stop, progress), key)

    def count(self, question: Question) -> int | None:
        """Input tokens of the first request for this answer, by the server's own endpoint; None: it does not say.

        A server that failed to is not asked again for a minute; one that has no such endpoint, for an hour.
        """
        key, base_url = self._key(question), self._base_url(question)
        if key is None or question.settings.model is None or time.monotonic() < self._silent.get(base_url, 0.0):
            return None
        self._api.load()
        said = [{"role": "user", "content": _prompt(question)}]
        attempt = _Attempt(question, None, (base_url, key), 0.0, forced=base_url in self._plain, messages=said)
        counted = self._counted(attempt)
        if isinstance(counted, int):
            return counted
        if not attempt.forced and api_errors.lacks_structured_output(counted):
            attempt.forced = True
            counted = self._counted(attempt)
        if isinstance(counted, int):
            return counted
        missing = getattr(counted, "status_code", None) in (404, 405, 501)
        self._silent[base_url] = time.monotonic() + (_HOUR if missing else _MINUTE)
        return None

    def _counted(self, attempt: _Attempt) -> int | BaseException:
        request = {key: value for key, value in _request(attempt).items() if key != "max_tokens"}
        return self._api.count(attempt.server, request, attempt.question.timeout)

    def _converse(self, attempt: _Attempt, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        question = attempt.question
        tools = FileTools(question.cwd) if _has_tools(question) and question.cwd is not None else None
        for number in range(1, question.settings.max_turns + 1):
            turn = self._ask(attempt, stop, progress)
            if turn.error is not None and not attempt.forced and api_errors.lacks_structured_output(turn.error):
                attempt.forced = True
                self._plain.add(attempt.server[0])
                turn = self._ask(attempt, stop, progress)
            attempt.add(turn)
            ended = _ended(attempt, turn)
            if ended is not None:
                return ended
            if turn.stop_reason == "pause_turn":
                attempt.messages.append({"role": "assistant", "content": turn.content})
                continue
            calls = [block for block in turn.content if block["type"] == "tool_use"]
            last = _spoken(attempt, turn, calls)
            if last is not None:
                return last
            if attempt.over_budget():
                return _failed(attempt, *_ENDED["budget"])
            progress(f"turn {number}: " + ", ".join(str(call["name"]) for call in calls))
            self._carry_out(attempt, turn, calls, tools)
        return _failed(attempt, Failure.AGENT_ERROR, f"not done after {question.settings.max_turns} turns")

    def _ask(self, attempt: _Attempt, stop: threading.Event, progress: Callable[[str], None]) -> Turn:
        question = attempt.question
        shown = 0

        def halted(turn: Turn) -> str | None:
            nonlocal shown
            if turn.characters >= shown + 2000:
                shown = turn.characters
                progress(f"{turn.characters} characters")
            if stop.is_set():
                return "stopped"
            if turn.characters > question.max_bytes:
                return "bytes"
            return "budget" if attempt.over_budget(turn) else None

        if stop.is_set():
            return Turn(ended="stopped")
        return self._api.ask(attempt.server, _request(attempt), attempt.deadline, halted)

    def _carry_out(self, attempt: _Attempt, turn: Turn, calls: list[dict[str, Any]], tools: FileTools | None) -> None:
        results = []
        for call in calls:
            text, wrong = tools.call(call["name"], call["input"]) if tools else ("there are no tools here", True)
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": text, "is_error": wrong})
        attempt.raw.append(json.dumps({"results": results}, ensure_ascii=False))
        attempt.messages.append({"role": "assistant", "content": turn.content})
        attempt.messages.append({"role": "user", "content": results})

    def _base_url(self, question: Question) -> str:
        return question.settings.base_url or self._env.get("ANTHROPIC_BASE_URL") or DEFAULT_URL

    def _key(self, question: Question) -> str | None:
        """The key; a server of one's own may do without one."""
        name = reference(question.settings.api_key)
        key = question.settings.api_key if name is None else self._secrets.get(name)
        if key is None and urlsplit(self._base_url(question)).hostname != urlsplit(DEFAULT_URL).hostname:
            return _NO_KEY
        return key


def _has_tools(question: Question) -> bool:
    return question.cwd is not None and (question.tools or question.settings.tools)


def _prompt(question: Question) -> list[dict[str, Any]]:
    """The stable part first, with a cache breakpoint at its end; with tools one after the task's part too."""
    if not question.stable.strip():
        alone: dict[str, Any] = {"type": "text", "text": question.text or " "}
        return [{**alone, "cache_control": {"type": "ephemeral"}} if _has_tools(question) else alone]
    stable = {"type": "text", "text": question.stable, "cache_control": {"type": "ephemeral"}}
    rest: dict[str, Any] = {"type": "text", "text": question.prompt}
    if _has_tools(question):  # more turns will follow, and each reads all that was said before
        rest["cache_control"] = {"type": "ephemeral"}
    return [stable, rest] if question.prompt.strip() else [stable]


def _request(attempt: _Attempt) -> dict[str, Any]:
    question, settings = attempt.question, attempt.question.settings
    request: dict[str, Any] = {
        "model": settings.model,
        "max_tokens": settings.max_tokens,
        "messages": _with_breakpoint(attempt.messages),
    }
    if settings.system:
        request["system"] = settings.system
    tools: list[dict[str, Any]] = list(TOOLS) if _has_tools(question) else []
    if question.schema is not None and attempt.forced:
        tools.append({"name": ANSWER, "description": "Gives the answer.", "input_schema": dict(question.schema)})
        only = {"type": "tool", "name": ANSWER}
        request["tool_choice"] = {"type": "any"} if _has_tools(question) else only
    elif question.schema is not None:
        request["output_config"] = {"format": {"type": "json_schema", "schema": _strict(question.schema)}}
    if tools:
        request["tools"] = tools
    return request


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as the API wants it; what the SDK cannot turn into that is sent as it is."""
    from anthropic import transform_schema  # here and not above: takes seconds

    try:
        return transform_schema(dict(schema))
    except (ValueError, TypeError, KeyError, AttributeError):
        return dict(schema)


def _with_breakpoint(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a loop of tools, all that was said so far is cached for the next turn: a breakpoint on the last block."""
    if len(messages) == 1 or not messages[-1]["content"] or messages[-1]["role"] != "user":
        return messages
    *before, last = messages
    *blocks, end = last["content"]
    return [*before, {**last, "content": [*blocks, {**end, "cache_control": {"type": "ephemeral"}}]}]


def _ended(attempt: _Attempt, turn: Turn) -> Answer | None:
    """The answer to give when a turn did not come to its own end, or came to a bad one."""
    if turn.ended is not None:
        attempt.text = turn.text
        return _failed(attempt, *_ENDED[turn.ended])
    if turn.error is not None:
        fault = api_errors.fault_of(turn.error)
        return _failed(attempt, fault.failure, fault.message, fault.retry_after)
    if turn.stop_reason in _STOPS:
        attempt.text = turn.text
        return _failed(attempt, *_STOPS[turn.stop_reason])
    return None


def _spoken(attempt: _Attempt, turn: Turn, calls: list[dict[str, Any]]) -> Answer | None:
    """The last word of the model, if this turn is it."""
    for call in calls:
        if call["name"] == ASK:
            question = str(call["input"].get("question", ""))
            return _failed(attempt, Failure.NEEDS_HUMAN, question, needs_human=question)
        if call["name"] == REPLAN:
            reason = str(call["input"].get("reason", ""))
            return _failed(attempt, Failure.REPLAN, reason, replan=reason)
        if call["name"] == ANSWER and attempt.forced:
            attempt.text = json.dumps(call["input"], ensure_ascii=False)
            return _answer(attempt)
    if calls:
        return None
    attempt.text = turn.text
    if not turn.text.strip():
        return _failed(attempt, Failure.EMPTY, "the answer is empty")
    return _answer(attempt)


def _answer(attempt: _Attempt, **more: Any) -> Answer:
    usage = attempt.usage.model_copy(update={"cost": cost(attempt.usage, attempt.price)})
    return Answer(
        text=attempt.text,
        raw="\n".join(attempt.raw).encode("utf-8", "surrogatepass"),
        usage=usage,
        model=attempt.model or attempt.question.settings.model,
        stop=attempt.stop,
        **more,
    )


def _failed(attempt: _Attempt, failure: Failure, message: str, retry_after: float | None = None, **more: Any) -> Answer:
    return _answer(attempt, failure=failure, message=message, retry_after=retry_after, **more)


def _masked(answer: Answer, key: str) -> Answer:
    """A server may echo the key that it was sent."""
    known = [key]
    return replace(
        answer, text=mask(answer.text, known), raw=mask_bytes(answer.raw, known), message=mask(answer.message, known)
    )


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        in_=one.in_ + other.in_,
        out=one.out + other.out,
        cached=one.cached + other.cached,
        cache_write=one.cache_write + other.cache_write,
        requests=one.requests + other.requests,
    )
