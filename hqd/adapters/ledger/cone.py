"""Which paths the sparse checkout keeps on disk, by its cone patterns (`git sparse-checkout`, CONE PATTERN SET)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Cone:
    """`whole`: folders with all below them; `parents`: folders whose own files only. Neither: nothing is sparse."""

    whole: frozenset[str] = field(default_factory=frozenset)
    parents: frozenset[str] = field(default_factory=frozenset)
    everything: bool = True

    def holds(self, path: str) -> bool:
        """Whether a file at `path` is written to disk."""
        if self.everything:
            return True
        folder = path.rpartition("/")[0]
        if not folder or folder in self.parents:
            return True
        while folder:
            if folder in self.whole:
                return True
            folder = folder.rpartition("/")[0]
        return False


EVERYTHING = Cone()


def parse_cone(patterns: str) -> Cone:
    """The cone that the file info/sparse-checkout describes; what is no cone counts as everything."""
    lines = [line for line in patterns.splitlines() if line and not line.startswith("#")]
    if lines[:2] != ["/*", "!/*/"]:
        return EVERYTHING
    whole: set[str] = set()
    parents: set[str] = set()
    for line in lines[2:]:
        if line.startswith("!/") and line.endswith("/*/"):
            folder = _folder(line[2:-3])
            whole.discard(folder)
            parents.add(folder)
        elif line.startswith("/") and line.endswith("/"):
            whole.add(_folder(line[1:-1]))
        else:
            return EVERYTHING
    return Cone(frozenset(whole), frozenset(parents), everything=False)


def _folder(pattern: str) -> str:
    return _ESCAPED.sub(r"\1", pattern)


class ConeFile:
    """The cone in force, read again when its file or git's configuration has changed."""

    def __init__(self, git_dir: Path, common_dir: Path) -> None:
        self._patterns = git_dir / "info" / "sparse-checkout"
        self._watched = (self._patterns, git_dir / "config.worktree", common_dir / "config")
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._cone = EVERYTHING

    def cone(self) -> Cone:
        seen = tuple(_stamp(path) for path in self._watched)
        if seen != self._seen:
            self._cone = self._read()
            self._seen = seen
        return self._cone

    def _read(self) -> Cone:
        switched_on = any(_says_sparse(path) for path in self._watched[1:])
        if not switched_on:
            return EVERYTHING
        try:
            return parse_cone(self._patterns.read_text("utf-8", "surrogateescape"))
        except FileNotFoundError:
            return EVERYTHING


_SPARSE = re.compile(r"^\s*sparsecheckout\s*=\s*(?:true|1|yes|on)\s*$", re.IGNORECASE | re.MULTILINE)


def _says_sparse(path: Path) -> bool:
    try:
        return _SPARSE.search(path.read_text("utf-8", "replace")) is not None
    except FileNotFoundError:
        return False


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_mtime_ns, status.st_ino
