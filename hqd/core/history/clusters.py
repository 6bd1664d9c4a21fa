"""Clusters: tasks that are one case told several times. Siblings of one parent, one schedule, one template or one text
err together; figures that counted them apart would be sure of too much. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hqd.core.schedule import scheduled_by
from hqd.model.names import slug_of


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a task came from. `text`: blob of its file."""

    parent: str | None = None
    source: str | None = None
    text: str | None = None


def clusters(origins: Mapping[str, Origin]) -> dict[str, str]:
    """Task -> cluster: `task:ID` for one that stands alone; the same for the same tasks, in any order."""
    over: dict[str, str] = {}

    def top(key: str) -> str:
        while over.get(key, key) != key:
            over[key] = over.get(over[key], over[key])
            key = over[key]
        return key

    def join(one: str, other: str) -> None:
        low, high = sorted((top(one), top(other)))
        over[high] = low

    for task, origin in origins.items():
        for other in _ties(task, origin):
            join(f"task:{task}", other)
    names: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for task in origins:
        members.setdefault(top(f"task:{task}"), []).append(task)
    for root, tasks in members.items():
        for task in tasks:
            names[task] = root if len(tasks) > 1 else f"task:{task}"
    return names


def _ties(task: str, origin: Origin) -> Iterator[str]:
    if origin.parent is not None:
        yield f"task:{origin.parent}"
    schedule = scheduled_by(origin.source)
    if schedule is not None:
        yield f"schedule:{schedule}"
        yield f"template:{slug_of(task)}"  # two schedules of one template
    if origin.text is not None:
        yield f"text:{origin.text}"


def draw(seed: str, cluster: str, of: Collection[str]) -> str:
    """One of several names, seeded: the same for the same seed, whatever their order."""
    return min(of, key=lambda name: hashlib.sha256(f"{seed}\0{cluster}\0{name}".encode()).digest())
