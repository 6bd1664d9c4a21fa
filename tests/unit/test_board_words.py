"""What the board counts and says: tasks that a hold keeps, and what is to be mended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hqd.cli.board.status import held_tasks, said_once
from hqd.core.targets import hold_name, hold_on
from hqd.model.board import Board, Rules, Task
from hqd.model.playbook import Playbook, Step
from hqd.model.problem import Problem, ProblemLevel
from hqd.model.record import Cursor, Hold, Pin
from hqd.model.settings import AgentSettings, Repository, Settings
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PLAYBOOK = Playbook(name="general", steps=(Step(name="write", agent="writer", prompt_text="Write."),))
SETTINGS = Settings(
    format=1,
    agents={"writer": AgentSettings(provider="command", preset="claude")},
    repos={"shop": Repository(url="https://example.org/shop.git"), "blog": Repository(url="https://example.org/b.git")},
)


def task(name: str, **header: str) -> Task:
    document = TaskDocument(header=TaskHeader.model_validate(header), title=name, text="")
    return Task(f"20261122-{name}-aaaaaa", State.QUEUE, document, name, Cursor())


def hold(repo: str) -> Hold:
    missing = f"repository {repo}: not found"
    return Hold(name=hold_name(repo), on=hold_on(repo), reason="missing", since=NOW, missing=missing)


def test_a_task_that_waits_for_its_repositorys_first_fetch_counts_under_that_hold() -> None:
    """And under no other; once the repository was fetched, the hold keeps the first claim as ever."""
    waits, other = task("waits", repo="shop"), task("other")
    holds = {each.name: each for each in (hold("shop"), hold("blog"))}
    rules = Rules(Pin(playbooks="p", settings="s"), SETTINGS, {"general": PLAYBOOK})
    board = replace(Board(tasks={each.id: each for each in (waits, other)}, rules={}, current=rules), holds=holds)
    fetched = replace(board, targets={"shop": "a" * 40})
    for seen in (board, fetched):
        assert held_tasks(holds["repo-shop"], seen) == [waits.id]
        assert held_tasks(holds["repo-blog"], seen) == []


def test_one_warning_about_several_agents_is_said_once_and_names_them() -> None:
    def warned(
        line: int, key: str, message: str = "tells no cost", level: ProblemLevel = ProblemLevel.WARNING
    ) -> Problem:
        return Problem("hqd.toml", line, key, message, "use json", level)

    error = warned(9, "agents.c", level=ProblemLevel.ERROR)
    found = (
        warned(3, "agents.a"),
        warned(6, "agents.b"),
        error,
        warned(12, "agents.a", "is slow"),
        replace(error, line=10),
    )
    assert [str(each) for each in said_once(found)] == [
        "hqd.toml:3: agents.a, agents.b: warning: tells no cost; use json",
        "hqd.toml:9: agents.c: tells no cost; use json",
        "hqd.toml:12: agents.a: warning: is slow; use json",
        "hqd.toml:10: agents.c: tells no cost; use json",
    ]
