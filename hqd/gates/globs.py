"""Globs of gate parameters: which of the paths they cover, and whether they can be used at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hqd.core.globs import matches as matches
from hqd.core.globs import pattern as pattern


def select(paths: Sequence[str], globs: Iterable[str]) -> tuple[str, ...]:
    """The paths that one of the globs covers, in their order."""
    chosen = tuple(globs)
    return tuple(path for path in paths if matches(path, chosen))


def fault(glob: str) -> str | None:
    """What is wrong with a glob; None: nothing."""
    if not glob.strip("/ "):
        return "is empty"
    if ".." in glob.split("/"):
        return "must stay inside the repository (no ..)"
    try:
        pattern(glob)
    except re.error as error:
        return f"is no glob: {error}"
    return None
