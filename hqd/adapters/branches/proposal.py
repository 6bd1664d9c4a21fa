"""Branches of hqd's own that no task owns: a change of rules that a person is asked to merge."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hqd.adapters.branches.walk import raw
from hqd.adapters.git import DURABLE, Git

_FILE = "100644"


def propose(
    git: Git, branch: str, base: str, files: Mapping[str, bytes], message: str, identity: tuple[str, str]
) -> str:
    """Sets `branch` to one commit on top of `base` that writes `files`; the commit. An older proposal is replaced.

    Neither the index nor the working tree is touched.
    """
    name, email = identity
    who = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
    with tempfile.TemporaryDirectory(prefix="hqd-proposal-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.quick("read-tree", base, env=env)
        for path, data in sorted(files.items()):
            blob = git.quick(*DURABLE, "hash-object", "-w", "--stdin", stdin=data).text.strip()
            git.quick("update-index", "--add", "--cacheinfo", f"{_FILE},{blob},{path}", env=env)
        tree = git.quick(*DURABLE, "write-tree", env=env).text.strip()
    commit = git.quick(*DURABLE, "commit-tree", tree, "-p", base, "-F", "-", stdin=raw(message), env=who).text.strip()
    git.quick(*DURABLE, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def withdraw(git: Git, branch: str) -> None:
    """The branch goes; its commit stays in the repository for as long as git keeps what nothing names."""
    git.quick("update-ref", "-d", f"refs/heads/{branch}")
