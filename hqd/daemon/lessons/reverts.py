"""Landed work that a person took back: which tasks' work a revert on main's own line is about.

As git writes it (`This reverts commit …`), or as a merge of the branch that a forge's button makes: `revert-12-BRANCH`
on GitHub, `revert-COMMIT` on GitLab.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from hqd.codec import layout
from hqd.codec.message import trailers
from hqd.codec.record import UnreadableRecord, read_record
from hqd.core.lessons import teaching
from hqd.core.lessons.teaching import Case
from hqd.core.reviews.landing import works
from hqd.errors import Expected, Misconfigured
from hqd.model.playbook import Playbook
from hqd.model.record import Cursor, EventKind, Record
from hqd.ports import History, Tree

_COMMIT = re.compile(r"This reverts commit ([0-9a-f]{7,64})\b")
_OF_COMMIT = re.compile(r"\A[^\n]*\brevert-([0-9a-f]{8,64})\b(?!-)")
_OF_TASK = re.compile(r"\A[^\n]*\brevert-\d+-hqd/(\d{8}-[a-z0-9-]{1,60}-[0-9a-f]{6})\b")

LOOK_AFTER = 5_000
"""Commits after a landing in which hqd's note of it is looked for."""


def taken_back(
    history: History, tree: Tree, message: str, playbook_of: Callable[[Cursor], Playbook | None]
) -> Iterator[Case]:
    """The cases of a revert; none where the message tells of none."""
    said = _COMMIT.search(message) or _OF_COMMIT.search(message)
    named = _OF_TASK.search(message)
    if said is None and named is None:
        return
    try:
        tasks = _brought(history, tree, said[1]) if said is not None else frozenset({named[1]} if named else ())
    except (Expected, KeyError):
        return  # it is not here: history was rewritten, or cut
    words = (message[: said.start()] if said is not None and said.start() else message).partition("\n")[2].strip()
    for task in sorted(tasks):
        records = records_of(tree, task)
        if records:
            cursor = records[-1].cursor
            case = teaching.reverted(task, cursor, playbook_of(cursor), words, "a person", records[-1].at)
            if case is not None:
                yield case


def _brought(history: History, tree: Tree, sha: str) -> frozenset[str]:
    """Whose work a commit brought: by its trailer, or by hqd's note where a person squashed it under another name."""
    landing = next((text for commit, text in history.messages(f"{sha}^") if commit.startswith(sha)), "")
    return works(landing) or _noted(history, tree, sha)


def _noted(history: History, tree: Tree, sha: str) -> frozenset[str]:
    """The tasks that hqd has noted as landed by a commit."""
    told = (trailers(message) for _commit, message in history.messages(sha, limit=LOOK_AFTER))
    landed = {each["Hqd-Task"] for each in told if each.get("Hqd-Event") == EventKind.LANDED.value}
    return frozenset(
        task for task in landed if any((record.landed or "").startswith(sha) for record in records_of(tree, task))
    )


def records_of(tree: Tree, task: str) -> list[Record]:
    """All records of a task that can be read, in order."""
    found = []
    for entry in tree.entries(layout.runs_folder(task)):
        n = layout.record_number(entry.name)
        if n is None:
            continue
        path = f"{layout.runs_folder(task)}/{entry.name}"
        try:
            found.append((n, read_record(tree.read(path) or b"", path)))
        except (UnreadableRecord, Misconfigured):
            continue
    return [record for _n, record in sorted(found, key=lambda pair: pair[0])]
