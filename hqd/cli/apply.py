"""`hqd apply`: checks what a person has edited of what counts as committed on main, and commits exactly that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hqd.adapters.git import DURABLE, GitFailed
from hqd.adapters.history import GitHistory
from hqd.adapters.repository import GitRepository
from hqd.bootstrap import gate_registry
from hqd.check import check_reader
from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.edits import Edit, FolderReader, edits
from hqd.cli.words import look, person
from hqd.core.secret_scan import scan
from hqd.errors import EXIT_FAILURE, EXIT_OK, SecretFound, Temporary
from hqd.model.problem import Problem

PATIENCE = 10.0
"""Seconds to wait for the locks of git commands that run beside."""

_IN_THE_WAY = ("index.lock", "cannot lock ref", "Unable to create", "File exists")


@dataclass(frozen=True, slots=True)
class Applied:
    """How it ended, and the last line that says so. `commit` None: nothing was committed."""

    files: tuple[Edit, ...]
    problems: tuple[Problem, ...]
    message: str
    commit: str | None = None
    code: int = EXIT_OK

    def facts(self) -> dict[str, Any]:
        """For --json."""
        return {
            "files": [{"path": edit.path, "kind": edit.kind} for edit in self.files],
            "commit": self.commit,
            "problems": [problem.facts() for problem in self.problems],
            "message": self.message,
        }

    def lines(self) -> Iterator[str]:
        yield from map(str, self.problems)
        if self.code == EXIT_OK:
            yield from (f"{edit.kind:<9} {edit.path}" for edit in self.files)
        yield self.message


def apply(call: Call, *, message: str | None, dry_run: bool, as_json: bool = False) -> int:
    """Puts edits in force; exit 1 where they are faulty, and then nothing is committed."""
    with call.repository() as repo:
        busy = repo.occupied()
        if busy is not None:
            raise busy
        changed = edits(repo, GitHistory(repo).tree(repo.tip()))
        report = check_reader(FolderReader(repo.root), gate_registry(call.env, None, None).check)
        done = Applied(changed, report.problems, "nothing to apply: what is on main is in force")
        if not report.ok:
            wrong = "not applied: mend the errors first; what is on main stays in force"
            done = replace(done, message=wrong, code=EXIT_FAILURE)
        elif changed:
            _refuse_secrets(repo, changed)
            done = replace(done, message="would be applied; nothing was committed (--dry-run)")
            if not dry_run:
                commit = commit_edits(repo, changed, message or subject(changed), call)
                done = replace(done, message=f"in force as of {commit[:12]}", commit=commit)
        terminal.answer(done.facts(), [*done.lines()], as_json=as_json)
        if done.commit is not None:
            look(repo, call.env)
    return done.code


def subject(changed: tuple[Edit, ...]) -> str:
    """The message where the person gives none."""
    names = [edit.path for edit in changed]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Apply {shown}"


def commit_edits(repo: GitRepository, changed: tuple[Edit, ...], message: str, call: Call) -> str:
    """Commits exactly these paths in the person's name. What else is staged stays staged. Raises Temporary."""
    until = time.monotonic() + PATIENCE
    who = person(repo, call.env)
    names = {"GIT_AUTHOR_NAME": who.name, "GIT_AUTHOR_EMAIL": who.email}
    names |= {"GIT_COMMITTER_NAME": who.name, "GIT_COMMITTER_EMAIL": who.email, "GIT_LITERAL_PATHSPECS": "1"}
    paths = "".join(f"{edit.path}\0" for edit in changed).encode("utf-8", "surrogateescape")
    listed = ("--pathspec-from-file=-", "--pathspec-file-nul")
    fresh = "".join(f"{edit.path}\0" for edit in changed if edit.kind == "added").encode("utf-8", "surrogateescape")
    while True:
        try:
            if fresh:
                repo.git.quick("add", "--intent-to-add", "--sparse", *listed, stdin=fresh, env=names)
            words = ("commit", "--quiet", "--only", "--no-verify", f"--message={message}", "--message=Hqd-Via: cli")
            repo.git.quick(*DURABLE, *words, *listed, stdin=paths, env=names)
            return repo.tip()
        except GitFailed as failed:
            if not any(words in failed.stderr for words in _IN_THE_WAY):
                raise
            if time.monotonic() >= until:
                raise Temporary(
                    "another git command holds the repository", remedy="let it end, then `hqd apply` again"
                ) from failed
            time.sleep(0.05)


def _refuse_secrets(repo: GitRepository, changed: tuple[Edit, ...]) -> None:
    reader = FolderReader(repo.root)
    for edit in changed:
        found = scan(reader.read(edit.path) or b"", ())
        if found:
            raise SecretFound(
                f"{edit.path}:{found[0].line}: a secret ({found[0].kind}) stands in it",
                remedy='write "secret:NAME" and keep the value outside of git',
            )
