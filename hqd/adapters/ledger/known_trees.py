"""The trees of a new commit, worked out here instead of being read back from git.

Trusted only if the root's id is the one that git computed: a tree's id covers everything below it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from hqd.adapters.objects import Objects, RawTree
from hqd.core.batch import Change

_FOLDER = b"40000"

Nested = dict[bytes, Any]
"""Name -> what is there now (a Content, or None), or the Nested of a folder."""


def known_trees(
    objects: Objects, root: str, changes: Iterable[Change], object_format: str
) -> tuple[str, dict[str, RawTree]]:
    """(id of the new root, every tree on the way to a changed path) after `changes` to the tree `root`."""
    nested: Nested = {}
    for change in changes:
        *folders, name = change.path.encode("utf-8", "surrogateescape").split(b"/")
        at = nested
        for folder in folders:
            below = at.setdefault(folder, {})
            if not isinstance(below, dict):
                below = at[folder] = {}  # a file became a folder
            at = below
        if not isinstance(at.get(name), dict):
            at[name] = change.new
    found: dict[str, RawTree] = {}
    return _rebuild(objects, root, nested, object_format, found) or "", found


def _rebuild(
    objects: Objects, tree: str | None, changes: Nested, object_format: str, found: dict[str, RawTree]
) -> str | None:
    """The id of the tree after the changes; None where nothing is left of it."""
    entries = dict(objects.tree(tree)) if tree is not None else {}
    grown = False
    for name, change in changes.items():
        was = entries.get(name)
        now: tuple[bytes, bytes] | None
        if isinstance(change, dict):
            below = was[1].hex() if was is not None and was[0] == _FOLDER else None
            oid = _rebuild(objects, below, change, object_format, found)
            now = None if oid is None else (_FOLDER, bytes.fromhex(oid))
        else:
            now = None if change is None else (change[0].lstrip("0").encode(), bytes.fromhex(change[1]))
        if now is None:
            entries.pop(name, None)
            continue
        grown = grown or was is None or (was[0] == _FOLDER) != (now[0] == _FOLDER)
        entries[name] = now
    if not entries:
        return None
    if grown:
        entries = dict(sorted(entries.items(), key=_order))
    body = b"".join([b"%b %b\0%b" % (mode, name, oid) for name, (mode, oid) in entries.items()])
    oid = hashlib.new(object_format, b"tree %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
    found[oid] = entries
    return oid


def _order(item: tuple[bytes, tuple[bytes, bytes]]) -> bytes:
    """git sorts a folder as if its name ended with a slash."""
    return item[0] + b"/" if item[1][0] == _FOLDER else item[0]
