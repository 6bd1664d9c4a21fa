"""A person's and hqd's acts around a task branch, as git commands; shared by the tests of reviews."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hqd.adapters.branches import GitBranches, Law
from hqd.adapters.git import Git
from hqd.adapters.objects import Objects
from hqd.adapters.repository import GitRepository

LINES = [f"line {number}" for number in range(40)]


@contextmanager
def branches_of(root: Path) -> Iterator[GitBranches]:
    repository = GitRepository.open(root, dict(os.environ))
    try:
        yield GitBranches(repository)
    finally:
        repository.close()


@contextmanager
def mirror_of(root: Path) -> Iterator[GitBranches]:
    """The same repository as a mirror has it: no working tree, and no state in it."""
    place = root / ".git"
    git = Git(place, dict(os.environ), {"GIT_DIR": str(place)})
    repository = GitRepository(place, place, place, "main", "sha1", git, Objects(git, "sha1"))
    repository.private.mkdir(exist_ok=True)
    try:
        yield GitBranches(repository, law=Law((), ("hqd.toml", "Playbooks/**"), state=False))
    finally:
        repository.close()


class Scene:
    """An HQ with a text of 40 lines, and git as a person runs it there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write({"text.md": "\n".join(LINES) + "\n", "other.md": "other\n", "src/code.py": "print()\n" * 30})
        self.base = self.commit("Start")

    def git(self, *args: str, check: bool = True, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.root, input=stdin, capture_output=True, text=True, check=False, timeout=60
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content, encoding="utf-8")

    def commit(self, message: str) -> str:
        self.git("add", "--all", "--", ".", ":(exclude)workspace")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.tip()

    def tip(self, of: str = "HEAD") -> str:
        return self.git("rev-parse", of)

    def line(self, number: int, value: str, name: str = "text.md") -> None:
        """Changes one line of a file in the working tree."""
        path = self.root / name
        content = path.read_text(encoding="utf-8").split("\n")
        content[number] = value
        path.write_text("\n".join(content), encoding="utf-8")

    def task(self, task: str, *changes: Mapping[int, str]) -> str:
        """A task's branch from main's tip with one commit for each of `changes` to text.md; back on main."""
        self.git("switch", "--quiet", "--create", f"hqd/{task}", "main")
        for number, change in enumerate(changes):
            for line, value in change.items():
                self.line(line, value)
            self.commit(f"Step {number} of {task}\n\nHqd-Work: {task}")
        head = self.tip()
        self.git("switch", "--quiet", "main")
        return head

    def state(self, commits: int, ref: str = "refs/heads/main", first: int = 0) -> str:
        """That many state commits on main by fast-import, as the ledger makes them, but dated long ago."""
        old = self.tip(ref)
        self.git("fast-import", "--quiet", "--force", stdin="".join(state_stream(commits, ref, old, first)))
        self.git("read-tree", "-m", "-u", old, ref)
        return self.tip(ref)


def state_stream(commits: int, ref: str, old: str, first: int = 0) -> Iterator[str]:
    """fast-import's input for state commits on top of `old`: each adds a record and moves a task file."""
    yield f"reset {ref}\nfrom {old}\n\n"
    for number in range(first, first + commits):
        record = f"event = 'finished'\nn = {number}\n"
        message = f"hqd: task: step passed\n\nHqd-Event: finished\nHqd-Task: 20261122-t{number % 100}-abcdef\n"
        yield f"commit {ref}\nmark :{number + 1}\ncommitter hqd <hqd@localhost> {1700000000 + number} +0000\n"
        yield f"data {len(message)}\n{message}\n"
        yield f"M 100644 inline workspace/runs/2026/11/22/t{number % 100}/{number:06d}-finished.toml\n"
        yield f"data {len(record)}\n{record}\n"
