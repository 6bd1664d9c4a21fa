"""Main's first-parent line: what each commit's message says, and which files beside workspace/ it changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from hqd.adapters.archive.streams import Cut, whole
from hqd.adapters.git import Git
from hqd.codec.layout import WORKSPACE
from hqd.model.corpus import Change

_EVENT = re.compile(r"^Hqd-Event: (\S+)$", re.MULTILINE)
_BOTH = re.compile(r"^Hqd-Event: (\S+)\nHqd-Task: (\S+)$", re.MULTILINE)
_TASK = re.compile(r"^Hqd-Task: (\S+)$", re.MULTILINE)
_WORK = re.compile(r"^Hqd-Work: (\S+)$", re.MULTILINE)
_REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_NOTHING = re.compile("0+")
_DIFF = ("diff-tree", "--stdin", "--raw", "-z", "--no-renames", "--no-abbrev", "--root")
_WORKSPACE = WORKSPACE.encode()
_INSIDE = f"{WORKSPACE}/"
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


def told(git: Git, tip: str, since: str | None = None, cut: Cut | None = None) -> bytes:
    """What git says of the commits of the line up to `tip`; with `since`: of those after it. `walk` reads it."""
    span = f"{since}..{tip}" if since else tip
    return whole(git, "log", "--first-parent", "-z", f"--format={_FORMAT}", span, "--", cut=cut)


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


def changed_files(git: Git, commits: Sequence[LineCommit], cut: Cut | None = None) -> bytes:
    """What git says of files, commit by commit in their order, of those of `commits` that touch any beside workspace/;
    `changes` reads it.

    To see which do, two trees of the top level are enough; a walk that leaves workspace/ out by its path takes git five
    times as long.
    """
    by_id = {each.id: f"{each.id} {each.parent}" if each.parent else each.id for each in commits}
    said = whole(git, *_DIFF, asked=list(by_id.values()), cut=cut) if by_id else b""
    beside = [by_id[commit] for commit in dict.fromkeys(_beside(said))]
    return whole(git, *_DIFF, "-r", asked=beside, cut=cut) if beside else b""


def _beside(said: bytes) -> Iterator[str]:
    """The commits that touch more than workspace/."""
    commit, parts = "", iter(said.split(b"\0"))
    for part in parts:
        if not part.startswith(b":"):
            commit = part.decode()
        elif next(parts, b"") != _WORKSPACE:
            yield commit


def changes(said: bytes, places: Mapping[str, int], commits: Sequence[LineCommit]) -> list[Change]:
    """The commits that touch files beside workspace/, as told. `places`: commit -> order; `commits` by place.

    git is asked for all files of these commits: a path to be left out is compared with every entry of a large folder.
    """
    found: list[Change] = []
    first = min(places.values(), default=0)
    commit = ""
    files: list[tuple[str, str | None, str | None]] = []

    def close() -> None:
        order = places.get(commit)
        if order is not None and files:
            of = commits[order - first]
            found.append(Change(order, commit, of.at, of.author, of.subject, of.reverts, of.work, tuple(files)))

    parts = iter(said.decode("utf-8", "surrogateescape").split("\0"))
    for part in parts:
        if part.startswith(":"):
            path = next(parts, "")
            if not path.startswith(_INSIDE):
                _mode, _mode_after, before, after, _status = part[1:].split(" ")
                files.append((path, _blob(before), _blob(after)))
        else:
            close()
            commit, files = part, []
    close()
    return found


def _blob(oid: str) -> str | None:
    return None if _NOTHING.fullmatch(oid) else oid
