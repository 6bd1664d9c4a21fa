"""The full road with the real process: dropped, worked, stopped by a gate, retried, reviewed, approved, done."""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from pathlib import Path

from hqd.testing.messages_server import MessagesServer, Reply, Request, cut, error, hang, text
from tests.acceptance.oracle import judge
from tests.acceptance.processes import ROOT, attempts, drop, in_state, run, start, stop, task_of, until
from tests.daemon.headquarters import SETTINGS, Headquarters, make

ARTICLE = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 4 }]
on_fail = [{ retry = 2 }, "human"]
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""
TAGGED = "---\ntags: [article]\n---\n# Piece\n\nWrite it.\n"
GOOD = "now it is long enough"
KEY = "sk-for-the-scripted-server"


def model_settings(url: str) -> str:
    """The recorded workers, swapped for a model by the lines of their tables."""
    agent = f'provider = "anthropic"\nmodel = "claude-sonnet-4-5"\nbase_url = "{url}"\ntimeout = "4s"'
    return SETTINGS.replace('provider = "replay"\nanswers = "answers.jsonl"', agent).replace(
        "[agents.worker]", "[limits]\nconcurrency = 12\n[agents.worker]"
    )


def test_the_full_road_with_recorded_answers(tmp_path: Path) -> None:
    hq = make(tmp_path, article=ARTICLE)
    hq.answers({"attempt": 1, "answer": "too short"}, {"answer": GOOD})
    hq.commit()
    with run(hq) as daemon:
        drop(hq, "piece.md", TAGGED)
        task = in_state(hq, "piece", "review", daemon=daemon)
        reply = daemon.ask("approve", "piece")
        assert reply.ok, reply
        in_state(hq, "piece", "done", daemon=daemon)
    records = judge(hq, ["piece"])[task]
    assert attempts(records) == [("failed", "gate"), ("passed", None)]
    assert (hq.root / "content/piece.md").read_text() == GOOD
    assert [record.event.value for record in records][-3:] == ["review_opened", "landed", "done"]


def test_the_full_road_with_a_command_line_agent(tmp_path: Path) -> None:
    program = f"argv = [{sys.executable!r}, {str(ROOT / 'tests/programs/agent.py')!r}]"
    settings = SETTINGS.replace('provider = "replay"\nanswers = "answers.jsonl"', f'provider = "command"\n{program}')
    hq = make(tmp_path, settings, article=ARTICLE.replace('deliver = "content/{{ task.slug }}.md"\n', ""))
    with run(hq) as daemon:
        drop(hq, "piece.md", "---\ntags: [article]\n---\n# Piece\n\n!write content/piece.md written\n!say a b c d\n")
        task = in_state(hq, "piece", "review", daemon=daemon)
        assert daemon.ask("approve", "piece").ok
        in_state(hq, "piece", "done", daemon=daemon)
    records = judge(hq, ["piece"])[task]
    assert attempts(records) == [("passed", None)]
    assert (hq.root / "content/piece.md").read_text() == "written\n"


FIRST: dict[str, tuple[Reply, tuple[str, str | None]]] = {
    "rate": (error(429, "rate_limit_error", retry_after=0.3), ("failed", "transient")),
    "overload": (error(529, "overloaded_error"), ("failed", "transient")),
    "cutoff": (cut(GOOD), ("failed", "transient")),
    "truncated": (text(GOOD, stop_reason="max_tokens"), ("failed", "truncated")),
    "refusal": (text("No.", stop_reason="refusal"), ("failed", "refusal")),
    "hang": (hang(GOOD), ("failed", "timeout")),
    "gate": (text("too short"), ("failed", "gate")),
}
"""What the server does the first time it is asked about a task, and what hqd makes of it."""


def test_a_model_that_fails_in_every_way_still_gets_every_task_to_its_end(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def reply(request: Request) -> Reply:
        name = next(name for name in FIRST if f"case {name}" in request.prompt)
        with lock:
            asked[name] += 1
            return FIRST[name][0] if asked[name] == 1 else text(GOOD)

    with MessagesServer(reply, api_key=KEY) as server:
        hq = make(tmp_path, model_settings(server.url), article=ARTICLE)
        with run(hq, ANTHROPIC_API_KEY=KEY) as daemon:
            for name in FIRST:
                drop(hq, f"{name}.md", TAGGED + f"This is case {name}.\n")
            tasks = {name: in_state(hq, name, "review", seconds=60, daemon=daemon) for name in FIRST}
            for name in FIRST:
                assert daemon.ask("approve", name).ok
                in_state(hq, name, "done", daemon=daemon)
    records = judge(hq, list(FIRST))
    for name, (_reply, expected) in FIRST.items():
        assert attempts(records[tasks[name]]) == [expected, ("passed", None)], name
        assert (hq.root / f"content/{name}.md").read_text() == GOOD
    assert KEY not in hq.git("log", "-p", "--format=%B", "--all")


def test_a_refused_key_holds_the_agent_and_every_task_goes_on_after_resume(tmp_path: Path) -> None:
    """401 is not the tasks' own: no attempt is counted, nothing is parked, and one word releases all."""
    locked = threading.Event()
    locked.set()
    with MessagesServer(lambda _request: error(401, "authentication_error") if locked.is_set() else text(GOOD)) as api:
        hq = make(tmp_path, model_settings(api.url))
        names = ["one", "two", "three"]
        for name in names:
            drop(hq, f"{name}.md")
        idle = start(hq, until_idle=True, ANTHROPIC_API_KEY=KEY)
        assert idle.wait() == 75, idle.output()
        stop(idle)
        hold = (hq.root / "workspace/holds/agent-worker.md").read_text()
        assert "credentials" in hold
        assert all(task_of(hq, name)[0] == "queue" for name in names)  # type: ignore[index]
        with run(hq, ANTHROPIC_API_KEY=KEY) as daemon:
            seen = len(api.messages)
            locked.clear()
            assert daemon.ask("resume", name="agent-worker").ok
            tasks = [in_state(hq, name, "done", daemon=daemon) for name in names]
            assert len(api.messages) == seen + len(names)
    records = judge(hq, names)
    for task in tasks:
        assert attempts(records[task])[-1] == ("passed", None)
        assert {outcome for outcome, _failure in attempts(records[task])[:-1]} <= {"refused"}
        assert records[task][-1].cursor.counted == 1
    assert not (hq.root / "workspace/holds/agent-worker.md").exists()


def test_swapping_the_provider_keeps_the_cursor_of_a_task_in_review(tmp_path: Path) -> None:
    """Recorded answers first, a model after the change of hqd.toml: the task goes on where it was."""
    hq = make(tmp_path, article=ARTICLE)
    hq.answers({"answer": GOOD})
    hq.commit()
    with MessagesServer([text("a second draft by the model")]) as server, run(hq, ANTHROPIC_API_KEY=KEY) as daemon:
        drop(hq, "piece.md", TAGGED)
        task = in_state(hq, "piece", "review", daemon=daemon)
        hq.write("hqd.toml", model_settings(server.url))
        hq.git("commit", "-qam", "another worker")
        assert daemon.ask("drop", "nobody").ok is False
        drop(hq, "other.md", "# Other\n")
        in_state(hq, "other", "done", daemon=daemon)
        assert daemon.ask("approve", "piece").ok
        in_state(hq, "piece", "done", daemon=daemon)
    records = judge(hq, ["piece", "other"])
    assert records[task][-1].cursor.attempts["write"] == 1
    assert "a second draft by the model" in _results(hq)


def test_until_idle_ends_by_itself_with_everything_done(tmp_path: Path) -> None:
    hq = make(tmp_path)
    drop(hq, "one.md")
    drop(hq, "two.md")
    daemon = start(hq, until_idle=True)
    try:
        assert daemon.wait() == os.EX_OK, daemon.output()
    finally:
        stop(daemon)
    judge(hq, ["one", "two"])
    assert len(hq.folder("done")) == 2


def test_a_second_daemon_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    hq = make(tmp_path)
    with run(hq) as daemon:
        second = start(hq)
        try:
            assert second.wait() != os.EX_OK
            assert str(daemon.pid) in second.output()
        finally:
            stop(second)
        drop(hq, "hello.md")
        in_state(hq, "hello", "done", daemon=daemon)
        until(lambda: not daemon.said().get("running"), "nothing runs")
    judge(hq, ["hello"])


def _results(hq: Headquarters) -> str:
    return "\n".join(path.read_text() for path in (hq.root / "workspace/done").rglob("*.result.md"))
