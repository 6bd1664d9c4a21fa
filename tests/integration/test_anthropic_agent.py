"""The anthropic agent against a real HTTP server: time, money, caching, tools, and everything that goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hqd.model.attempt import Answer
from hqd.model.failure import Failure
from hqd.model.settings import Price
from hqd.testing import messages_server as api
from hqd.testing.messages_server import MessagesServer, Reply
from tests import agent_questions as ask


def run(
    script: api.Script, prompt: str = "Write it.", settings: dict[str, Any] | None = None, **changes: Any
) -> tuple[Answer, MessagesServer]:
    """One question to an agent whose server follows the script."""
    env = changes.pop("env", {})
    idle = changes.pop("idle", 20.0)
    with MessagesServer(script) as server, closing(ask.anthropic_agent(server.url, idle, **env)) as agent:
        question = ask.question(ask.model(**(settings or {})), prompt, **changes)
        return agent.answer(question, changes.pop("stop", threading.Event()), lambda _: None), server


def test_text_usage_cost_and_stop_reason() -> None:
    got, server = run([api.text("# Done", input_tokens=1000, output_tokens=200)])

    assert (got.text, got.failure, got.stop, got.model) == ("# Done", None, "end_turn", ask.MODEL)
    assert (got.usage.in_, got.usage.out, got.usage.requests) == (1000, 200, 1)
    assert got.usage.cost == pytest.approx((1000 * 3 + 200 * 15) / 1e6)
    assert json.loads(got.raw)["content"] == [{"text": "# Done", "type": "text"}]
    body = server.messages[0].body
    assert (body["stream"], body["max_tokens"], body["model"]) == (True, 8192, ask.MODEL)
    assert server.messages[0].headers["authorization"] == f"Bearer {ask.KEY}"


def test_the_stable_part_is_cached_and_the_cache_is_paid_for() -> None:
    stable = "The house style. " * 400
    with MessagesServer(lambda _: api.text("ok")) as server, closing(ask.anthropic_agent(server.url)) as agent:
        question = ask.question(ask.model(system="Be brief."), stable=stable)
        first, second = (agent.answer(question, threading.Event(), lambda _: None) for _ in range(2))

    blocks = server.messages[0].body["messages"][0]["content"]
    assert [block.get("cache_control") for block in blocks] == [{"type": "ephemeral"}, None]
    assert blocks[0]["text"] == stable
    assert first.usage.cache_write > 1500
    assert second.usage.cached == first.usage.cache_write
    assert second.usage.cache_write == 0
    assert first.usage.cost is not None
    assert second.usage.cost is not None
    assert first.usage.cost > 5 * second.usage.cost


def test_without_a_stable_part_there_is_no_breakpoint() -> None:
    _, server = run([api.text("ok")], stable="")

    assert server.messages[0].body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Write it."}]}]


@pytest.mark.parametrize(
    ("reply", "failure", "retry_after"),
    [
        (api.error(401, "authentication_error", "invalid x-api-key"), Failure.CREDENTIALS, None),
        (api.error(403, "permission_error"), Failure.CREDENTIALS, None),
        (api.error(402, "billing_error"), Failure.PROVIDER, None),
        (api.error(404, "not_found_error", "model: claude-nope"), Failure.PROVIDER, None),
        (api.error(429, "rate_limit_error", retry_after=7), Failure.TRANSIENT, 7.0),
        (api.error(429, "rate_limit_error", "slow down"), Failure.TRANSIENT, None),
        (api.error(429, "rate_limit_error", "You have reached your spend limit"), Failure.PROVIDER, None),
        (
            api.error(429, "rate_limit_error", code="enforced_spend_limit_reached", retry_after=9),
            Failure.PROVIDER,
            None,
        ),
        (api.error(400, "invalid_request_error", "Your credit balance is too low"), Failure.PROVIDER, None),
        (api.error(400, "invalid_request_error", "You have reached your API usage limits"), Failure.PROVIDER, None),
        (api.error(400, "invalid_request_error", "prompt is too long: 210000 tokens"), Failure.CONTEXT, None),
        (api.error(413, "request_too_large"), Failure.CONTEXT, None),
        (api.error(400, "invalid_request_error", "no such parameter"), Failure.AGENT_ERROR, None),
        (api.error(500, "api_error"), Failure.TRANSIENT, None),
        (api.error(529, "overloaded_error", retry_after=3), Failure.TRANSIENT, 3.0),
        (api.overloaded_in_stream(), Failure.TRANSIENT, None),
        (api.cut("a longer text that is cut off somewhere"), Failure.TRANSIENT, None),
        (api.garbage(), Failure.TRANSIENT, None),
        (api.text("half of", stop_reason="max_tokens"), Failure.TRUNCATED, None),
        (api.text("half of", stop_reason="model_context_window_exceeded"), Failure.TRUNCATED, None),
        (api.text("I can't", stop_reason="refusal"), Failure.REFUSAL, None),
        (api.text("  \n"), Failure.EMPTY, None),
    ],
)
def test_what_goes_wrong_has_its_class(reply: Reply, failure: Failure, retry_after: float | None) -> None:
    got, server = run([reply])

    assert got.failure is failure
    assert got.retry_after == retry_after
    assert got.message
    assert len(server.messages) == 1, "the SDK must not retry behind hqd's back"


def test_no_server_is_transient() -> None:
    with MessagesServer() as server:
        url = server.url
    with closing(ask.anthropic_agent(url)) as agent:
        got = agent.answer(ask.question(ask.model()), threading.Event(), lambda _: None)

    assert got.failure is Failure.TRANSIENT
    assert "Connection" in got.message


def test_a_silent_server_is_transient_after_the_longest_silence() -> None:
    got, _ = run([api.hang("some text", after=3)], idle=0.5)

    assert got.failure is Failure.TRANSIENT
    assert got.usage.in_ > 0


def test_the_deadline_holds_while_tokens_drip_in_and_what_was_used_counts() -> None:
    began = time.monotonic()
    got, _ = run([api.drip("word " * 2000, 0.05)], timeout=1.0)

    assert got.failure is Failure.TIMEOUT
    assert time.monotonic() - began < 10
    assert got.usage.in_ > 0
    assert got.usage.out > 10
    assert got.usage.cost is not None
    assert got.usage.cost > 0


def test_a_cut_stream_is_paid_for() -> None:
    got, _ = run([api.cut("x" * 4000, after=100)])

    assert got.usage.out > 400
    assert got.usage.cost is not None
    assert got.usage.cost > 0.005


def test_stop_ends_a_hang_within_a_second_or_so() -> None:
    stop = threading.Event()
    with MessagesServer([api.hang()]) as server, closing(ask.anthropic_agent(server.url)) as agent:
        got: list[Answer] = []
        question = ask.question(ask.model())
        thread = threading.Thread(target=lambda: got.append(agent.answer(question, stop, lambda _: None)))
        thread.start()
        until = time.monotonic() + 20
        while not server.messages and time.monotonic() < until:
            time.sleep(0.01)
        began = time.monotonic()
        stop.set()
        thread.join(20)

    assert got[0].failure is Failure.INTERRUPTED
    assert time.monotonic() - began < 5


def test_too_many_bytes_are_cut() -> None:
    got, _ = run([api.drip("word " * 20_000, 0.001)], max_bytes=1000)

    assert got.failure is Failure.TRUNCATED
    assert len(got.text) < 50_000


def test_a_key_that_is_missing_is_said_by_its_name_and_no_request_is_made() -> None:
    got, server = run([api.text("ok")], settings={"api_key": "secret:other", "base_url": "https://api.anthropic.com"})

    assert got.failure is Failure.CREDENTIALS
    assert "secret:other" in got.message
    assert server.requests == []


def test_a_server_of_ones_own_may_do_without_a_key() -> None:
    got, _ = run([api.text("ok")], settings={"api_key": "secret:other"})

    assert got.text == "ok"


def test_the_agents_base_url_goes_before_the_environment() -> None:
    with MessagesServer([api.text("mine")]) as mine:
        got, other = run([api.text("other")], settings={"base_url": mine.url})

    assert got.text == "mine"
    assert other.requests == []


def test_a_key_that_the_server_echoes_is_masked() -> None:
    got, _ = run([api.error(401, "authentication_error", f"bad key {ask.KEY}")])

    assert ask.KEY not in got.message
    assert ask.KEY.encode() not in got.raw


def test_prices_of_the_settings_and_of_the_agent_go_before_the_table() -> None:
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    priced, _ = run([api.text("ok", **usage)], settings={"price": Price(input=7, output=1)})
    unknown, _ = run([api.text("ok", **usage)], settings={"model": "local-model"})

    assert priced.usage.cost == pytest.approx(7.0)
    assert unknown.usage.cost is None


SCHEMA = {"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}


def test_typed_output_is_asked_for() -> None:
    got, server = run([api.data({"score": 0.5})], schema=SCHEMA)

    assert json.loads(got.text) == {"score": 0.5}
    asked = server.messages[0].body["output_config"]["format"]
    assert (asked["type"], asked["schema"]["required"]) == ("json_schema", ["score"])


def test_a_server_without_typed_output_is_asked_by_a_forced_tool_and_remembered() -> None:
    no = api.error(400, "invalid_request_error", "output_config: Extra inputs are not permitted")
    yes = api.tool("answer", {"score": 2})
    with MessagesServer([no, yes, yes]) as server, closing(ask.anthropic_agent(server.url)) as agent:
        question = ask.question(ask.model(), schema=SCHEMA)
        answers = [agent.answer(question, threading.Event(), lambda _: None) for _ in range(2)]

    assert [json.loads(got.text) for got in answers] == [{"score": 2}] * 2
    assert len(server.messages) == 3
    assert server.messages[1].body["tool_choice"] == {"type": "tool", "name": "answer"}
    assert server.messages[1].body["tools"][0]["input_schema"] == SCHEMA


class TestTools:
    def converse(self, copy: Path, *calls: tuple[str, dict[str, Any]], **changes: Any) -> tuple[Answer, list[str]]:
        """Runs the calls one after the other; the answer, and what the model was told after each."""
        script = [api.tool(name, arguments, identity=f"t{n}") for n, (name, arguments) in enumerate(calls)]
        got, server = run([*script, api.text("Done.")], cwd=copy, tools=True, **changes)
        told = [request.body["messages"][-1]["content"][0] for request in server.messages[1:]]
        return got, [("ERROR " if block["is_error"] else "") + block["content"] for block in told]

    def test_files_are_read_written_edited_listed_and_searched(self, tmp_path: Path) -> None:
        (tmp_path / "a.md").write_text("one\ntwo\n")
        got, told = self.converse(
            tmp_path,
            ("read_file", {"path": "a.md"}),
            ("edit_file", {"path": "a.md", "old": "two", "new": "2"}),
            ("write_file", {"path": "sub/b.md", "content": "bee\n"}),
            ("list_files", {}),
            ("search", {"text": "bee"}),
        )

        assert got.text == "Done."
        assert told[0] == "one\ntwo\n"
        assert told[3] == "a.md\nsub/b.md"
        assert told[4] == "sub/b.md:1: bee"
        assert (tmp_path / "a.md").read_text() == "one\n2\n"
        assert got.usage.requests == 6

    def test_nothing_beside_the_copy_can_be_reached(self, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        (copy / ".git").mkdir(parents=True)
        (copy / ".git" / "config").write_text("[core]")
        (tmp_path / "secret").write_text("s")
        (copy / "link").symlink_to(tmp_path)
        (copy / "gitlink").symlink_to(".git")
        paths = [
            "../secret",
            "/etc/passwd",
            "link/secret",
            ".git/config",
            "gitlink/config",
            "a/../../secret",
            "",
            "~/x",
        ]
        paths += [".GIT/config", "sub/.git/hooks/x"]
        calls = [("read_file", {"path": path}) for path in paths]
        calls += [("write_file", {"path": path, "content": "x"}) for path in paths]
        calls += [("list_files", {"folder": "link"}), ("search", {"text": "s", "folder": ".."})]

        _, told = self.converse(copy, *calls, settings={"max_turns": 50})

        assert len(told) == len(calls)
        assert all(text.startswith("ERROR") for text in told)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "secret"]
        assert (copy / ".git" / "config").read_text() == "[core]"
        assert not (copy / "sub").exists()

    def test_a_wrong_call_is_told_to_the_model_and_the_talk_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "twice").write_text("x x")
        (tmp_path / "binary").write_bytes(b"\0\1")
        got, told = self.converse(
            tmp_path,
            ("no_such_tool", {}),
            ("read_file", {}),
            ("read_file", {"path": 5}),
            ("read_file", {"path": "missing"}),
            ("edit_file", {"path": "twice", "old": "x", "new": "y"}),
            ("read_file", {"path": "binary"}),
            ("read_file", {"path": "."}),
        )

        assert got.text == "Done."
        assert all(text.startswith("ERROR") for text in told)
        assert "occurs 2 times" in told[4]

    def test_the_talk_so_far_is_cached_for_the_next_turn(self, tmp_path: Path) -> None:
        script = [api.tool("list_files", {}, identity=f"t{n}") for n in range(5)]
        got, server = run([*script, api.text("Done.")], cwd=tmp_path, tools=True, stable="Style. " * 300)

        assert got.failure is None, "the server refuses more than four breakpoints"
        marked = json.dumps(server.messages[-1].body["messages"]).count("cache_control")
        assert marked == 3, "the stable part, the task's part, and what was said last"
        first = json.dumps(server.messages[0].body["messages"]).count("cache_control")
        assert first == 2, "the second turn reads the first one's prompt from the cache"

    def test_turns_are_bounded(self, tmp_path: Path) -> None:
        got, server = run(lambda _: api.tool("list_files", {}), cwd=tmp_path, tools=True, settings={"max_turns": 3})

        assert (got.failure, len(server.messages)) == (Failure.AGENT_ERROR, 3)

    def test_the_budget_holds_within_an_attempt(self, tmp_path: Path) -> None:
        costly = api.tool("list_files", {}), {"input_tokens": 10_000}
        reply = Reply(blocks=costly[0].blocks, stop_reason="tool_use", usage=costly[1])
        got, server = run(lambda _: reply, cwd=tmp_path, tools=True, budget_usd=0.1)

        assert got.failure is Failure.BUDGET
        assert 3 <= len(server.messages) <= 5
        assert got.usage.cost is not None
        assert 0.1 < got.usage.cost < 0.15

    def test_the_budget_cuts_a_stream(self) -> None:
        got, _ = run([api.drip("word " * 4000, 0.002)], budget_usd=0.001)

        assert got.failure is Failure.BUDGET

    def test_replan_stops_the_talk(self, tmp_path: Path) -> None:
        got, _ = run([api.tool("replan", {"reason": "the brief is wrong"})], cwd=tmp_path, tools=True)

        assert (got.failure, got.replan) == (Failure.REPLAN, "the brief is wrong")

    def test_a_paused_turn_is_taken_up_again(self) -> None:
        got, server = run([api.text("half", stop_reason="pause_turn"), api.text("whole")])

        assert got.text == "whole"
        assert [message["role"] for message in server.messages[1].body["messages"]] == ["user", "assistant"]

    def test_steps_without_files_get_no_tools(self) -> None:
        _, server = run([api.text("ok")], tools=True, cwd=None)

        assert "tools" not in server.messages[0].body


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        MessagesServer([api.tool("list_files", {}), api.drip("word " * 3000, 0.001)]) as server,
        closing(ask.anthropic_agent(server.url)) as agent,
    ):
        agent.answer(ask.question(ask.model(tools=True), cwd=tmp_path), threading.Event(), told.append)

    assert told[0] == "turn 1: list_files"
    assert any("characters" in line for line in told[1:])


def test_many_attempts_share_one_thread_and_one_client() -> None:
    with (
        MessagesServer(lambda _: api.drip("some text", 0.1)) as server,
        closing(ask.anthropic_agent(server.url)) as agent,
    ):
        answers: list[Answer] = []
        question = ask.question(ask.model())
        threads = [
            threading.Thread(target=lambda: answers.append(agent.answer(question, threading.Event(), lambda _: None)))
            for _ in range(30)
        ]
        for thread in threads:
            thread.start()
        names = [thread.name for thread in threading.enumerate()]
        for thread in threads:
            thread.join(30)

    assert [got.text for got in answers] == ["some text"] * 30
    assert names.count("messages-api") <= 1


def test_close_ends_the_thread_and_the_next_question_starts_anew() -> None:
    with MessagesServer(lambda _: api.text("ok")) as server:
        agent = ask.anthropic_agent(server.url)

        def answer() -> Answer:
            return agent.answer(ask.question(ask.model()), threading.Event(), lambda _: None)

        assert answer().text == "ok"
        agent.close()
        assert "messages-api" not in [thread.name for thread in threading.enumerate()]
        assert answer().text == "ok"
        agent.close()
        agent.close()


def test_the_module_does_not_import_the_sdk() -> None:
    """It takes seconds, and `hqd status` has none to spare."""
    code = "import sys, hqd.adapters.agents.anthropic; sys.exit('anthropic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
