"""Reads from git what landing is decided on: main's steps and how branches differ from it.

State commits cost next to nothing: the walk leaves out workspace/ by pathspec, so git compares two root trees
for each of them and says nothing. What is asked of many branches at once is asked in one process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hqd.adapters.git import Git
from hqd.codec import layout
from hqd.core.reviews.landing import Edit, Leaf, Step

BESIDE_STATE = (":/", f":(top,exclude){layout.WORKSPACE}")
"""Pathspec of everything but the state of tasks."""

EVERYTHING = (":/",)
"""Pathspec of a repository without state: a target's own workspace/ is work like any other."""


Walked = tuple[str, str | None, str]
"""Commit, first parent, message."""


@dataclass(frozen=True, slots=True)
class Strand:
    """A branch's own commits, newest first: their messages, and where they leave main (None: nowhere)."""

    messages: tuple[str, ...]
    fork: str | None


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def lines(git: Git, *args: str) -> list[str]:
    """What a git call prints; nothing where it ends with 1, git's way to say that there is no such thing."""
    return git.quick(*args, codes=(0, 1)).text.splitlines()


def is_ancestor(git: Git, old: str, new: str) -> bool:
    return git.quick("merge-base", "--is-ancestor", old, new, codes=(0, 1)).code == 0


def raw(line: str) -> bytes:
    return line.encode("utf-8", "surrogateescape")


def known(git: Git, commits: Iterable[str]) -> frozenset[str]:
    """Those of `commits` whose objects are here."""
    asked = list(dict.fromkeys(commits))
    answers = git.quick("cat-file", "--batch-check=%(objecttype)", stdin=raw("".join(f"{one}\n" for one in asked))).out
    return frozenset(one for one, kind in zip(asked, text(answers).splitlines(), strict=True) if kind == "commit")


def steps(git: Git, start: str | None, tip: str, beside: Sequence[str] = BESIDE_STATE) -> tuple[Walked, ...]:
    """(commit, first parent, message) of main's commits after `start` that touch anything of `beside`, oldest first."""
    span = [tip] if start is None else [tip, f"^{start}"]
    out = git.quick(
        "log", "-z", "--no-show-signature", "--first-parent", "--format=%H%x00%P%x00%B", *span, "--", *beside
    ).out
    fields = text(out).split("\0")
    found = zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
    return tuple((commit, parents.split(" ")[0] or None, message) for commit, parents, message in found)[::-1]


def line_from(git: Git, commits: Iterable[str], tip: str) -> tuple[str, ...]:
    """Main's first-parent line from `tip` down to the oldest of `commits`; all of it where one is not on it."""
    missing = set(commits)
    reach = 1000
    while True:
        line = lines(git, "rev-list", "--first-parent", f"--max-count={reach}", tip)
        if missing <= set(line):
            return tuple(line[: max(map(line.index, missing), default=0) + 1])
        if len(line) < reach:
            return tuple(line)
        reach *= 10


def strands(git: Git, heads: Sequence[str], line: Sequence[str]) -> Mapping[str, Strand]:
    """The strand of every head. `line`: main's first-parent line, newest first, from before the branches began.

    git's own `main..head` is not asked: where clocks differ it may take commits of main for the branch's.
    """
    wanted = "".join(f"{head}\n" for head in heads) + f"^{line[-1]}\n"
    out = git.quick("log", "-z", "--no-show-signature", "--format=%H%x00%P%x00%B", "--stdin", stdin=raw(wanted)).out
    fields = text(out).split("\0")
    graph = {
        commit: (tuple(parents.split()), message)
        for commit, parents, message in zip(fields[0::3], fields[1::3], fields[2::3], strict=False)
    }
    places = {commit: place for place, commit in enumerate(line)}
    found = {}
    for head in dict.fromkeys(heads):
        messages, ends = _follow(graph, places.keys(), head)
        if ends <= places.keys():
            fork = min(ends, key=places.__getitem__, default=None)  # main merged into the branch: the newest place
        else:
            fork = next(iter(lines(git, "merge-base", line[0], head)), None)
        found[head] = Strand(messages, fork)
    return found


def _follow(
    graph: Mapping[str, tuple[tuple[str, ...], str]], main: Collection[str], head: str
) -> tuple[tuple[str, ...], set[str]]:
    """Messages of the commits from `head` down to main or out of the graph, and where that was."""
    messages: dict[str, str] = {}
    ends = set()
    todo = deque([head])
    while todo:
        commit = todo.popleft()
        if commit in main or commit not in graph:
            ends.add(commit)
        elif commit not in messages:
            parents, messages[commit] = graph[commit]
            todo.extend(parents)
    return tuple(messages.values()), ends


def reached(git: Git, heads: Collection[str], start: str | None, tip: str) -> dict[str, str]:
    """Those of `heads` that main reached after `start`: head -> the commit of main's first-parent line that did it."""
    span = [tip] if start is None else [tip, f"^{start}"]
    new = set(lines(git, "rev-list", *span)).intersection(heads)
    if not new:
        return {}
    line = [one.split(" ") for one in reversed(lines(git, "rev-list", "--first-parent", "--parents", *span))]
    return {head: _brought_by(git, head, line) for head in new}


def _brought_by(git: Git, head: str, line: Sequence[Sequence[str]]) -> str:
    """`line`: commits with their parents, oldest first; one of them reaches `head`, and so do all that follow."""
    merges = []
    for commit, *parents in line:
        if commit == head:
            return head  # fast-forward
        if head in parents[1:]:
            return commit
        if len(parents) > 1:
            merges.append(commit)
    return merges[bisect_left(merges, True, key=lambda commit: is_ancestor(git, head, commit))]


def differences(
    git: Git, pairs: Sequence[tuple[str, str | None]], beside: Sequence[str] = BESIDE_STATE
) -> list[dict[str, Edit]]:
    """For each (commit, older commit or None for nothing): the files of `beside` that differ."""
    asked = "".join(f"{new} {old}\n" if old else f"{new}\n" for new, old in pairs)
    out = git.quick(
        "diff-tree",
        "--stdin",
        "--always",
        "--root",
        "-r",
        "-z",
        "--raw",
        "--no-renames",
        "--",
        *beside,
        stdin=raw(asked),
    ).out
    found: list[dict[str, Edit]] = []
    fields = iter(text(out).split("\0"))
    for field in fields:
        if field.startswith(":"):
            modes = field[1:].split(" ")
            found[-1][next(fields)] = Edit(_leaf(modes[0], modes[2]), _leaf(modes[1], modes[3]))
        elif field:
            found.append({})
    return found


def _leaf(mode: str, object_id: str) -> Leaf | None:
    return None if mode == "000000" else (mode, object_id)


def steps_of(walked: Sequence[Walked], edits: Sequence[Mapping[str, Edit]]) -> tuple[Step, ...]:
    return tuple(
        Step(commit, parent, message, edit) for (commit, parent, message), edit in zip(walked, edits, strict=True)
    )
