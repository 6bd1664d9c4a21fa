"""Labels and clusters of all outputs: the pure rules of `core`, over git's objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hqd.adapters.objects import Objects
from hqd.core.cases import cases as core_cases
from hqd.core.clusters import Origin, clusters
from hqd.core.labels import Contents, label
from hqd.core.touched import touched
from hqd.model.corpus import Case, Past

MOST_BYTES = 1 << 20
"""Longer files are not compared line by line."""


def cases(objects: Objects, past: Past, tasks: Mapping[str, str], days: float) -> tuple[list[Case], dict[str, Any]]:
    """Every output with its label, in order, and counts of labels by source. `tasks`: task -> blob of its file."""
    labels = label(past, _contents(objects), days)
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


def _contents(objects: Objects) -> Contents:
    at: dict[tuple[str, str], str | None] = {}
    sizes: dict[tuple[str | None, str | None, str, str | None, bool], int | None] = {}

    def text(blob: str | None) -> str | None:
        if blob is None:
            return None
        data = objects.blob(blob)
        return data.decode("utf-8", "surrogateescape") if len(data) <= MOST_BYTES else f"{blob}\n"

    def look(commit: str, path: str) -> str | None:
        if (commit, path) not in at:
            found = objects.find(f"{commit}:{path}")
            at[commit, path] = found[0] if found is not None and found[1] == "blob" else None
        return at[commit, path]

    def count(base: str | None, main: str | None, ours: str, theirs: str | None, insertions: bool) -> int | None:
        key = (base, main, ours, theirs, insertions)
        if key not in sizes:
            try:
                sizes[key] = touched(text(base), text(main), text(ours) or "", text(theirs), insertions=insertions)
            except KeyError:
                sizes[key] = None  # redacted, or of a submodule
        return sizes[key]

    return Contents(look, count)
