"""One suite for the port Agent, over the three providers and the scripted one."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.agents.command import CommandAgent
from hqd.adapters.agents.replay import ReplayAgent
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.core.language.expressions import compile_expression
from hqd.model.attempt import Answer, Question
from hqd.model.failure import Failure
from hqd.model.record import Usage
from hqd.model.settings import AgentSettings
from hqd.ports import Agent
from hqd.testing import messages_server as api
from hqd.testing.scripted_agent import ScriptedAgent
from tests import agent_questions as ask

ANSWER = "# Done\n\nThe letter."


@dataclass(frozen=True)
class Case:
    """An agent that behaves as asked for, and the question to put to it."""

    agent: Agent
    question: Question


Make = Callable[[str], Case]


@contextmanager
def anthropic(tmp_path: Path) -> Iterator[Make]:
    replies = {
        "answer": api.text(ANSWER),
        "empty": api.text(""),
        "slow": api.hang(),
        "fails": api.error(400, "invalid_request_error", "no such parameter"),
        "writes": api.tool("write_file", {"path": "out/a.md", "content": "written\n"}),
        "escapes": api.tool("write_file", {"path": "../escaped.md", "content": "x"}),
        "needs_human": api.tool("ask_human", {"question": "Which price?"}),
    }
    wanted = {"behaviour": "answer"}

    def script(request: api.Request) -> api.Reply:
        return replies[wanted["behaviour"]] if len(request.body["messages"]) == 1 else replies["answer"]

    with api.MessagesServer(script) as server, closing(ask.anthropic_agent(server.url)) as agent:

        def make(behaviour: str) -> Case:
            wanted["behaviour"] = behaviour
            return Case(agent, ask.question(ask.model(tools=True)))

        yield make


@contextmanager
def command(tmp_path: Path) -> Iterator[Make]:
    prompts = {
        "answer": "!say # Done\n!say\n!say The letter.",
        "empty": "",
        "slow": "!sleep 300",
        "fails": "!stderr it broke\n!exit 4",
        "writes": "!write out/a.md written\n!say # Done\n!say\n!say The letter.",
        "needs_human": '!output {"needs_human": "Which price?"}',
    }
    agent = CommandAgent(dict(os.environ), EnvironmentSecrets({}), {}, scratch=tmp_path)
    yield lambda behaviour: Case(agent, ask.question(ask.command(), prompts[behaviour]))


@contextmanager
def replay(tmp_path: Path) -> Iterator[Make]:
    rows: dict[str, dict[str, Any]] = {
        "answer": {"answer": ANSWER},
        "empty": {"answer": ""},
        "slow": {"answer": ANSWER, "delay": "5m"},
        "fails": {"answer": "", "failure": "agent_error", "message": "it broke"},
        "writes": {"answer": ANSWER, "files": {"out/a.md": "written\n"}},
        "escapes": {"answer": ANSWER, "files": {"../escaped.md": "x"}},
        "needs_human": {"needs_human": "Which price?"},
    }
    for name, row in rows.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
    agent = ReplayAgent(tmp_path, compile_expression)
    yield lambda name: Case(agent, ask.question(AgentSettings(provider="replay", answers=f"{name}.jsonl")))


@contextmanager
def scripted(tmp_path: Path) -> Iterator[Make]:
    def write(question: Question) -> str:
        assert question.cwd is not None
        (question.cwd / "out").mkdir()
        (question.cwd / "out" / "a.md").write_text("written\n")
        return ANSWER

    def failed(failure: Failure, **more: Any) -> Answer:
        return Answer(text="", raw=b"", failure=failure, message="it broke", **more)

    agents = {
        "answer": ScriptedAgent(lambda _: ANSWER),
        "empty": ScriptedAgent(lambda _: ""),
        "slow": ScriptedAgent(lambda _: ANSWER, hold=threading.Event()),
        "fails": ScriptedAgent(lambda _: failed(Failure.AGENT_ERROR)),
        "writes": ScriptedAgent(write),
        "needs_human": ScriptedAgent(lambda _: failed(Failure.NEEDS_HUMAN, needs_human="Which price?")),
    }
    yield lambda behaviour: Case(agents[behaviour], ask.question(AgentSettings(provider="replay")))


@pytest.fixture(params=[anthropic, command, replay, scripted], ids=lambda maker: maker.__name__)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    folder = tmp_path / "agents"
    folder.mkdir()
    with request.param(folder) as maker:
        yield maker


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def answer(case: Case, **changes: Any) -> Answer:
    return case.agent.answer(replace(case.question, **changes), threading.Event(), lambda _: None)


def test_an_answer_with_its_raw_form(make: Make) -> None:
    got = answer(make("answer"))

    assert got.failure is None
    assert got.text.strip() == ANSWER
    assert got.raw
    assert got.message == ""


def test_the_usage_is_one_of_known_numbers(make: Make) -> None:
    usage = answer(make("answer")).usage

    assert isinstance(usage, Usage)
    assert usage.tokens >= 0
    assert usage.cost is None or usage.cost >= 0


def test_nothing_said_and_nothing_done_is_no_success_of_a_model(make: Make, request: pytest.FixtureRequest) -> None:
    """A program may work in files and say nothing; gates look at what it did."""
    got = answer(make("empty"))

    assert got.text == ""
    assert got.failure == (None if "command" in request.node.name else Failure.EMPTY)


def test_a_failure_is_an_answer_with_one_readable_reason(make: Make) -> None:
    got = answer(make("fails"))

    assert got.failure is Failure.AGENT_ERROR
    assert got.message


def test_stop_ends_it_soon(make: Make) -> None:
    case, stop, got = make("slow"), threading.Event(), list[Answer]()
    thread = threading.Thread(target=lambda: got.append(case.agent.answer(case.question, stop, lambda _: None)))
    thread.start()
    began = time.monotonic()
    stop.set()
    thread.join(15)

    assert not thread.is_alive()
    assert time.monotonic() - began < 10
    assert got[0].failure is Failure.INTERRUPTED


def test_the_deadline_ends_it(make: Make) -> None:
    began = time.monotonic()
    got = answer(make("slow"), timeout=0.5)

    assert got.failure is Failure.TIMEOUT
    assert time.monotonic() - began < 15


def test_files_are_written_into_the_copy(make: Make, copy: Path) -> None:
    got = answer(make("writes"), cwd=copy)

    assert got.failure is None
    assert (copy / "out" / "a.md").read_text() == "written\n"


def test_a_way_out_of_the_copy_is_closed(make: Make, copy: Path, request: pytest.FixtureRequest) -> None:
    """For what hqd itself writes; a program is held by the policy gate and by a sandbox."""
    if "anthropic" not in request.node.name and "replay" not in request.node.name:
        pytest.skip("does not write files by itself")
    answer(make("escapes"), cwd=copy)

    assert not (copy.parent / "escaped.md").exists()


def test_a_question_to_a_human(make: Make, copy: Path) -> None:
    got = answer(make("needs_human"), cwd=copy)

    assert got.needs_human == "Which price?"
    assert got.failure is Failure.NEEDS_HUMAN


def test_many_threads_may_ask_one_agent(make: Make) -> None:
    case = make("answer")
    got: list[Answer] = []
    threads = [threading.Thread(target=lambda: got.append(answer(case))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [one.text.strip() for one in got] == [ANSWER] * 6
