"""The records of a tree, and the commits that they came by.

An event is one commit and one record: where a task's commits (by their trailers) and its records (by their numbers)
are as many and of the same kinds, they belong to each other in order. Where they do not (a merge brought another
clone's work, a shallow clone, a record removed by hand), git is asked which commit added which file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from hqd.adapters.archive.line import LineCommit
from hqd.adapters.archive.streams import fields, places, whole
from hqd.adapters.git import Git
from hqd.codec import layout
from hqd.codec.record import UnreadableRecord
from hqd.codec.record_head import seconds
from hqd.codec.record_heads import Head, Heads
from hqd.model.corpus import PastEvent, Remark

_FILE = layout.RUNS + r"/\d{4}/\d{2}/\d{2}/([^/\0]+)/(\d{3,})-([a-z_]+)\.toml"
_PATH = re.compile(_FILE)
_ROW = re.compile(rf"[0-9]+ [a-z]+ ([0-9a-f]+)\t(?:({_FILE})|([^\0]*))\0")
_FEW = 40
"""So many tasks are asked for one by one; more, in one walk over everything."""

_EAGER = {
    "n": int, "event": str, "at": str, "from": str, "to": str, "round": int, "by": str, "via": str, "step": str,
    "attempt": int, "playbook": str, "agent": str, "model": str, "outcome": str, "failure": str, "reason": str,
    "output": str, "output_blob": str,
}  # fmt: skip


class RecordFile(NamedTuple):
    task: str
    n: int
    event: str
    path: str
    blob: str


class Listing(NamedTuple):
    """What runs/ holds: records, the blobs of all other files by path, and paths of records that went."""

    records: list[RecordFile]
    others: dict[str, str | None]  # None: it went
    gone: list[str]


def listing(git: Git, tip: str, since: str | None) -> Listing:
    """All of runs/ at `tip`; with `since`: what came, was changed or went since that commit."""
    if since is None:
        return _whole(git, tip)
    found = Listing([], {}, [])
    for path, blob in _difference(git, since, tip):
        match = _PATH.fullmatch(path)
        if match is not None and blob is None:
            found.gone.append(path)
        elif match is not None and blob is not None:
            found.records.append(RecordFile(match[1], int(match[2]), match[3], path, blob))
        else:
            found.others[path] = blob
    return found


def _whole(git: Git, tip: str) -> Listing:
    said = whole(git, "ls-tree", "-r", "-z", "--full-tree", tip, "--", layout.RUNS).decode("utf-8", "surrogateescape")
    found = Listing([], {}, [])
    for blob, path, task, number, event, other in _ROW.findall(said):
        if task:
            found.records.append(RecordFile(task, int(number), event, path, blob))
        else:
            found.others[other] = blob
    return found


def _difference(git: Git, since: str, tip: str) -> Iterator[tuple[str, str | None]]:
    parts = fields(git, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", since, tip, "--", layout.RUNS)
    for head in parts:
        path = next(parts, b"").decode("utf-8", "surrogateescape")
        words = head.decode().split(" ")
        yield path, None if words[4].startswith("D") else words[3]


class Placed(NamedTuple):
    """A record with the commit that brought it, and that commit's place in the line."""

    order: int
    commit: str
    task: str
    n: int
    event: str
    path: str
    blob: str


class Placing(NamedTuple):
    """Which commit brought which record. `doubted`: tasks of which commits and records do not belong to each other one
    by one."""

    placed: list[Placed]
    remarks: list[Remark]
    doubted: frozenset[str]


def place(
    git: Git, files: Sequence[RecordFile], commits: Sequence[LineCommit], first: int, tip: str, since: str | None
) -> Placing:
    """`first` is the order of the first of `commits`. Raises GitFailed."""
    said: dict[str, list[tuple[int, str, str]]] = {}
    for order, commit in enumerate(commits, first):
        if commit.event is not None and commit.task is not None:
            said.setdefault(commit.task, []).append((order, commit.id, commit.event))
    there: dict[str, list[RecordFile]] = {}
    for file in files:
        there.setdefault(file.task, []).append(file)
    placed: list[Placed] = []
    unsure: list[str] = []
    for task, records in there.items():
        records.sort(key=lambda file: file.n)
        words = said.pop(task, [])
        if len(words) == len(records) and all(word[2] == file.event for word, file in zip(words, records, strict=True)):
            placed += [Placed(order, commit, *file) for (order, commit, _e), file in zip(words, records, strict=True)]
        else:
            unsure.append(task)
    remarks = [_missing(task, len(words)) for task, words in said.items()]
    if unsure:
        found, more = _asked(git, {task: there[task] for task in unsure}, commits, first, tip, since)
        placed += found
        remarks += more
    return Placing(placed, remarks, frozenset([*unsure, *said]))


def _missing(task: str, count: int) -> Remark:
    what = "1 event has" if count == 1 else f"{count} events have"
    return Remark("missing_record", f"{what} no record in the tree any more", layout.runs_folder(task))


def _asked(
    git: Git,
    tasks: Mapping[str, list[RecordFile]],
    commits: Sequence[LineCommit],
    first: int,
    tip: str,
    since: str | None,
) -> tuple[list[Placed], list[Remark]]:
    """Asks git which commit of the line added each record."""
    orders = {commit.id: order for order, commit in enumerate(commits, first)}
    folders = [layout.runs_folder(task) for task in tasks] if len(tasks) <= _FEW else [layout.RUNS]
    added = dict(_added(git, tip, since, folders))
    placed: list[Placed] = []
    lost = 0
    for records in tasks.values():
        for file in records:
            commit = added.get(file.path)
            if commit is None or commit not in orders:
                lost += 1
                continue
            placed.append(Placed(orders[commit], commit, *file))
    remarks = [Remark("unplaced", f"{lost} records came by no commit of main's line", "")] if lost else []
    return placed, remarks


def _added(git: Git, tip: str, since: str | None, folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    span = f"{since}..{tip}" if since else tip
    form = ("--name-only", "--diff-filter=A", "--no-renames", "--format=%x1e%H")
    commit = ""
    for raw in fields(git, "log", "--first-parent", "-z", *form, span, "--", *folders):
        text = raw.decode("utf-8", "surrogateescape").lstrip("\n")
        if text.startswith("\x1e"):
            commit, _, text = text[1:].partition("\n")
            commit, text = commit.strip(), text.lstrip("\n")
        if text:
            yield text, commit


class Claimed(NamedTuple):
    """What a claim says of the attempt that it begins."""

    playbook: str | None
    pin: str | None


Row = tuple[Any, ...]
"""The values of a PastEvent, in their order."""


class Fault(NamedTuple):
    """A record that could not be told, and where it stands in the line."""

    order: int
    task: str
    n: int
    code: str
    message: str
    path: str


def tell(
    git: Git, placed: Sequence[Placed], claims: dict[tuple[str, str, int], Claimed]
) -> tuple[dict[str, list[Row]], list[Fault]]:
    """What the records say, by task, each task's in the line's order. `claims` are those still open, by (task, step,
    attempt); it is kept up to date.

    Read in the order of their paths, which is fastest: of one task, one is stored by the other.
    """
    reader = Heads(_EAGER)
    inside = sorted(placed, key=itemgetter(2, 0, 3))  # by task, order, n
    rows: dict[str, list[Row]] = {}
    faults: list[Fault] = []
    for each, found in zip(inside, places(git, [each.blob for each in inside]), strict=True):
        if found is None:
            faults.append(_fault(each, "missing_blob", "the record is not in this clone"))
            continue
        try:
            row = _row(each, reader.within(*found, each.event, each.path), claims)
        except UnreadableRecord as fault:
            faults.append(_fault(each, "unreadable_record", fault.message))
        except (ValueError, KeyError, TypeError) as wrong:
            faults.append(_fault(each, "unreadable_record", f"{each.path}: not a record: {wrong}"))
        else:
            rows.setdefault(each.task, []).append(row)
    return rows, faults


def _fault(placed: Placed, code: str, message: str) -> Fault:
    return Fault(placed.order, placed.task, placed.n, code, message, placed.path)


def _row(placed: Placed, head: Head, claims: dict[tuple[str, str, int], Claimed]) -> Row:
    """Raises ValueError, KeyError, TypeError for what no record says so."""
    if not head.typed:
        _check(head.apart)
    (
        n, event, at, was, to, number, by, via, step, attempt, playbook, agent, model, outcome, failure, reason, output,
        output_blob,
    ) = head.apart  # fmt: skip
    if None in (n, event, at, was, to, number):
        raise KeyError(_lacking(head.apart, "n", "event", "at", "from", "to", "round"))
    order, commit, task, _n, _event, path, blob = placed
    rest, pin, cost, tokens = head.rest, None, 0.0, 0
    if event in _OF_ATTEMPTS and (step is None or attempt is None):
        raise KeyError(_lacking(head.apart, "step", "attempt"))
    if event == "claimed":
        pin = _pin(rest)
        claims[task, step, attempt] = Claimed(playbook, pin)
    elif event == "finished":
        playbook, pin = claims.pop((task, step, attempt), Claimed(playbook, None))
        cost, tokens = _usage(rest)
    return (
        order, commit, task, n, event, seconds(at), was, to, number, "hqd" if by is None else by, via, step, attempt,
        playbook, pin, agent, model, outcome, failure, reason, output, output_blob, cost, tokens, path, blob, rest,
    )  # fmt: skip


_OF_ATTEMPTS = ("claimed", "finished")


def _lacking(apart: Sequence[Any], *names: str) -> str:
    """The first of these that a record does not say."""
    said = dict(zip(_EAGER, apart, strict=True))
    return next(name for name in names if said[name] is None)


def _check(apart: Sequence[Any]) -> None:
    for (key, kind), value in zip(_EAGER.items(), apart, strict=True):
        if value is not None and type(value) is not kind:
            raise TypeError(f"{key}: {value!r}")


_PIN = re.compile(r'"pin":\{"playbooks":"([0-9a-f]+)","settings":"([0-9a-f]+)"(?:,"lessons":\[([^\]]*)\])?\}')
_USAGE = re.compile(r'"usage":\{([^}]*)\}')
_PART = re.compile(r'"(in|out|cached|cache_write|cost)":([-0-9.e+]+)')


def _pin(rest: str) -> str | None:
    found = _PIN.search(rest)
    if found is None:
        return None
    lessons = (found[3] or "").replace('"', "").replace(" ", "")
    return ":".join([found[1], found[2], *(lessons.split(",") if lessons else ())])


def _usage(rest: str) -> tuple[float, int]:
    """Dollars and tokens. A text cannot look like it: in one, quotes are escaped."""
    found = _USAGE.search(rest)
    if found is None:
        return 0.0, 0
    parts = {name: float(number) for name, number in _PART.findall(found[1])}
    cost = parts.pop("cost", 0.0)
    return cost, int(sum(parts.values()))


def redacted(found: Iterable[PastEvent], listed: Listing, whole: bool) -> Iterator[Remark]:
    """Outputs that the tree has otherwise than their record says, or not at all. `whole`: all of runs/ is listed."""
    for each in found:
        if each.event != "finished" or each.output is None or each.output_blob is None:
            continue
        if not whole and each.output not in listed.others:
            continue
        now = listed.others.get(each.output)
        if now is None:
            yield Remark("missing_blob", "the output is not in the tree any more", each.output)
        elif now != each.output_blob:
            yield Remark("redacted", "the output was changed after it was recorded", each.output)
