"""One HQ's git repository: where its parts are, what its main and HEAD are now."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hqd.adapters.git import Git, discover
from hqd.adapters.objects import Objects
from hqd.codec import layout
from hqd.errors import Misconfigured, RepositoryBusy

_IN_PROGRESS = (
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry_pick"),
    ("REVERT_HEAD", "revert"),
    ("BISECT_LOG", "bisect"),
    ("sequencer", "cherry_pick"),
)

MIRRORS = "repos"
"""The folder beside the lock and the journal with the bare clones of target repositories."""


@dataclass(frozen=True)
class GitRepository:
    """The shared parts of ledger, history and checkout. Made by `open`; `close` ends its reader.

    `guard` is held by whoever in this process reads or writes index and working tree together.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    branch: str
    object_format: str
    git: Git
    objects: Objects
    guard: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def open(cls, path: Path, env: Mapping[str, str], branch: str = "main") -> GitRepository:
        """The repository at or above `path`. `env` is the environment to run git with. Raises NotAnHQ."""
        root, git_dir, common, object_format = discover(path, env)
        place = {
            "GIT_DIR": str(git_dir),
            "GIT_WORK_TREE": str(root),
            "GIT_INDEX_FILE": str(git_dir / "index"),
            "GIT_OBJECT_DIRECTORY": str(common / "objects"),
            "GIT_COMMON_DIR": str(common),
        }
        git = Git(root, dict(env), place)
        (common / layout.PRIVATE).mkdir(exist_ok=True)
        return cls(root, git_dir, common, branch, object_format, git, Objects(git, object_format))

    def close(self) -> None:
        self.objects.close()

    @property
    def id_bytes(self) -> int:
        return 32 if self.object_format == "sha256" else 20

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def private(self) -> Path:
        """.git/hqd: lock, journal, last written-out tree."""
        return self.common_dir / layout.PRIVATE

    @property
    def index(self) -> Path:
        return self.git_dir / "index"

    def tip(self) -> str:
        """The commit of main, by a plain read. Raises Misconfigured where main has no commit yet."""
        tip = self.resolve(self.ref)
        if tip is None:
            raise Misconfigured(
                f"branch {self.branch} of {self.root} has no commit yet", remedy="commit hqd.toml, or run `hqd init`"
            )
        return tip

    def resolve(self, ref: str) -> str | None:
        """The object id of a full ref name, without starting a process where refs are files."""
        if (self.common_dir / "reftable").exists():
            found = self.git.quick("rev-parse", "--verify", "-q", ref, codes=(0, 1))
            return found.text or None
        try:
            text = (self.common_dir / ref).read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self._packed(ref)
        return self.resolve(text[5:]) if text.startswith("ref: ") else text

    def _packed(self, ref: str) -> str | None:
        try:
            lines = (self.common_dir / "packed-refs").read_bytes().split(b"\n")
        except FileNotFoundError:
            return None
        wanted = b" " + os.fsencode(ref)
        for line in lines:
            if line.endswith(wanted) and not line.startswith((b"#", b"^")):
                return line[: -len(wanted)].decode()
        return None

    def on_branch(self) -> bool:
        """Whether HEAD is main."""
        return self.head() == self.ref

    def head(self) -> str:
        """The full name of the branch that is checked out, or the commit where HEAD is detached."""
        return (self.git_dir / "HEAD").read_text("utf-8", "surrogateescape").strip().removeprefix("ref: ")

    def occupied(self) -> RepositoryBusy | None:
        """Why hqd may not touch index and files now, a held index.lock apart."""
        for name, cause in _IN_PROGRESS:
            if os.path.lexists(self.git_dir / name):
                return RepositoryBusy(
                    cause, f"a {cause.replace('_', '-')} is in progress in {self.root}",
                    remedy=f"finish or abort the {cause.replace('_', '-')}",
                )  # fmt: skip
        if not self.on_branch():
            return RepositoryBusy(
                "branch", f"{self.root} has {self.head().removeprefix('refs/heads/')} checked out, not {self.branch}",
                remedy=f"git switch {self.branch}",
            )  # fmt: skip
        return None
