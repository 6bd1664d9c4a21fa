"""What command-line agents print, turned into an answer. Pure; one function per form.

Shapes as seen from claude-code 2.1.197 and codex-cli 0.169.0. Whether a run succeeded is decided by the exit code and
by `is_error`, never by claude's `subtype`, which says "success" for a refused key too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hqd.codec.own_words import Parsed, dollars, from_object, integer, malformed, mapping, one_line, string
from hqd.model.failure import Failure
from hqd.model.record import Usage


def parse(parser: str, stdout: bytes, exit_code: int) -> Parsed:
    """Reads stdout by the named parser: text, json, claude, codex. Raises nothing for what a program printed."""
    parsed = _PARSERS[parser](stdout, exit_code)
    if parsed.failure is None and exit_code != 0:
        return replace(parsed, failure=Failure.AGENT_ERROR)
    return parsed


def classify(message: str, status: int | None = None) -> Failure:
    """The class of a failure that a program reports in words, with the HTTP status where it gives one."""
    if status is None:
        found = re.search(r"\b(?:status:? |API Error: |\()([45]\d\d)\b", message)
        status = int(found[1]) if found else None
    for words, failure in _WORDS:
        if words.search(message):
            return failure
    return _by_status(status)


_WORDS: tuple[tuple[re.Pattern[str], Failure], ...] = (
    (
        re.compile(
            r"not logged in|please run /login|missing environment variable|invalid api key|failed to authenticate", re.I
        ),
        Failure.CREDENTIALS,
    ),
    (
        re.compile(r"usage limit|spend limit|credit balance|insufficient_quota|billing|out of credits", re.I),
        Failure.PROVIDER,
    ),
    (re.compile(r"maximum budget", re.I), Failure.BUDGET),
    (re.compile(r"output token maximum", re.I), Failure.TRUNCATED),
    (re.compile(r"prompt is too long|context.window|context_length_exceeded", re.I), Failure.CONTEXT),
    (re.compile(r"usage policy", re.I), Failure.REFUSAL),
    (
        re.compile(r"high demand|overloaded|stream disconnected|connection (?:error|refused|reset)", re.I),
        Failure.TRANSIENT,
    ),
)


def _by_status(status: int | None) -> Failure:
    if status in (401, 403):
        return Failure.CREDENTIALS
    if status in (402, 404):
        return Failure.PROVIDER
    if status is not None and (status in (408, 409, 429) or status >= 500):
        return Failure.TRANSIENT
    return Failure.AGENT_ERROR


def _text(stdout: bytes, exit_code: int) -> Parsed:
    return Parsed(text=stdout.decode("utf-8", "replace"))


def _json(stdout: bytes, exit_code: int) -> Parsed:
    """One JSON document: hqd's own object (it has `output`, `needs_human` or `replan`), or any value as it is."""
    try:
        value = json.loads(stdout)
    except (ValueError, RecursionError) as error:
        if exit_code != 0:
            return Parsed(text=stdout.decode("utf-8", "replace"))
        return replace(malformed(f"stdout is no JSON: {error}"), text=stdout.decode("utf-8", "replace"))
    if isinstance(value, dict) and value.keys() & {"output", "needs_human", "replan"}:
        return from_object(value)
    return Parsed(text=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _claude(stdout: bytes, exit_code: int) -> Parsed:
    """`--output-format json`: one object. `stream-json`: the last object of type `result`."""
    result = next((row for row in reversed(list(_rows(stdout))) if row.get("type") == "result"), None)
    if result is None:
        text = stdout.decode("utf-8", "replace")
        if exit_code != 0:
            return Parsed(text=text)
        return replace(malformed("claude printed no result object"), text=text)
    text = _claude_text(result)
    parsed = Parsed(
        text=text, usage=_claude_usage(result), model=_claude_model(result), stop=string(result.get("stop_reason"))
    )
    if not result.get("is_error") and exit_code == 0:
        return parsed
    if parsed.stop == "refusal":
        return replace(parsed, failure=Failure.REFUSAL, message=one_line(text))
    status = integer(result.get("api_error_status")) or None
    return replace(parsed, failure=classify(text, status), message=one_line(text))


def _claude_text(result: Mapping[str, Any]) -> str:
    if result.get("structured_output") is not None:
        return json.dumps(result["structured_output"], ensure_ascii=False)
    if isinstance(result.get("result"), str):
        return str(result["result"])
    errors = result.get("errors")
    return "; ".join(str(error) for error in errors) if isinstance(errors, list) else ""


def _claude_usage(result: Mapping[str, Any]) -> Usage:
    """From `modelUsage`, which counts all models and also stands when a run was stopped; else from `usage`."""
    models: list[Mapping[str, Any]] = [
        row for row in mapping(result.get("modelUsage")).values() if isinstance(row, dict)
    ]
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    rows = models
    if not models:
        rows = [mapping(result.get("usage"))]
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    in_, out, cached, written = (sum(integer(row.get(name)) for row in rows) for name in names)
    return Usage(
        in_=in_,
        out=out,
        cached=cached,
        cache_write=written,
        cost=dollars(result.get("total_cost_usd")),
        requests=integer(result.get("num_turns")),
    )


def _claude_model(result: Mapping[str, Any]) -> str | None:
    """The model that wrote most; `claude-opus-4-8[1m]` names a window too, which is dropped."""
    models = {name: row for name, row in mapping(result.get("modelUsage")).items() if isinstance(row, dict)}
    if not models:
        return None
    return str(max(models, key=lambda name: integer(models[name].get("outputTokens")))).partition("[")[0]


def _codex(stdout: bytes, exit_code: int) -> Parsed:
    """`exec --json`: the last agent_message is the answer; items of type `error` are mere warnings."""
    text, message, failed, turns = "", "", False, 0
    usage = Usage()
    for row in _rows(stdout):
        kind, item = row.get("type"), mapping(row.get("item"))
        if kind == "item.completed" and item.get("type") == "agent_message":
            text = str(item.get("text", ""))
        elif kind == "turn.completed":
            turns += 1
            usage = _codex_usage(usage, mapping(row.get("usage")), turns)
            failed = False
        elif kind in ("turn.failed", "error"):
            failed = True
            message = str(mapping(row.get("error")).get("message") or row.get("message") or message)
    parsed = Parsed(text=text, usage=usage)
    if failed or (exit_code != 0 and message):
        return replace(parsed, failure=classify(message), message=one_line(message))
    return parsed


def _codex_usage(before: Usage, row: Mapping[str, Any], turns: int) -> Usage:
    """codex counts what came from the cache as input too; hqd does not."""
    cached, written = integer(row.get("cached_input_tokens")), integer(row.get("cache_write_input_tokens"))
    return Usage(
        in_=before.in_ + max(0, integer(row.get("input_tokens")) - cached - written),
        out=before.out + integer(row.get("output_tokens")),
        cached=before.cached + cached,
        cache_write=before.cache_write + written,
        requests=turns,
    )


def _rows(stdout: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSONL text; lines that are none (warnings of the program) are left out."""
    for line in stdout.splitlines():
        if line.lstrip()[:1] != b"{":
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


_PARSERS: Mapping[str, Callable[[bytes, int], Parsed]] = {
    "text": _text,
    "json": _json,
    "claude": _claude,
    "codex": _codex,
}
