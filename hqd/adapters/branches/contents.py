"""What a commit holds and how two commits differ, as gates look at it."""

from __future__ import annotations

from functools import cached_property
from typing import IO, cast

from hqd.adapters.branches.walk import text
from hqd.adapters.git import Git, GitFailed
from hqd.model.gate import Changed

_STATUS = {"A": "added", "M": "modified", "T": "modified", "D": "deleted", "R": "renamed", "C": "added"}
_REGULAR = ("100644", "100755")
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--submodule=short", "--src-prefix=a/", "--dst-prefix=b/")


class CommitFiles:
    """The files of one commit (model.gate.Files), read from git's objects. Links and submodules are left out."""

    def __init__(self, git: Git, commit: str) -> None:
        self._git = git
        self._commit = commit

    @cached_property
    def _ids(self) -> dict[str, str]:
        out = self._git.quick("ls-tree", "-r", "-z", "--full-tree", self._commit).out
        found = {}
        for line in text(out).split("\0"):
            facts, _, path = line.partition("\t")
            if facts.startswith(_REGULAR):
                found[path] = facts.split(" ")[2]
        return found

    @property
    def identity(self) -> str:
        """What these files are, for caches of verdicts."""
        return self._commit

    def read(self, path: str) -> bytes | None:
        object_id = self._ids.get(path)
        return None if object_id is None else self._git.quick("cat-file", "blob", object_id).out

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._ids))


def changed(git: Git, base: str, head: str) -> tuple[Changed, ...]:
    """The files in which `head` differs from `base`, by path; renames are found."""
    out = git.quick("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", base, head).out
    fields = iter(text(out).split("\0"))
    kinds: dict[str, tuple[str, str | None]] = {}
    counts: dict[str, tuple[int, int]] = {}
    for one in fields:
        if one.startswith(":"):
            letter = one.rsplit(" ", 1)[1][0]
            old = next(fields) if letter in "RC" else None
            kinds[next(fields)] = (_STATUS.get(letter, "modified"), old)
        elif one:
            added, removed, path = one.split("\t", 2)
            if not path:  # a rename: old and new path follow
                next(fields)
                path = next(fields)
            counts[path] = (-1, -1) if added == "-" else (int(added), int(removed))
    return tuple(
        Changed(path, status, *counts.get(path, (0, 0)), old_path=old) for path, (status, old) in sorted(kinds.items())
    )


def diff(git: Git, base: str, head: str, limit: int) -> tuple[str, bool]:
    """The difference as text, at most `limit` bytes of it, cut at a line; and whether it was cut."""
    asked = ("diff-tree", "-r", "-p", "-M", *_PLAIN, base, head)
    with git.start(*asked) as process:
        cast(IO[bytes], process.stdin).close()
        out = cast(IO[bytes], process.stdout).read(limit + 1)
        if len(out) > limit:
            process.kill()  # a difference may be larger than memory: the rest is never made
            return out[: out.rfind(b"\n", 0, limit) + 1].decode("utf-8", "replace"), True
    if process.returncode != 0:
        raise GitFailed(asked, process.returncode, "")
    return out.decode("utf-8", "replace"), False


def tree_changes(git: Git, old: str, new: str) -> tuple[tuple[str, str, str | None], ...]:
    """(mode, object id, path) of what makes tree `old` into `new`; a deleted path has mode 000000 and no id."""
    out = git.quick("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new).out
    fields = iter(text(out).split("\0"))
    changes: list[tuple[str, str, str | None]] = []
    for one in fields:
        if one:
            _, mode, _, object_id, _ = one.split(" ")
            changes.append((mode, "" if mode == "000000" else object_id, next(fields)))
    return tuple(changes)
