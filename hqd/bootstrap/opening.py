"""An HQ opened: its git, its settings' branch, who works in it, where its cache is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hqd.adapters.branches import GitBranches
from hqd.adapters.history import GitHistory
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.model.record import Person


class SystemClock:
    """Port Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Hq:
    """An HQ opened for reading: works beside a running daemon, takes no lock."""

    root: Path
    repository: GitRepository
    history: GitHistory
    branches: GitBranches
    env: Mapping[str, str]

    @property
    def private(self) -> Path:
        return self.repository.private

    def person(self) -> Person:
        """The git identity of whoever works here; where none is set, the login name."""
        return git_person(self.repository, self.env)


@contextmanager
def open_hq(root: Path, env: Mapping[str, str]) -> Iterator[Hq]:
    """Opens the HQ at `root`. Raises NotAnHQ, Misconfigured."""
    repository = GitRepository.open(root, env, branch_of(root))
    try:
        yield Hq(root, repository, GitHistory(repository), GitBranches(repository), env)
    finally:
        repository.close()


def branch_of(root: Path) -> str:
    """The branch that hqd.toml names as main; `main` where the file says nothing or cannot be read."""
    try:
        table = tomllib.loads((root / layout.SETTINGS).read_text("utf-8"))
        name = table.get("hq", {}).get("branch", "main")
    except (OSError, ValueError, AttributeError):
        return "main"
    return name if isinstance(name, str) and name else "main"


def git_person(repository: GitRepository, env: Mapping[str, str]) -> Person:
    """user.name and user.email of git's configuration, else login@localhost."""
    found = {}
    for key in ("user.name", "user.email"):
        found[key] = repository.git.quick("config", "--get", key, codes=(0, 1)).text.strip()
    login = env.get("USER") or env.get("LOGNAME") or "someone"
    return Person(name=found["user.name"] or login, email=found["user.email"] or f"{login}@localhost")


def cache_folder(env: Mapping[str, str], host: str) -> Path:
    """Where disposable copies live: systemd's cache folder, else the user's, one folder for each clone of an HQ."""
    base = env.get("CACHE_DIRECTORY", "").split(":")[0] or env.get("XDG_CACHE_HOME") or ""
    home = Path(base) if base else Path(env.get("HOME") or "/tmp") / ".cache"  # noqa: S108 - last resort
    return home / "hqd" / host
