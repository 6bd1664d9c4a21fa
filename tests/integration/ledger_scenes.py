"""What the tests of the ledger share: an HQ with hqd on it, and the transitions that it writes."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hqd.adapters.checkout import GitCheckout
from hqd.adapters.history import GitHistory
from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.model.change import Act, Difference, Transition

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MANAGED = ("workspace", "playbooks", "lessons", "hqd.toml")


@dataclass
class Desk:
    """One HQ with the daemon's parts opened on it."""

    root: Path
    repo: GitRepository
    writer: Writer
    ledger: GitLedger
    checkout: GitCheckout
    history: GitHistory

    @classmethod
    def open(cls, root: Path, lock_wait: float = 0.3, **of_checkout: Any) -> Desk:
        repo = GitRepository.open(root, dict(os.environ))
        writer = Writer(repo, lock_wait=lock_wait)
        ledger = GitLedger(writer)
        checkout = GitCheckout(repo, writer, ledger.finish, **of_checkout)
        return cls(root, repo, writer, ledger, checkout, GitHistory(repo))

    def close(self) -> None:
        self.ledger.close()
        self.writer.close()
        self.repo.close()

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def git(self, *args: str, check: bool = True) -> str:
        """git as a person runs it here."""
        done = subprocess.run(
            ["git", *args], cwd=self.root, check=False, capture_output=True, text=True, errors="surrogateescape"
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.returncode}\n{done.stderr}")
        return done.stdout

    def path(self, path: str) -> Path:
        return self.root / path

    def put(self, path: str, text: str) -> str:
        """A person writes a file; returns its blob id."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text, encoding="utf-8")
        return blob_id(text.encode())

    def append(self, *transitions: Transition) -> tuple[str, ...]:
        return self.ledger.append(self.repo.tip(), transitions)

    def look(self) -> dict[str, Difference]:
        seen = self.checkout.look()
        assert seen.busy is None, (seen.busy, seen.busy_message)
        return {found.path: found for found in seen.differences}

    def status(self) -> str:
        return self.git("status", "--porcelain", "--untracked-files=all")

    def assert_sound(self) -> None:
        """Nothing half done: objects whole, files as main has them, no lock left."""
        subprocess.run(["git", "fsck", "--strict", "--no-dangling"], cwd=self.root, check=True, capture_output=True)
        changed = self.git("status", "--porcelain", "--untracked-files=all", "--", *MANAGED).splitlines()
        assert [line for line in changed if not line.startswith("?? workspace/inbox/")] == []
        assert [str(lock) for lock in (self.root / ".git").rglob("*.lock")] == []


def move(task: str, old: str, new: str, n: int = 1, **fields: Any) -> Transition:
    """A task's file goes from one state folder to another, with a record."""
    return Transition(
        message=f"hqd: {task}: {old} -> {new}\n\nHqd-Task: {task}\n",
        at=AT,
        renames=((f"workspace/{old}/{task}.md", f"workspace/{new}/{task}.md"),),
        writes=((f"{layout.RUNS}/2026/11/22/{task}/{n:03}-claimed.toml", f"n = {n}\n".encode() * 100),),
        **fields,
    )


def write(path: str, text: str, **fields: Any) -> Transition:
    return Transition(message=f"hqd: write {path!r}\n", at=AT, writes=((path, text.encode()),), **fields)


def consume(path: str, text: str, task: str) -> Transition:
    """An inbox file becomes a queued task."""
    act = Act(path, blob_id(text.encode()))
    return Transition(
        message=f"hqd: {task}: accepted -> queue\n", at=AT,
        writes=((f"workspace/queue/{task}.md", text.encode()),), acts=(act,),
    )  # fmt: skip
