"""Target repositories of a dry run: throw-away clones take their place, so that nothing of a trial is ever pushed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqd.adapters.git import Git, GitFailed
from hqd.adapters.mirror import Mirrors
from hqd.adapters.repository import MIRRORS, GitRepository
from hqd.errors import Expected
from hqd.model.settings import Repository


def stand_in(
    settings: dict[str, Any], wanted: frozenset[str], folder: Path, repo: GitRepository, env: Mapping[str, str]
) -> None:
    """Points every `[repos.*]` of `settings` into `folder`, and clones those that are `wanted`.

    From the HQ's own mirror, where there is one: a trial needs no network and no credential. Raises Expected.
    """
    for name, table in settings.get("repos", {}).items():
        if not isinstance(table, dict) or not isinstance(table.get("url"), str):
            continue  # `check` says what is wrong
        place = folder / f"{name}.git"
        if name in wanted:
            _clone(name, table, place, repo, env)
        table["url"] = str(place)
        for key in ("token", "forge_repo"):
            table.pop(key, None)


def _clone(name: str, table: Mapping[str, Any], place: Path, repo: GitRepository, env: Mapping[str, str]) -> None:
    known = Repository(url=table["url"], branch=str(table.get("branch", "main")))
    mirror = Mirrors(repo.private / MIRRORS, env, lambda: {name: known}).path(name)
    ref = f"refs/heads/{known.branch}"
    source = str(mirror) if mirror.exists() else known.url
    place.parent.mkdir(parents=True, exist_ok=True)
    git = Git(place.parent, env)
    try:
        git.run("init", "--quiet", "--bare", "--template=", f"--initial-branch={known.branch}", str(place))
        Git(place, env, {"GIT_DIR": str(place)}).run("fetch", "--quiet", "--no-tags", "--", source, f"{ref}:{ref}")
    except GitFailed as failed:
        raise Expected(
            f"repository {name} cannot be tried on: {failed.message}", remedy=f"see [repos.{name}]"
        ) from failed
