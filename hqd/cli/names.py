"""Names for shell completion: slugs of open tasks, playbooks. From a listing of the working tree; never fails."""

from __future__ import annotations

import os
from pathlib import Path

from hqd.cli.call import Call
from hqd.errors import HqdError

OPEN = ("queue", "active", "review", "blocked")


def tasks(incomplete: str) -> list[str]:
    """Slugs of open tasks, ids where two have one slug."""
    from hqd.model.names import TASK_ID, slug_of

    ids = []
    root = _root()
    for state in OPEN if root is not None else ():
        ids += [
            path.stem for path in (Path(str(root)) / "workspace" / state).glob("*.md") if TASK_ID.fullmatch(path.stem)
        ]
    slugs = [slug_of(each) for each in ids]
    names = [slug if slugs.count(slug) == 1 else each for each, slug in zip(ids, slugs, strict=True)]
    return sorted(name for name in names if name.startswith(incomplete))


def playbooks(incomplete: str) -> list[str]:
    root = _root()
    found = (root / "playbooks").glob("*.toml") if root is not None else ()
    return sorted(path.stem for path in found if path.stem.startswith(incomplete))


def _root() -> Path | None:
    given = os.environ.get("HQD_HQ")
    try:
        return Call(os.environ, Path.cwd(), Path(given) if given else None).root()
    except (HqdError, OSError):
        return None
