"""Labels and clusters of all outputs: the pure rules of `core`, over git's objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hqd.adapters.archive.streams import blobs, blobs_at
from hqd.adapters.git import Git
from hqd.core.cases import cases as core_cases
from hqd.core.clusters import Origin, clusters
from hqd.core.labels import Contents, NotYet, label
from hqd.core.touched import touched
from hqd.model.corpus import Case, Past

MOST_BYTES = 1 << 20
"""Longer files are not compared line by line."""


def cases(git: Git, past: Past, tasks: Mapping[str, str], days: float) -> tuple[list[Case], dict[str, Any]]:
    """Every output with its label, in order, and counts of labels by source. `tasks`: task -> blob of its file."""
    looked = _Looked(git)
    labels = label(past, Contents(looked.at, looked.touched, looked.look_up), days)
    found = core_cases(labels, clusters(_origins(past, tasks)))
    counts = Counter(f"{case.label.value}:{case.source}" for case in found)
    enforced = sorted({version for each in labels for version in each.enforced})
    return found, {"days": days, "labels": dict(sorted(counts.items())), "enforced": enforced}


def _origins(past: Past, tasks: Mapping[str, str]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for each in past.events:
        if each.event == "accepted":
            said = each.details
            found[each.task] = Origin(said.get("parent"), said.get("source"), tasks.get(each.task))
        elif each.task not in found:
            found[each.task] = Origin(text=tasks.get(each.task))
    return found


class _Looked:
    """Files of commits, and texts of blobs, asked of git by the thousand."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._at: dict[tuple[str, str], str | None] = {}
        self._texts: dict[str, str | None] = {}  # None: redacted, or of a submodule
        self._sizes: dict[tuple[str | None, str | None, str, str | None, bool], int | None] = {}
        self._places: dict[tuple[str, str], None] = {}  # asked for
        self._blobs: dict[str, None] = {}

    def at(self, commit: str, path: str) -> str | None:
        if (commit, path) not in self._at:
            self._places[commit, path] = None
            raise NotYet
        return self._at[commit, path]

    def touched(
        self, base: str | None, main: str | None, ours: str, theirs: str | None, insertions: bool
    ) -> int | None:
        key = (base, main, ours, theirs, insertions)
        if key not in self._sizes:
            unknown = [blob for blob in key[:4] if blob is not None and blob not in self._texts]
            if unknown:
                self._blobs.update(dict.fromkeys(unknown))
                raise NotYet
            self._sizes[key] = self._compared(base, main, ours, theirs, insertions)
        return self._sizes[key]

    def _compared(
        self, base: str | None, main: str | None, ours: str, theirs: str | None, insertions: bool
    ) -> int | None:
        named = {blob: self._texts[blob] for blob in (base, main, ours, theirs) if blob is not None}
        if None in named.values():
            return None
        texts = [named[blob] if blob is not None else None for blob in (base, main, theirs)]
        return touched(texts[0], texts[1], named[ours] or "", texts[2], insertions=insertions)

    def look_up(self) -> None:
        """Raises GitFailed."""
        asked = list(self._places)
        for place, found in zip(asked, blobs_at(self._git, asked), strict=True):
            self._at[place] = found
        for blob, data in blobs(self._git, list(self._blobs)):
            self._texts[blob] = None if data is None else _text(blob, data)
        self._places, self._blobs = {}, {}


def _text(blob: str, data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape") if len(data) <= MOST_BYTES else f"{blob}\n"
