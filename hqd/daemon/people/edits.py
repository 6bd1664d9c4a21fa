"""`[edits] playbooks = "save"`: a stable, valid save of playbooks or hqd.toml comes into force by itself.

The default is `"commit"`: then edits are a person's own business until they commit or say `hqd apply`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from hqd.codec import layout
from hqd.core.batch import blob_id
from hqd.core.secret_scan import scan
from hqd.daemon.draft import Draft
from hqd.daemon.people.words import Speaker
from hqd.daemon.rulebook import Rulebook, pin_of
from hqd.model.change import Act, Difference, Entry, Transition
from hqd.model.problem import Problem
from hqd.ports import Checkout, Tree

MAX_BYTES = 1_000_000
_FILE = "100644"


def is_rule(path: str) -> bool:
    """Whether a path is in force as committed: hqd.toml, playbooks/, lessons/."""
    return path == layout.SETTINGS or path.startswith((layout.PLAYBOOKS + "/", layout.LESSONS + "/"))


class Overlay:
    """Main's tree with a person's saved files laid over it."""

    def __init__(self, tree: Tree, saved: Mapping[str, bytes | None]) -> None:
        self._tree = tree
        self._saved = saved

    def read(self, path: str) -> bytes | None:
        return self._saved[path] if path in self._saved else self._tree.read(path)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        found = {entry.name: entry for entry in self._tree.entries(folder)}
        for path, data in self._saved.items():
            inside = path[len(folder) + 1 :] if path.startswith(folder + "/") else ""
            name, _slash, deeper = inside.partition("/")
            if deeper:
                found.setdefault(name, Entry(name, "040000", ""))
            elif name and data is None:
                found.pop(name, None)
            elif name:
                found[name] = Entry(name, _FILE, blob_id(data or b""))
        return tuple(found[name] for name in sorted(found))


def commit_saved(
    draft: Draft,
    differences: Sequence[Difference],
    tree: Tree,
    checkout: Checkout,
    rulebook: Rulebook,
    settle: float,
    speaker: Speaker,
    now: datetime,
) -> float | None:
    """Commits saved rule files in the person's name, all or none. Seconds until they may have settled, or None."""
    changed = [each for each in differences if is_rule(each.path) and not each.path.endswith(("~", ".swp", ".tmp"))]
    if not changed or any(each.staged or each.file not in ("file", "missing") for each in changed):
        return None
    youngest = min(each.age for each in changed)
    if youngest < settle:
        return settle - youngest
    saved: dict[str, bytes | None] = {}
    for each in changed:
        data = None if each.kind == "deleted" else _read(checkout, each)
        if each.kind != "deleted" and data is None:
            return settle
        found = scan(data, ()) if data is not None else ()
        if found:
            message = f"a secret ({found[0].kind}) stands in it; not committed"
            draft.problems[each.path] = Problem(each.path, found[0].line, "", message, "use secret:NAME")
            return None
        saved[each.path] = data
    faults = rulebook.try_out(Overlay(tree, saved), pin_of(tree))
    if faults:
        draft.problems.update({fault.path: fault for fault in faults})
        return None
    names = ", ".join(sorted(saved))
    draft.batch.plain(
        Transition(
            message=f"hqd: apply {names}"[:160] + f"\n\nHqd-Via: {speaker.via.value}\n",
            at=now,
            writes=tuple((path, data) for path, data in saved.items() if data is not None),
            deletes=tuple(path for path, data in saved.items() if data is None),
            acts=tuple(Act(each.path, each.blob) for each in changed),
            author=speaker.person,
        )
    )
    return None


def _read(checkout: Checkout, difference: Difference) -> bytes | None:
    try:
        data = checkout.read(difference.path, MAX_BYTES)
    except OSError:
        return None
    return data if blob_id(data) == difference.blob else None
