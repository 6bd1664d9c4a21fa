"""Landed work that a person took back: which tasks' work a revert on main's own line is about.

As git writes it (`This reverts commit …`), or as a merge of the branch that a forge's button makes: `revert-12-BRANCH`
on GitHub, `revert-COMMIT` on GitLab. The same on a target repository's main, which is read when it has been fetched:
while a task needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

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


LOOK_BACK = 500
"""Commits of a target's main that are looked at where nothing is remembered."""

PlaybookOf = Callable[[Cursor], Playbook | None]


class Targets:
    """Reverts in target repositories. `history_of`: of one's mirror, by its name; may raise Expected.

    `seen`: name -> the tip up to which its main was looked at.
    """

    def __init__(self, hq: History, history_of: Callable[[str], History]) -> None:
        self._hq, self._history_of = hq, history_of
        self.seen: dict[str, str] = {}

    def look(self, tips: Mapping[str, str], tree: Tree, playbook_of: PlaybookOf) -> Iterator[Case]:
        """The cases of what is new on the mains whose tips are given. `tree`: the HQ's, which has the records."""
        for repo, tip in tips.items():
            if self.seen.get(repo) == tip:
                continue
            try:
                history = self._history_of(repo)
                messages = self._messages(history, self.seen.get(repo))
            except Expected:
                continue  # not in hqd.toml any more
            self.seen[repo] = tip
            for message in messages:
                yield from taken_back(history, tree, message, playbook_of, (repo, self._hq))

    @staticmethod
    def _messages(history: History, since: str | None) -> list[str]:
        if since is not None:
            try:
                return [message for _, message in history.messages(since, limit=10 * LOOK_BACK)]
            except (Expected, KeyError):
                pass  # that commit is gone: the target's main was rewritten
        return [message for _, message in history.messages(None, limit=LOOK_BACK)]


def taken_back(
    history: History, tree: Tree, message: str, playbook_of: PlaybookOf, target: tuple[str, History] | None = None
) -> Iterator[Case]:
    """The cases of a revert; none where the message tells of none. `target`: where `history` is a target repository's,
    its name and the HQ's history; anybody may write a trailer there, so only work that went there counts."""
    repo, notes = target if target is not None else (None, None)
    said = _COMMIT.search(message) or _OF_COMMIT.search(message)
    named = _OF_TASK.search(message)
    if said is None and named is None:
        return
    try:
        tasks = _brought(history, tree, said[1], notes) if said is not None else frozenset({named[1]} if named else ())
    except (Expected, KeyError):
        return  # it is not here: history was rewritten, or cut
    words = (message[: said.start()] if said is not None and said.start() else message).partition("\n")[2].strip()
    for task in sorted(tasks):
        records = records_of(tree, task)
        if records and (target is None or any(record.cursor.repo == repo for record in records)):
            cursor = records[-1].cursor
            case = teaching.reverted(task, cursor, playbook_of(cursor), words, "a person", records[-1].at)
            if case is not None:
                yield case


def _brought(history: History, tree: Tree, sha: str, notes: History | None) -> frozenset[str]:
    """Whose work a commit brought: by its trailer, or by hqd's note where a person squashed it under another name.

    `notes`: the HQ's history, where the commit is not on its own main.
    """
    landing = next((text for commit, text in history.messages(f"{sha}^") if commit.startswith(sha)), "")
    if works(landing):
        return works(landing)
    return _noted(history, tree, sha, sha) if notes is None else _noted(notes, tree, sha, None)


def _noted(history: History, tree: Tree, sha: str, since: str | None) -> frozenset[str]:
    """The tasks that hqd has noted as landed by a commit."""
    told = (trailers(message) for _commit, message in history.messages(since, limit=LOOK_AFTER))
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
