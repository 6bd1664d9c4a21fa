"""Main's first-parent line: what each commit's message says, and which files beside workspace/ it changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hqd.codec.layout import WORKSPACE
from hqd.model.corpus import Change

_EVENT = re.compile(r"^Hqd-Event: (\S+)$", re.MULTILINE)
_BOTH = re.compile(r"^Hqd-Event: (\S+)\nHqd-Task: (\S+)$", re.MULTILINE)
_TASK = re.compile(r"^Hqd-Task: (\S+)$", re.MULTILINE)
_WORK = re.compile(r"^Hqd-Work: (\S+)$", re.MULTILINE)
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_NOTHING = re.compile("0+")
_FORMAT = "%H%x1f%P%x1f%ct%x1f%an%x1f%B"


class LineCommit(NamedTuple):
    """One commit of the line. `event`, `task`: by its trailers, where it is a transition of a task."""

    id: str
    parent: str | None  # the first
    at: float  # committer's date, seconds since 1970
    author: str
    event: str | None
    task: str | None
    subject: str
    reverts: tuple[str, ...]
    work: str | None


def told(tip: str, since: str | None = None) -> tuple[str, ...]:
    """What git is asked for the commits of the line up to `tip`; with `since`: those after it. `walk` reads it."""
    span = f"{since}..{tip}" if since else tip
    return ("log", "--first-parent", "-z", f"--format={_FORMAT}", span, "--")


def walk(said: bytes) -> list[LineCommit]:
    """The commits of the line, oldest first."""
    found = [_commit(raw) for raw in said.decode("utf-8", "replace").split("\0") if raw]
    found.reverse()
    return found


def _commit(raw: str) -> LineCommit:
    commit, parents, at, author, message = raw.split("\x1f", 4)
    event = task = work = None
    reverts: tuple[str, ...] = ()
    if "Hqd-Event: " in message:
        event, task = _transition(message)
    else:
        whose = _WORK.search(message)
        work = whose[1] if whose else None
        reverts = tuple(_REVERTS.findall(message))
    subject = message.partition("\n")[0]
    parent = parents.partition(" ")[0] or None
    return LineCommit(commit.strip(), parent, float(at), author, event, task, subject, reverts, work)


def _transition(message: str) -> tuple[str | None, str | None]:
    both = _BOTH.search(message)
    if both is not None and message.count("Hqd-Event: ") == 1 and message.count("Hqd-Task: ") == 1:
        return both[1], both[2]
    found, whose = _EVENT.search(message), _TASK.search(message)
    return found[1] if found else None, whose[1] if whose else None


def changed_files(tip: str, since: str | None) -> tuple[str, ...]:
    """What git is asked for files beside workspace/, commit by commit; `changes` reads it."""
    span = f"{since}..{tip}" if since else tip
    form = ("--raw", "--no-renames", "--no-abbrev", "--format=%x1e%H")
    return ("log", "--first-parent", "-z", *form, span, "--", ".", f":(exclude){WORKSPACE}")


def changes(said: bytes, places: Mapping[str, int], commits: Sequence[LineCommit]) -> list[Change]:
    """The commits that touch files beside workspace/, oldest first. `places`: commit -> order; `commits` by place."""
    found: list[Change] = []
    first = min(places.values(), default=0)
    commit = ""
    files: list[tuple[str, str | None, str | None]] = []

    def close() -> None:
        order = places.get(commit)
        if order is not None and files:
            of = commits[order - first]
            found.append(Change(order, commit, of.at, of.author, of.subject, of.reverts, of.work, tuple(files)))

    blobs: tuple[str | None, str | None] | None = None
    for text in said.decode("utf-8", "surrogateescape").removesuffix("\0").split("\0"):
        if blobs is not None:
            files.append((text, *blobs))
            blobs = None
            continue
        text = text.lstrip("\n")
        if text.startswith("\x1e"):
            close()
            commit, _, text = text[1:].partition("\n")
            commit, files, text = commit.strip(), [], text.lstrip("\n")
        if text.startswith(":"):
            _mode, _mode_after, before, after, _status = text[1:].split(" ")
            blobs = (_blob(before), _blob(after))
    close()
    found.reverse()
    return found


def _blob(oid: str) -> str | None:
    return None if _NOTHING.fullmatch(oid) else oid
