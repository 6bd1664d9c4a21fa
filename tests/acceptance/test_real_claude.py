"""The whole road with the real `claude` program as a command agent, against a scripted Messages API on loopback.

`scripts/cli-agents` installs the program and runs this; without it the test is skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hqd.testing import messages_server as api
from tests.acceptance.processes import attempts, drop, in_state, run
from tests.daemon.headquarters import make

pytestmark = [
    pytest.mark.cli_agents,
    pytest.mark.skipif(shutil.which("claude") is None, reason="claude is not installed: scripts/cli-agents"),
]

SETTINGS = """
format = 1
[inbox]
settle = "150ms"
[hq]
rescan = "1s"
[agents.coder]
provider = "command"
preset = "claude"
timeout = "90s"
"""
PLAYBOOK = """
name = "general"
[[steps]]
name = "write"
agent = "coder"
on_fail = [{ retry = 2 }, "human"]
gates = [{ kind = "must_include", values = ["Sunday"], target = "file:content/hours.md" }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""
KEY = "sk-ant-not-a-real-key-0000"


def scripted(request: api.Request) -> api.Reply:
    """Writes the file; leaves Sunday out until it is told what the gate said, and reads what is there before."""
    if not request.body.get("tools"):
        return api.text("Opening hours")
    done = str(request.body["messages"]).count("'tool_result'")
    path = f"{_cwd(request)}/content/hours.md"
    told = "Sunday" in request.prompt
    if told and done == 0:
        return api.tool("Read", {"file_path": path})
    if done <= told:
        days = "Monday to Sunday" if told else "Monday to Friday"
        return api.tool("Write", {"file_path": path, "content": f"Open {days}.\n"}, identity=f"toolu_{done + 2}")
    return api.text("The file is written.")


def _cwd(request: api.Request) -> str:
    """Where claude says that it works: its system prompt names the folder."""
    text = str(request.body.get("system", "")) + str(request.body["messages"])
    marker = "working directory: "
    found = text.lower().find(marker)
    assert found >= 0, text[:2000]
    rest = text[found + len(marker) :]
    return rest.replace("\\n", "\n").split("\n")[0].strip()


def test_claude_is_asked_checked_asked_again_with_the_finding_and_its_file_lands_by_approval(tmp_path: Path) -> None:
    with api.MessagesServer(scripted, api_key=KEY) as server:
        hq = make(tmp_path, SETTINGS, general=PLAYBOOK, article=PLAYBOOK.replace("general", "article"))
        with run(hq, HOME=str(tmp_path), ANTHROPIC_BASE_URL=server.url, HQD_SECRET_ANTHROPIC_API_KEY=KEY) as daemon:
            slug = drop(hq, "hours.md", "# Opening hours\n\nWrite content/hours.md with our opening hours.\n")
            task = in_state(hq, slug, "review", seconds=120, daemon=daemon)
            assert daemon.ask("approve", slug).ok
            in_state(hq, slug, "done", seconds=30, daemon=daemon)
    records = hq.records(task)
    assert attempts(records)[:2] == [("failed", "gate"), ("passed", None)]
    second = [record for record in records if record.outcome is not None][1]
    assert second.usage is not None
    assert second.usage.tokens > 100
    assert (second.usage.cost or 0) > 0
    assert hq.git("show", "main:content/hours.md") == "Open Monday to Sunday."
    assert KEY not in hq.git("log", "-p", "--all")
