"""The whole road of a pull request: the real hqd against a fake GitHub, with a bare remote behind both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from tests.acceptance.processes import Daemon, environment, in_state, run, task_of, until
from tests.daemon.forge_words import place
from tests.forge_hq import TASK, Forged
from tests.forge_scene import commit

POLL = 2.0
PATH = "content/a.md"


def head_of(at: Forged, task: str) -> str:
    return at.git("rev-parse", f"hqd/{task}")


def why(at: Forged) -> str:
    """What `hqd why` says that is missing."""
    words = [sys.executable, "-m", "hqd", "--hq", str(at.hq.root), "why", "a", "--json"]
    done = subprocess.run(words, env=environment(at.hq), check=True, capture_output=True, text=True)
    return str(json.loads(done.stdout)["missing"])


def polls_until_seen(at: Forged, since: int) -> int:
    """How often the list was asked for after so many requests, until the pull request itself was looked at."""
    paths = [seen.path for seen in at.server.requests[since:] if seen.method == "GET"]
    before = list(takewhile(lambda path: not path.endswith("/pulls/1"), paths))
    return sum("/pulls?" in path for path in before)


def review_is_up(at: Forged, daemon: Daemon, other_than: str = "") -> Callable[[], str]:
    """The task's id, once work other than `other_than` is up for review."""

    def look() -> str:
        assert daemon.alive, daemon.output()
        found = task_of(at.hq, "a")
        if found is None or found[0] != "review":
            return ""
        head = at.hq.records(found[1])[-1].cursor.head
        return found[1] if head != other_than else ""

    return look


def test_changes_asked_for_on_two_lines_are_answered_approved_and_squashed_while_main_moves(tmp_path: Path) -> None:
    with place(tmp_path, flavour="github", poll=f'"{POLL}s"', debounce='"200ms"') as at, run(at.hq) as daemon:
        at.hq.drop("a.md", TASK)
        task = until(review_is_up(at, daemon), "the review is open", 60)
        first = head_of(at, task)
        until(lambda: "pull request #1 waits for an approval by tim, then the merge" in why(at), "why tells it", 60)
        at.forge.on_line(1, "tim", PATH, 1, "Say better")
        at.forge.on_line(1, "tim", PATH, 1, "Say it shorter")
        at.forge.request_changes(1, "tim")
        until(review_is_up(at, daemon, first), "the agent has answered", 60)
        feedback = [each for each in at.hq.records(task) if each.event.value == "feedback"]
        assert [len(each.findings) for each in feedback] == [2]
        second = head_of(at, task)
        until(
            lambda: [each for each in at.forge.comments if second[:12] in each.body], "the reply names the commit", 60
        )
        at.forge.approve(1, by="tim")
        commit(at.bare, "main", {"README.md": "Somebody else's work\n"}, "main", "Meanwhile")
        at.forge.merge(1, "squash", by="tim")
        asked = len(at.server.requests)
        in_state(at.hq, "a", "done", seconds=60, daemon=daemon)
        assert polls_until_seen(at, asked) <= 2  # one may have been on its way already
        assert list(at.forge.pulls) == [1]
        assert at.git("show", f"main:{PATH}") == "three better words"
        assert daemon.alive
