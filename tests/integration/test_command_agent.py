"""The command agent with a real program: environment, secrets, exit codes, output, deadlines."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.agents.command import CommandAgent
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.model.attempt import Answer
from hqd.model.failure import Failure
from hqd.model.settings import AgentSettings, Price
from hqd.testing import messages_server as api
from tests import agent_questions as ask

ENV = {
    "PATH": os.environ["PATH"], "HOME": "/nowhere", "LANG": "C.UTF-8", "LC_TIME": "C", "SHELL": "/bin/sh",
    "EXTRA": "extra", "GITHUB_TOKEN": "forge", "CREDENTIALS_DIRECTORY": "/run/credentials/x", "NOTIFY_SOCKET": "/x",
    "HQD_SECRET_DB": "db-value-1234", "HQD_SECRET_GITHUB": "gh-value-1234", "GIT_DIR": "/elsewhere",
    "SSH_AUTH_SOCK": "/run/agent", "GIT_SSH_COMMAND": "ssh -i key",
    "ANTHROPIC_API_KEY": "model-key-1234",
}  # fmt: skip


def run(
    prompt: str, settings: AgentSettings | None = None, env: dict[str, str] | None = None, **changes: Any
) -> Answer:
    whole = ENV if env is None else env
    agent = CommandAgent(whole, EnvironmentSecrets(whole), {"priced": Price(input=1, output=2)})
    stop = changes.pop("stop", threading.Event())
    return agent.answer(
        ask.question(settings or ask.command(), prompt, **changes), stop, changes.pop("progress", lambda _: None)
    )


def test_the_prompt_is_stdin_and_the_answer_stdout(tmp_path: Path) -> None:
    got = run("!echo\né", stable="The style.\n", cwd=tmp_path)

    assert got.text == "The style.\n!echo\né\n"
    assert (got.failure, got.stop, got.raw) == (None, "0", got.text.encode())


def test_the_environment_is_an_allow_list_plus_the_facts(tmp_path: Path) -> None:
    settings = ask.command(
        pass_env=("EXTRA", "CREDENTIALS_DIRECTORY", "HQD_SECRET_*", "SSH_*", "GIT_SSH_COMMAND"), env={"OWN": "1"}
    )
    seen = json.loads(run("!env", settings, cwd=tmp_path).text)

    assert {"PATH", "HOME", "LANG", "LC_TIME", "SHELL", "EXTRA", "OWN"} <= seen.keys()
    assert (seen["HQD_TASK"], seen["HQD_STEP"], seen["HQD_ATTEMPT"], seen["HQD_SLOT"]) == (ask.TASK, "write", "1", "3")
    assert seen["HQD_OUTPUT"]
    hidden = {"GITHUB_TOKEN", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "HQD_SECRET_DB", "GIT_DIR", "ANTHROPIC_API_KEY"}
    assert not (hidden | {"SSH_AUTH_SOCK", "GIT_SSH_COMMAND"}) & seen.keys()


def test_a_secret_reaches_the_program_and_comes_back_masked_everywhere(tmp_path: Path) -> None:
    value = "db-value-1234"
    settings = ask.command(env={"DB": "secret:db"})
    words = {"output": value, "needs_human": f"is {value} right?", "decisions": [{"t": value}]}
    prompt = f"!env\n!stderr failed with {value}\n!output {json.dumps(words)}\n!exit 3"
    got = run(prompt, settings, cwd=tmp_path)

    assert b'"DB": "[redacted:known]"' in got.raw, "the program did see it"
    assert got.text == "[redacted:known]"
    assert got.needs_human == "is [redacted:known] right?"
    assert value not in repr(got)


def test_a_missing_secret_is_a_hold_that_names_it() -> None:
    got = run("!say x", ask.command(env={"DB": "secret:nope"}))

    assert (got.failure, got.message) == (Failure.CREDENTIALS, "secret:nope, for DB, is not found")


@pytest.mark.parametrize(
    ("prompt", "failure", "message"),
    [
        ("!say out\n!exit 0", None, ""),
        ("!stderr one\n!stderr two\n!exit 1", Failure.AGENT_ERROR, "one\ntwo"),
        ("!exit 7", Failure.AGENT_ERROR, "exit code 7"),
        ("!stderr busy\n!exit 75", Failure.TRANSIENT, "busy"),
        ("!raise", Failure.AGENT_ERROR, "killed by signal SIGSEGV"),
    ],
)
def test_the_exit_code_decides(prompt: str, failure: Failure | None, message: str) -> None:
    got = run(prompt)

    assert (got.failure, got.message) == (failure, message)


def test_only_the_last_lines_of_stderr_are_the_message() -> None:
    got = run("\n".join(f"!stderr line {n}" for n in range(100)) + "\n!exit 1")

    assert got.message.splitlines() == [f"line {n}" for n in range(80, 100)]


def test_the_output_file_wins_over_stdout(tmp_path: Path) -> None:
    words = {"output": "from the file", "usage": {"input_tokens": 100, "output_tokens": 10, "cost_usd": 0.25}}
    got = run(f"!say chatter\n!output {json.dumps(words)}", output_file=tmp_path / "out.json")

    assert got.text == "from the file"
    assert (got.usage.in_, got.usage.cost) == (100, 0.25)
    assert b"chatter" in got.raw
    assert b"from the file" in got.raw


@pytest.mark.parametrize("content", ["{broken", "[1]", "not json"])
def test_a_malformed_output_file_is_said_to_be_so(content: str) -> None:
    got = run(f"!output {content}")

    assert got.failure is Failure.MALFORMED
    assert "HQD_OUTPUT" in got.message


def test_a_file_without_an_output_leaves_the_answer_to_stdout() -> None:
    got = run('!say the answer\n!output {"decisions": [{"title": "Use UTC"}]}')
    assert (got.text, got.decisions, got.failure) == ("the answer\n", ({"title": "Use UTC"},), None)


def test_an_output_file_of_the_last_attempt_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"output": "old"}')

    assert run("!say new", output_file=tmp_path / "out.json").text == "new\n"


def test_an_output_file_that_is_a_link_or_a_fifo_is_not_read(tmp_path: Path) -> None:
    code = "import os, sys; p = os.environ['HQD_OUTPUT']; {}; print('said')"
    for act in ("os.symlink('/etc/passwd', p)", "os.mkfifo(p)", "os.mkdir(p)"):
        settings = ask.command(argv=(sys.executable, "-S", "-c", code.format(act)))
        assert run("", settings).text == "said\n"


def test_unknown_cost_is_priced_from_tokens() -> None:
    words = json.dumps(
        {"output": "x", "model": "priced-2026", "usage": {"input_tokens": 1_000_000, "output_tokens": 0}}
    )

    assert run(f"!output {words}").usage.cost == pytest.approx(1.0)


def test_the_json_parser() -> None:
    got = run('!say {"score": 1}', ask.command(parser="json"))

    assert got.text == '{"score": 1}'


def test_a_program_that_is_missing_or_not_executable_is_no_fault_of_the_task(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    missing = run("x", ask.command(argv=("no-such-agent",)))
    plain = run("x", ask.command(argv=(str(tmp_path / "plain"),)))
    preset = run("x", AgentSettings(provider="command", preset="codex"), env={"PATH": str(tmp_path)})

    assert missing.failure is plain.failure is preset.failure is Failure.PROVIDER
    assert "no-such-agent" in missing.message
    assert "not executable" in plain.message
    assert "codex" in preset.message


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_deadline_kills_the_program_and_what_it_started() -> None:
    got = run("!fork\n!hang", timeout=1.0)
    pid = int(got.text.splitlines()[0])

    assert got.failure is Failure.TIMEOUT
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_flood_is_cut() -> None:
    got = run("!print 1000000000", max_bytes=100_000)

    assert got.failure is Failure.TRUNCATED
    assert len(got.raw) == 100_000
    assert got.text == ""


def test_files_are_written_in_the_folder_given_and_nowhere_else(tmp_path: Path) -> None:
    scratch, copy = tmp_path / "scratch", tmp_path / "copy"
    scratch.mkdir()
    copy.mkdir()
    agent = CommandAgent(ENV, EnvironmentSecrets(ENV), {}, scratch)
    for cwd in (copy, None):
        agent.answer(ask.question(ask.command(), "!write a.md x", cwd=cwd), threading.Event(), lambda _: None)

    assert (copy / "a.md").read_text() == "x\n"
    assert list(scratch.iterdir()) == []


def test_progress_is_the_last_line_printed() -> None:
    told: list[str] = []
    agent = CommandAgent(ENV, EnvironmentSecrets(ENV), {})
    agent.answer(ask.question(ask.command(), "!say one\n!sleep 0.2\n!say two"), threading.Event(), told.append)

    assert told == ["one", "two"]


FAKE = """#!{python}
import json, os, sys
row = {{"argv": sys.argv[1:], "stdin": sys.stdin.read(), "env": dict(os.environ)}}
open(os.path.join(os.path.dirname(__file__), "called.json"), "w").write(json.dumps(row))
print({printed!r})
"""


def preset(tmp_path: Path, name: str, printed: str, **changes: Any) -> tuple[Answer, dict[str, Any]]:
    """Runs a preset with a program of that name on the PATH; the answer, and how it was called."""
    program = tmp_path / name
    program.write_text(FAKE.format(python=sys.executable, printed=printed))
    program.chmod(0o755)
    env = {**ENV, "PATH": f"{tmp_path}:{ENV['PATH']}", "HQD_SECRET_OPENAI_API_KEY": "openai-1234"}
    settings = AgentSettings(provider="command", **{"preset": name, **changes.pop("settings", {})})
    got = run("Do it.", settings, env, **changes)
    return got, json.loads((tmp_path / "called.json").read_text())


def test_the_preset_claude(tmp_path: Path) -> None:
    printed = json.dumps({"type": "result", "is_error": False, "result": "hello model-key-1234", "total_cost_usd": 0.5})
    settings = {"model": "opus", "args": ("--allowedTools", "Bash(npm test)")}
    got, called = preset(tmp_path, "claude", printed, settings=settings, budget_usd=1.5, schema={"type": "object"})

    assert (got.text, got.failure, got.usage.cost) == ("hello [redacted:known]", None, 0.5)
    argv = called["argv"]
    assert argv[:3] == ["-p", "--output-format", "json"]
    assert argv[argv.index("--model") + 1] == "opus"
    assert float(argv[argv.index("--max-budget-usd") + 1]) == 1.5
    assert json.loads(argv[argv.index("--json-schema") + 1]) == {"type": "object"}
    assert argv[-2:] == ["--allowedTools", "Bash(npm test)"]
    assert called["stdin"] == "Do it."
    assert called["env"]["ANTHROPIC_API_KEY"] == "model-key-1234"
    assert "OPENAI_API_KEY" not in called["env"]


def test_the_preset_codex(tmp_path: Path) -> None:
    printed = '{"type":"item.completed","item":{"type":"agent_message","text":"hi"}}'
    got, called = preset(tmp_path, "codex", printed, schema={"type": "object"})

    assert got.text == "hi"
    argv = called["argv"]
    assert argv[:2] == ["exec", "--json"]
    assert argv[-1] == "-", "the prompt comes on stdin"
    assert "--output-schema" in argv
    assert called["stdin"] == "Do it."
    assert called["env"]["OPENAI_API_KEY"] == "openai-1234"
    assert "ANTHROPIC_API_KEY" not in called["env"]


@pytest.mark.cli_agents
@pytest.mark.skipif(shutil.which("claude") is None, reason="claude is not installed")
class TestTheRealClaude:
    """claude itself, against the scripted server."""

    def ask(self, tmp_path: Path, script: api.Script, **changes: Any) -> Answer:
        (tmp_path / "copy").mkdir()
        with api.MessagesServer(script) as server:
            env = {**ENV, "HOME": str(tmp_path), "ANTHROPIC_BASE_URL": server.url}
            settings = AgentSettings(provider="command", preset="claude")
            return run("Say hello.", settings, env, cwd=tmp_path / "copy", timeout=60.0, **changes)

    def test_an_answer(self, tmp_path: Path) -> None:
        got = self.ask(tmp_path, lambda _: api.text("hello there"))

        assert (got.text, got.failure) == ("hello there", None)
        assert got.usage.cost is not None
        assert got.usage.tokens > 100

    def test_a_file_is_written(self, tmp_path: Path) -> None:
        write = api.tool("Write", {"file_path": str(tmp_path / "copy" / "a.md"), "content": "hi"})
        got = self.ask(tmp_path, lambda request: api.text("done") if "tool_result" in str(request.body) else write)

        assert (got.text, (tmp_path / "copy" / "a.md").read_text()) == ("done", "hi")

    def test_typed_output(self, tmp_path: Path) -> None:
        schema = {"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]}
        got = self.ask(tmp_path, lambda _: api.tool("StructuredOutput", {"score": 1.5}), schema=schema)

        assert json.loads(got.text) == {"score": 1.5}

    @pytest.mark.parametrize(
        ("reply", "failure"),
        [
            (api.error(401, "authentication_error"), Failure.CREDENTIALS),
            (api.error(529, "overloaded_error"), Failure.TRANSIENT),
            (api.text("no", stop_reason="refusal"), Failure.REFUSAL),
        ],
    )
    def test_failures(self, tmp_path: Path, reply: api.Reply, failure: Failure) -> None:
        assert self.ask(tmp_path, lambda _: reply).failure is failure

    def test_a_budget(self, tmp_path: Path) -> None:
        got = self.ask(tmp_path, lambda _: api.tool("Bash", {"command": "true"}), budget_usd=0.0001)

        assert got.failure is Failure.BUDGET
