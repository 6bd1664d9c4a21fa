"""What agent programs print, read. The shapes are those of the real programs, the content is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hqd.adapters.agents.parsers import classify, parse
from hqd.codec.own_words import own_words
from hqd.model.failure import Failure

USAGE = {
    "input_tokens": 1552, "cache_creation_input_tokens": 20064, "cache_read_input_tokens": 300, "output_tokens": 9,
    "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0}, "service_tier": "standard",
    "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0}, "iterations": [],
}  # fmt: skip
MODELS = {
    "claude-opus-4-8[1m]": {
        "inputTokens": 1500, "outputTokens": 9, "cacheReadInputTokens": 300, "cacheCreationInputTokens": 20064,
        "webSearchRequests": 0, "costUSD": 0.133, "contextWindow": 1000000, "maxOutputTokens": 64000,
    },
    "claude-haiku-4-5": {"inputTokens": 52, "outputTokens": 1, "cacheReadInputTokens": 0},
}  # fmt: skip


def claude(**changes: Any) -> bytes:
    result = {
        "type": "result", "subtype": "success", "is_error": False, "api_error_status": None, "duration_ms": 200,
        "duration_api_ms": 38, "num_turns": 1, "result": "hello there", "stop_reason": "end_turn",
        "session_id": "8b40c948-6fab-4566-81d3-6ba77cc64043", "total_cost_usd": 0.134, "usage": USAGE,
        "modelUsage": MODELS, "permission_denials": [], "terminal_reason": "completed",
    }  # fmt: skip
    return json.dumps({**result, **changes}).encode() + b"\n"


def refused(status: int | None, text: str) -> bytes:
    return claude(
        is_error=True,
        api_error_status=status,
        result=text,
        stop_reason="stop_sequence",
        modelUsage={},
        total_cost_usd=0,
    )


class TestClaude:
    def test_answer_usage_cost_and_model(self) -> None:
        parsed = parse("claude", claude(), 0)

        assert (parsed.text, parsed.failure, parsed.stop) == ("hello there", None, "end_turn")
        assert parsed.model == "claude-opus-4-8"
        usage = parsed.usage
        assert (usage.in_, usage.out, usage.cached, usage.cache_write) == (1552, 10, 300, 20064)
        assert (usage.cost, usage.requests) == (0.134, 1)

    def test_usage_without_a_table_of_models(self) -> None:
        assert parse("claude", claude(modelUsage={}), 0).usage.in_ == 1552

    def test_structured_output_is_the_answer(self) -> None:
        parsed = parse("claude", claude(structured_output={"score": 1.5}, result='{"score":1.5} and chatter'), 0)

        assert json.loads(parsed.text) == {"score": 1.5}

    @pytest.mark.parametrize(
        ("status", "text", "failure"),
        [
            (401, "Failed to authenticate. API Error: 401 bad key", Failure.CREDENTIALS),
            (403, "API Error: 403 forbidden", Failure.CREDENTIALS),
            (None, "Not logged in · Please run /login", Failure.CREDENTIALS),
            (402, "API Error: 402 payment required", Failure.PROVIDER),
            (400, "Your credit balance is too low to access the API", Failure.PROVIDER),
            (404, "There's an issue with the selected model", Failure.PROVIDER),
            (429, "API Error: Request rejected (429) · slow", Failure.TRANSIENT),
            (529, "API Error: 529 Overloaded. This is a server-side issue", Failure.TRANSIENT),
            (None, "API Error: 529 Overloaded", Failure.TRANSIENT),
            (500, "API Error: 500 internal", Failure.TRANSIENT),
            (None, "API Error: Claude's response exceeded the 64000 output token maximum.", Failure.TRUNCATED),
            (400, "Prompt is too long", Failure.CONTEXT),
            (None, "something else", Failure.AGENT_ERROR),
        ],
    )
    def test_is_error_decides_and_never_the_subtype(self, status: int | None, text: str, failure: Failure) -> None:
        """`subtype` says "success" in every one of these, as the real program does."""
        parsed = parse("claude", refused(status, text), 1)

        assert parsed.failure is failure
        assert parsed.message == text

    def test_the_exit_code_decides_too(self) -> None:
        assert parse("claude", claude(), 1).failure is Failure.AGENT_ERROR

    def test_a_refusal_is_told_by_the_stop_reason(self) -> None:
        out = claude(is_error=True, stop_reason="refusal", result="API Error: Claude Code is unable to respond")

        assert parse("claude", out, 1).failure is Failure.REFUSAL

    def test_a_spent_budget_has_no_result_but_a_cost(self) -> None:
        row = json.loads(
            claude(subtype="error_max_budget_usd", is_error=True, errors=["Reached maximum budget ($0.1)"])
        )
        del row["result"]

        parsed = parse("claude", json.dumps(row).encode(), 1)

        assert (parsed.failure, parsed.message) == (Failure.BUDGET, "Reached maximum budget ($0.1)")
        assert parsed.usage.cost == 0.134

    def test_the_last_result_of_a_stream_counts(self) -> None:
        stream = b'{"type":"system"}\nwarning: x\n{"type":"assistant","message":{}}\n' + claude()

        assert parse("claude", stream, 0).text == "hello there"

    @pytest.mark.parametrize("out", [b"", b"Segmentation fault", b'{"type": "result"', b"[1, 2]"])
    def test_what_is_no_result_is_malformed_or_the_programs_own_failure(self, out: bytes) -> None:
        assert parse("claude", out, 0).failure is Failure.MALFORMED
        assert parse("claude", out, 1).failure is Failure.AGENT_ERROR


def codex(*rows: dict[str, Any]) -> bytes:
    first = [
        {"type": "thread.started", "thread_id": "01a202d5-1e6d-7790-a82b-d50a47091b77"},
        {"type": "item.completed", "item": {"id": "item_0", "type": "error", "message": "Model metadata not found"}},
        {"type": "turn.started"},
    ]
    return b"\n".join(json.dumps(row).encode() for row in [*first, *rows]) + b"\n"


SAID = {"type": "item.completed", "item": {"id": "item_1", "type": "agent_message", "text": "hello from codex"}}
DONE = {
    "type": "turn.completed",
    "usage": {
        "input_tokens": 100, "cached_input_tokens": 40, "cache_write_input_tokens": 0, "output_tokens": 5,
        "reasoning_output_tokens": 1,
    },
}  # fmt: skip


class TestCodex:
    def test_the_last_message_and_usage_without_double_counting(self) -> None:
        early = {"type": "item.completed", "item": {"type": "agent_message", "text": "let me look"}}
        command = {"type": "item.completed", "item": {"type": "command_execution", "text": "ls"}}

        parsed = parse("codex", codex(early, command, SAID, DONE), 0)

        assert (parsed.text, parsed.failure) == ("hello from codex", None)
        assert (parsed.usage.in_, parsed.usage.cached, parsed.usage.out) == (60, 40, 5)
        assert parsed.usage.cost is None

    @pytest.mark.parametrize(
        ("message", "failure"),
        [
            ("unexpected status 401 Unauthorized: bad, url: http://127.0.0.1/v1/responses", Failure.CREDENTIALS),
            ("Missing environment variable: `OPENAI_API_KEY`.", Failure.CREDENTIALS),
            ("exceeded retry limit, last status: 429 Too Many Requests", Failure.TRANSIENT),
            ("We’re currently experiencing high demand, which may cause temporary errors.", Failure.TRANSIENT),
            ("You've hit your usage limit. Try again later.", Failure.PROVIDER),
            ("stream disconnected before completion", Failure.TRANSIENT),
            ("something else", Failure.AGENT_ERROR),
        ],
    )
    def test_a_failed_turn(self, message: str, failure: Failure) -> None:
        rows = ({"type": "error", "message": message}, {"type": "turn.failed", "error": {"message": message}})

        parsed = parse("codex", codex(*rows), 1)

        assert (parsed.failure, parsed.message) == (failure, message)

    def test_an_error_that_the_turn_got_over_is_none(self) -> None:
        reconnect = {"type": "error", "message": "Reconnecting... 1/5"}

        assert parse("codex", codex(reconnect, SAID, DONE), 0).failure is None

    def test_lines_that_are_no_json_are_left_out(self) -> None:
        assert parse("codex", b"WARNING: x\n{broken\n" + codex(SAID, DONE), 0).text == "hello from codex"


class TestTextAndJson:
    def test_text_is_stdout_as_it_is(self) -> None:
        assert parse("text", "# é\n".encode(), 0).text == "# é\n"
        assert parse("text", b"\xff", 0).text == "�"
        assert parse("text", b"x", 3).failure is Failure.AGENT_ERROR

    @pytest.mark.parametrize(
        ("out", "text"), [(b'{"score": 1}', '{"score": 1}'), (b'"plain"', "plain"), (b"[1]", "[1]")]
    )
    def test_any_json_value_is_the_output(self, out: bytes, text: str) -> None:
        assert parse("json", out, 0).text == text

    def test_hqds_own_object(self) -> None:
        value = {
            "output": {"score": 0.5},
            "decisions": [{"title": "Use UTC"}, "Prices are in crowns", 7],
            "usage": {"input_tokens": 10, "output_tokens": 20, "cost_usd": 0.5},
        }

        for parsed in (parse("json", json.dumps(value).encode(), 0), own_words(json.dumps(value).encode())):
            assert json.loads(parsed.text) == {"score": 0.5}
            assert parsed.decisions == ({"title": "Use UTC"}, {"decision": "Prices are in crowns"})
            assert (parsed.usage.in_, parsed.usage.out, parsed.usage.cost) == (10, 20, 0.5)
            assert parsed.failure is None

    def test_what_only_a_human_can_settle(self) -> None:
        asked = own_words(b'{"needs_human": "Which price?"}')
        replanned = own_words(b'{"output": "x", "replan": "the brief is wrong"}')

        assert (asked.failure, asked.needs_human, asked.message) == (
            Failure.NEEDS_HUMAN,
            "Which price?",
            "Which price?",
        )
        assert (replanned.failure, replanned.replan, replanned.text) == (Failure.REPLAN, "the brief is wrong", "x")

    @pytest.mark.parametrize("document", [b"", b"{", b"[]", b"nan?", b"[" * 100_000, b"\xff"])
    def test_what_is_no_object_is_malformed(self, document: bytes) -> None:
        assert own_words(document).failure is Failure.MALFORMED
        assert own_words(document).message

    @pytest.mark.parametrize(
        "usage", ["much", {"input_tokens": "5"}, {"input_tokens": -5, "cost_usd": -1}, {"cost_usd": 1e300}]
    )
    def test_hostile_usage_counts_as_none(self, usage: object) -> None:
        parsed = own_words(json.dumps({"output": "x", "usage": usage}).encode())

        assert (parsed.usage.tokens, parsed.usage.cost) == (0, None)


def test_a_status_is_read_from_words_only_where_it_is_one() -> None:
    assert classify("there are 500 files and 401 tests") is Failure.AGENT_ERROR
    assert classify("API Error: 503 unavailable") is Failure.TRANSIENT
