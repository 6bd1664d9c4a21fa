"""Where documents are read: the HQ at the claim's snapshot, and for a target task its repository at the task's base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hqd.core.context.source import Candidate
from hqd.daemon.context.library import File, Library
from hqd.ports import Tree


@dataclass(frozen=True, slots=True)
class Ground:
    """One commit and its files. `repo`: the target repository's name; empty: the HQ."""

    tree: Tree
    library: Library
    repo: str = ""

    def named(self, path: str) -> str:
        """A file as manifests name it: `site:docs/style.md` in a target repository."""
        return f"{self.repo}:{path}" if self.repo else path

    def matching(self, glob: str) -> Iterator[File]:
        """The files that a glob names. Raises re.error for what is no glob."""
        yield from self.library.matching(self.tree, glob)

    def here(self, found: list[Candidate]) -> list[Candidate]:
        """Candidates of this ground under the names that manifests use."""
        if not self.repo:
            return found
        return [replace(each, source=self.named(each.source), repo=self.repo) for each in found]
