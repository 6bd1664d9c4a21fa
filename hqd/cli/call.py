"""One call of the command line: which HQ is meant, and the environment that it was made in."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hqd.errors import Misconfigured, NotAnHQ, Usage

if TYPE_CHECKING:
    from hqd.adapters.repository import GitRepository

SETTINGS, WORKSPACE = "hqd.toml", "workspace"


@dataclass(frozen=True, slots=True)
class Call:
    """`hq` as given by --hq or HQD_HQ; None: the nearest one above `cwd`."""

    env: Mapping[str, str]
    cwd: Path
    hq: Path | None = None

    def root(self) -> Path:
        """The folder of the HQ. Raises NotAnHQ, or Usage for a --hq that is no folder."""
        if self.hq is not None:
            given = (self.cwd / self.hq).resolve()
            if not given.is_dir():
                raise Usage(f"--hq {self.hq}: no such folder", remedy="name the folder that hqd.toml is in")
            if not is_hq(given):
                raise NotAnHQ(given)
            return given
        start = self.cwd.resolve()
        for folder in (start, *start.parents):
            if is_hq(folder):
                return folder
        raise NotAnHQ(start)

    def maybe_root(self) -> Path | None:
        """As `root`; None where there is no HQ and none was asked for."""
        try:
            return self.root()
        except NotAnHQ:
            if self.hq is not None:
                raise
            return None

    @contextmanager
    def repository(self) -> Iterator[GitRepository]:
        """The HQ's git repository, closed at the end. Raises NotAnHQ, Misconfigured."""
        from hqd.adapters.repository import GitRepository

        root = self.root()
        try:
            repo = GitRepository.open(root, self.env, branch_of(root))
        except NotAnHQ as fault:
            said = " ".join(str(getattr(fault.__cause__, "stderr", "")).split())[:200]
            raise Misconfigured(
                f"{root} has no git repository that can be used" + (f": {said}" if said else ""),
                remedy="an HQ is a git repository: `git init`, commit hqd.toml, or `hqd init PATH`",
            ) from fault
        try:
            if repo.root != root:
                raise Misconfigured(
                    f"{root} is inside the git repository {repo.root}, not its top",
                    remedy="an HQ is a repository of its own: `hqd init PATH`",
                )
            yield repo
        finally:
            repo.close()


def is_hq(folder: Path) -> bool:
    """hqd.toml stands there, or stood there until a person deleted it."""
    if (folder / SETTINGS).is_file():
        return True
    return (folder / ".git").exists() and (folder / WORKSPACE / "inbox").is_dir()


def branch_of(root: Path) -> str:
    """`[hq] branch` as written in the working tree; `main` where that cannot be read."""
    try:
        written = tomllib.loads((root / SETTINGS).read_text("utf-8"))
        branch = written["hq"]["branch"]
    except (OSError, ValueError, KeyError, TypeError):
        return "main"
    return branch if isinstance(branch, str) and branch else "main"
