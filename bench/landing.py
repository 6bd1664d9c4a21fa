"""Landing check of 100 open reviews after 5,000 state commits: seconds for all of them together.

Two histories: `quiet`, where people leave main alone, and `busy`, where they made 200 commits, 50 of them to files
that reviews work on as well, so that only a trial merge can tell. In both, a tenth of the reviews has landed, as a
merge commit, as a squash and as a squash with later edits; the answers are checked. `first` is a daemon's first look
after its start, `next` a look after 50 more state commits, `again` one with nothing new. Budget: 2 s for `first`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hqd.adapters.branches import GitBranches
from hqd.adapters.repository import GitRepository

BUDGET = 2.0
MAIN = "refs/heads/main"
FILES = 20
LINES = 60


class History:
    """A stream for git fast-import, and what it will have made."""

    def __init__(self, clock: int = 1790000000) -> None:
        self.clock = clock
        self.stream: list[str] = []
        self.texts = {f"docs/{number}.md": [f"line {line}" for line in range(LINES)] for number in range(FILES)}
        self.marks = 0
        self.count = 0

    def commit(self, ref: str, message: str, files: Mapping[str, str], parents: tuple[int, ...] = ()) -> int:
        self.marks += 1
        lines = [f"commit {ref}", f"mark :{self.marks}", f"committer N <n@example.org> {self.clock + self.marks} +0000"]
        lines += [f"data {len(message.encode())}", message]
        lines += [f"{word} :{mark}" for word, mark in zip(("from", "merge"), parents, strict=False)]
        for path, content in files.items():
            lines += [f"M 100644 inline {path}", f"data {len(content.encode())}", content]
        self.stream.append("\n".join(lines) + "\n")
        return self.marks

    def edited(self, path: str, line: int, value: str) -> Mapping[str, str]:
        text = list(self.texts[path])
        text[line] = value
        return {path: "\n".join(text) + "\n"}

    def state(self, commits: int) -> int:
        mark = 0
        for _ in range(commits):
            self.count += 1
            path = f"workspace/runs/2026/11/22/t{self.count // 10}/{self.count:06d}-finished.toml"
            message = f"hqd: t: step passed\n\nHqd-Event: finished\nHqd-Task: t{self.count // 10}\n"
            mark = self.commit(MAIN, message, {path: f"n = {self.count}\n"})
        return mark


def build(root: Path, reviews: int, states: int, people: int) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """The reviews (task -> base, head) of a new repository, and where a tenth of them landed."""
    git(root, "init", "--quiet", "--initial-branch=main")
    history = History()
    base = history.commit(MAIN, "Start", {path: "\n".join(text) + "\n" for path, text in history.texts.items()})
    heads = {}
    for number in range(reviews):
        files = {f"content/{number}.md": f"review {number}\n"}
        if number % 2:  # half of them work on files that people edit as well
            files = dict(history.edited(f"docs/{number % FILES}.md", 2 + number // FILES * 4, f"review {number}"))
        message = f"Work\n\nHqd-Work: t{number}\n"
        heads[number] = history.commit(f"refs/heads/hqd/t{number}", message, files, (base,))
    history.stream.append(f"reset {MAIN}\nfrom :{base}\n\n")
    landings: dict[str, int] = {}
    for part, landing in enumerate(landings_of(history, heads, reviews)):
        history.state(states // 10)
        for number in range(people // 10):
            if number % 4:
                history.commit(MAIN, "Unrelated", {f"notes/{part}-{number}.md": "note\n"})
            else:
                path = f"docs/{(part * 5 + number // 4) % FILES}.md"
                history.texts[path] = history.edited(path, 40 + part, f"person {part}")[path].splitlines()
                history.commit(MAIN, "Edit", {path: "\n".join(history.texts[path]) + "\n"})
        landings.update(landing())
    marks = fast_import(root, history)
    return (
        {f"t{number}": (marks[base], marks[head]) for number, head in heads.items()},
        {task: marks[mark] for task, mark in landings.items()},
    )


def landings_of(history: History, heads: Mapping[int, int], reviews: int) -> Iterator[Callable[[], Mapping[str, int]]]:
    """Ten acts of a person, spread over the history, that land one tenth of the reviews."""

    def land(chosen: list[int], style: int) -> Mapping[str, int]:
        found = {}
        for number in chosen:
            tip = history.state(1)
            files: Mapping[str, str] = {f"content/{number}.md": f"review {number}\n"}
            if number % 2:
                path = f"docs/{number % FILES}.md"
                files = history.edited(path, 2 + number // FILES * 4, f"review {number}")
                history.texts[path] = files[path].splitlines()
            parents = (tip, heads[number]) if style == 0 else (tip,)
            found[f"t{number}"] = history.commit(MAIN, "Take it", files, parents)
            if style == 2:
                history.commit(MAIN, "Edit on top", {path: content + "more\n" for path, content in files.items()})
                for path, content in files.items():
                    if path in history.texts:
                        history.texts[path] = (content + "more").splitlines()
        return found

    for part in range(10):
        chosen = [number for number in range(reviews) if number % 10 == 3 and number // 10 % 10 == part]
        yield partial(land, chosen, part % 3)


def fast_import(root: Path, history: History) -> dict[int, str]:
    marks = root / ".git" / "marks"
    git(root, "fast-import", "--quiet", "--force", f"--export-marks={marks}", stdin="".join(history.stream))
    lines = (line.split(" ") for line in marks.read_text(encoding="utf-8").splitlines())
    return {int(mark[1:]): commit for mark, commit in lines}


def git(root: Path, *args: str, stdin: str = "") -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *args], cwd=root, input=stdin, capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout


def timed(call: Callable[[], Mapping[str, str]]) -> tuple[float, Mapping[str, str]]:
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def measure(root: Path, reviews: int, states: int, people: int, rounds: int) -> dict[str, Any]:
    open_, landed = build(root, reviews, states, people)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    repository = GitRepository.open(root, environment)
    times: dict[str, list[float]] = {"first": [], "next": [], "again": []}
    try:
        for _ in range(rounds):
            tip = git(root, "rev-parse", MAIN).strip()
            branches = GitBranches(repository)
            seconds, answer = timed(partial(branches.landed, open_))
            assert answer == landed, set(answer.items()) ^ set(landed.items())
            times["first"].append(seconds)
            waiting = {task: review for task, review in open_.items() if task not in landed}
            more = History(clock=1795000000)
            more.stream.append(f"reset {MAIN}\nfrom {tip}\n\n")
            more.count = states * 2
            more.state(50)
            fast_import(root, more)
            for name in ("next", "again"):
                seconds, answer = timed(partial(branches.landed, waiting))
                assert answer == {}
                times[name].append(seconds)
            git(root, "update-ref", MAIN, tip)
    finally:
        repository.close()
    medians = {name: round(statistics.median(found), 4) for name, found in times.items()}
    return {"reviews": len(open_), "landed": len(landed), "state_commits": states, "people_commits": people, **medians}


def run(quick: bool) -> dict[str, Any]:
    """Seconds, medians over the rounds."""
    reviews, states, people, rounds = (20, 200, 40, 1) if quick else (100, 5000, 200, 5)
    result: dict[str, Any] = {"budget_s": BUDGET, "rounds": rounds}
    for name, commits in (("quiet", 0), ("busy", people)):
        with tempfile.TemporaryDirectory(prefix="hqd-bench-") as folder:
            result[name] = measure(Path(folder), reviews, states, commits, rounds)
    result["within_budget"] = max(result["quiet"]["first"], result["busy"]["first"]) <= BUDGET
    return result
