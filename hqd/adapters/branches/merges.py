"""Merging two commits without an index or a working tree, many pairs in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hqd.adapters.branches.walk import raw, text
from hqd.adapters.git import DURABLE, Git, GitFailed

_MERGE = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "--allow-unrelated-histories")
_USAGE = 129


@dataclass(frozen=True, slots=True)
class Merge:
    """`tree` is the result; with conflicts it holds markers in the paths of `conflicts`."""

    tree: str
    conflicts: tuple[str, ...]
    clean: bool


def merge(git: Git, ours: str, theirs: str, env: Mapping[str, str] | None = None) -> Merge:
    """Merges two commits; the objects of the result are in the repository (fsynced) afterwards."""
    out = text(git.quick(*DURABLE, *_MERGE, ours, theirs, codes=(0, 1), env=env).out)
    tree, *paths = out.rstrip("\0").split("\0")
    return Merge(tree, tuple(dict.fromkeys(paths)), not paths)


def unchanged_by(git: Git, pairs: Sequence[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those (commit, branch tip) pairs in which merging the tip into the commit would change nothing.

    The merges are trials: their objects go to a folder of their own, which is thrown away.
    """
    if not pairs:
        return frozenset()
    with scratch(git) as env:
        trees = _trees(git, [commit for commit, _ in pairs])
        return frozenset(
            pair
            for pair, result in zip(pairs, _merges(git, pairs, env), strict=True)
            if result.clean and result.tree == trees[pair[0]]
        )


def _merges(git: Git, pairs: Sequence[tuple[str, str]], env: Mapping[str, str]) -> list[Merge]:
    try:
        out = git.quick(
            *_MERGE, "--stdin", stdin=raw("".join(f"{ours} {theirs}\n" for ours, theirs in pairs)), env=env
        ).out
    except GitFailed as failed:
        if failed.code != _USAGE:  # git 2.38 knows no --stdin
            raise
        return [merge(git, *pair, env) for pair in pairs]
    fields = iter(text(out).split("\0"))
    return [_result(fields) for _ in pairs]


def _result(fields: Iterator[str]) -> Merge:
    """One answer of `--stdin`: 1 or 0, the tree, the paths in conflict, an empty field."""
    clean, tree = next(fields), next(fields)
    return Merge(tree, tuple(iter(fields.__next__, "")), clean == "1")


def _trees(git: Git, commits: Sequence[str]) -> dict[str, str]:
    asked = list(dict.fromkeys(commits))
    out = git.quick(
        "cat-file", "--batch-check=%(objectname)", stdin=raw("".join(f"{commit}^{{tree}}\n" for commit in asked))
    ).out
    return dict(zip(asked, text(out).splitlines(), strict=True))


@contextmanager
def scratch(git: Git) -> Iterator[dict[str, str]]:
    """Variables that send new objects to a folder which is gone afterwards."""
    objects = git.cwd / git.quick("rev-parse", "--git-path", "objects").text
    quoted = str(objects).replace("\\", "\\\\").replace('"', '\\"')
    with tempfile.TemporaryDirectory(prefix="hqd-merge-") as folder:
        yield {"GIT_OBJECT_DIRECTORY": folder, "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"'}
