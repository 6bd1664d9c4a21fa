"""Labels and clusters of all outputs: the pure rules of `core`, over git's objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from hqd.adapters.archive.streams import blobs, blobs_at
from hqd.adapters.git import Git
from hqd.core.history.cases import cases as core_cases
from hqd.core.history.clusters import Origin, clusters
from hqd.core.history.labels import Contents, Files, Labelled, NotYet, in_order, label_tasks, landings
from hqd.core.history.touched import touched
from hqd.model.corpus import Case, Change, Label, Past, PastEvent, Verdict

MOST_BYTES = 1 << 20
"""Longer files are not compared line by line."""


class Spoken(NamedTuple):
    """A label as plain values: of which output, the values of its verdict, and the rest of core's `Labelled`."""

    task: str
    n: int
    verdict: tuple[Any, ...]
    seen: bool
    red: tuple[str, ...]
    enforced: tuple[str, ...]
    probability: float


class Other(Protocol):
    """Whoever labels the outputs of some tasks meanwhile."""

    tasks: frozenset[str]

    def label(self, changes: Sequence[Change], landings: Iterable[str], days: float) -> None: ...

    def labelled(self) -> list[Spoken] | None:
        """None: it could not."""


def cases(
    git: Git, past: Past, tasks: Mapping[str, str], days: float, other: Other | None = None
) -> tuple[list[Case], dict[str, Any]]:
    """Every output with its label, in order, and counts of labels by source. `tasks`: task -> blob of its file.

    `other` has the same events of its tasks. Raises GitFailed.
    """
    landed, by_task = landings(past.events), past.tasks()
    theirs = other.tasks if other is not None else frozenset()
    if other is not None and theirs:
        other.label(past.changes, landed, days)
    files, looked = Files(past.changes, landed), _Looked(git).contents
    labels = label_tasks([events for task, events in by_task.items() if task not in theirs], files, looked, days)
    group = clusters(_origins(past, tasks))
    if other is not None and theirs:
        said = other.labelled()
        there = {task: by_task[task] for task in theirs}
        labels += label_tasks(there.values(), files, looked, days) if said is None else _heard(said, there)
    labels = in_order(labels)
    found = core_cases(labels, group)
    counts = Counter(f"{case.label.value}:{case.source}" for case in found)
    enforced = sorted({version for each in labels for version in each.enforced})
    return found, {"days": days, "labels": dict(sorted(counts.items())), "enforced": enforced}


def _heard(said: Iterable[Spoken], tasks: Mapping[str, Sequence[PastEvent]]) -> list[Labelled]:
    ends = {(task, each.n): each for task, events in tasks.items() for each in events if each.event == "finished"}
    words = {label.value: label for label in Label}
    return [
        Labelled(ends[each.task, each.n], Verdict(words[each.verdict[0]], *each.verdict[1:]), *each[3:])
        for each in said
    ]


def spoken(
    git: Git, tasks: Iterable[Sequence[PastEvent]], changes: Sequence[Change], landed: frozenset[str], days: float
) -> Iterator[Spoken]:
    """The labels of the outputs of some tasks, each given by its events in order. Raises GitFailed."""
    for each in label_tasks(tasks, Files(changes, landed), _Looked(git).contents, days):
        verdict = (each.verdict.label.value, *each.verdict[1:])
        yield Spoken(each.event.task, each.event.n, verdict, *each[2:])


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

    @property
    def contents(self) -> Contents:
        return Contents(self.at, self.touched, self.look_up)

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
