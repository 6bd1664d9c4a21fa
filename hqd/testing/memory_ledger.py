"""An HQ in memory: ports Ledger, Tree, History and Checkout, for tests that are not about git or files.

Object ids are those that git would give. The working tree is the dict `files`: a test plays the person by changing
it. Nothing is ever staged, and nobody else writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from hqd.codec import layout
from hqd.core.batch import FILE, Change, blob_id, changes
from hqd.errors import Expected, PathsInUse, RepositoryBusy, StaleHead
from hqd.model.change import Act, Difference, Entry, Transition, WorkingTree
from hqd.model.record import Person
from hqd.model.task import OPEN_STATES

_FOLDER = "040000"
_HQD = Person(name="hqd", email="hqd@localhost")
_FLAT = (*(layout.STATE_FOLDERS[state] for state in OPEN_STATES), layout.HOLDS)


class _Commit(NamedTuple):
    tree: str
    parents: tuple[str, ...]
    message: str
    author: Person
    at: datetime


class Store:
    """Objects by their git ids."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.trees: dict[str, dict[str, Entry]] = {}
        self.commits: dict[str, _Commit] = {}
        self.put_tree({})

    def put_blob(self, data: bytes) -> str:
        oid = blob_id(data)
        self.blobs[oid] = data
        return oid

    def put_tree(self, entries: Mapping[str, Entry]) -> str:
        def order(entry: Entry) -> bytes:
            return _raw(entry.name) + (b"/" if entry.is_folder else b"")

        kept = {entry.name: entry for entry in sorted(entries.values(), key=order)}
        body = b"".join(
            entry.mode.lstrip("0").encode() + b" " + _raw(entry.name) + b"\0" + bytes.fromhex(entry.id)
            for entry in kept.values()
        )
        oid = _hash("tree", body)
        self.trees[oid] = kept
        return oid

    def put_commit(self, commit: _Commit) -> str:
        lines = [f"tree {commit.tree}", *(f"parent {parent}" for parent in commit.parents)]
        when = f"{int(commit.at.timestamp())} {commit.at:%z}"
        lines += [f"author {commit.author.name} <{commit.author.email}> {when}"]
        lines += [f"committer {_HQD.name} <{_HQD.email}> {when}", "", commit.message]
        oid = _hash("commit", "\n".join(lines).encode("utf-8", "replace"))
        self.commits[oid] = commit
        return oid

    def with_change(self, tree: str, path: str, content: tuple[str, str] | None) -> str:
        """The id of `tree` with one path set or, by None, taken out; emptied folders go."""
        name, _, rest = path.partition("/")
        entries = dict(self.trees[tree])
        if rest:
            below = entries.get(name)
            start = below.id if below is not None and below.is_folder else self.put_tree({})
            folder = self.with_change(start, rest, content)
            content = (_FOLDER, folder) if self.trees[folder] else None
        entries.pop(name, None)
        if content is not None:
            entries[name] = Entry(name, *content)
        return self.put_tree(entries)

    def files(self, tree: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        for name, entry in self.trees[tree].items():
            if entry.is_folder:
                yield from self.files(entry.id, f"{prefix}{name}/")
            else:
                yield prefix + name, entry


class MemoryTree:
    """Port Tree."""

    def __init__(self, store: Store, commit: str) -> None:
        self._store = store
        self._commit = commit

    @property
    def commit(self) -> str:
        return self._commit

    def read(self, path: str) -> bytes | None:
        entry = self.entry(path)
        return None if entry is None or entry.is_folder else self._store.blobs[entry.id]

    def entry(self, path: str) -> Entry | None:
        found = Entry("", _FOLDER, self._store.commits[self._commit].tree)
        for part in path.split("/") if path else ():
            below = self._store.trees[found.id].get(part) if found.is_folder else None
            if below is None:
                return None
            found = below
        return found

    def entries(self, folder: str) -> tuple[Entry, ...]:
        entry = self.entry(folder.rstrip("/"))
        return tuple(self._store.trees[entry.id].values()) if entry is not None and entry.is_folder else ()


class MemoryHistory:
    """Port History, and `lost_records`."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._store = ledger.store

    def tree(self, revision: str) -> MemoryTree:
        commit = self._ledger.tip if revision in ("HEAD", "main") else revision
        if commit not in self._store.commits:
            raise KeyError(revision)
        return MemoryTree(self._store, commit)

    def blob(self, object_id: str) -> bytes:
        return self._store.blobs[object_id]

    def size(self, object_id: str) -> int:
        return len(self._store.blobs[object_id])

    def messages(self, since: str | None, paths: Sequence[str] = (), limit: int = 0) -> Iterator[tuple[str, str]]:
        given = 0
        commit: str | None = self._ledger.tip
        while commit is not None and commit != since and (not limit or given < limit):
            found = self._store.commits[commit]
            parent = found.parents[0] if found.parents else None
            if not paths or self._touches(commit, parent, paths):
                given += 1
                yield commit, found.message
            commit = parent

    def lost_records(self, old_tip: str, new_tip: str) -> tuple[str, ...]:
        """Paths under workspace/runs that `old_tip` has and `new_tip` lacks or has otherwise."""
        new = dict(self._store.files(self._store.commits[new_tip].tree))
        old = self._store.files(self._store.commits[old_tip].tree)
        return tuple(path for path, entry in old if path.startswith(layout.RUNS + "/") and new.get(path) != entry)

    def _touches(self, commit: str, parent: str | None, paths: Sequence[str]) -> bool:
        before = MemoryTree(self._store, parent) if parent is not None else None
        after = MemoryTree(self._store, commit)
        return any((before.entry(path) if before else None) != after.entry(path) for path in paths)


class MemoryCheckout:
    """Port Checkout over `MemoryLedger.files`. `clock` tells ages, by `changed`: path -> time of the last change."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    def look(self) -> WorkingTree:
        ledger = self._ledger
        if ledger.busy is not None:
            return WorkingTree(ledger.tip, (), ledger.busy.cause, ledger.busy.message)
        tree = {path: entry.id for path, entry in ledger.store.files(ledger.snapshot_tree()) if _is_hot(path)}
        found = []
        for path, data in ledger.files.items():
            if _is_hot(path) and tree.get(path) != blob_id(data):
                kind = "modified" if path in tree else "added"
                found.append(Difference(path, kind, "file", blob_id(data), len(data), self._age(path)))
        gone = (path for path in tree if path not in ledger.files)
        found += [Difference(path, "deleted", "missing", None, 0, self._age(path)) for path in gone]
        return WorkingTree(ledger.tip, tuple(found))

    def read(self, path: str, limit: int) -> bytes:
        if path not in self._ledger.files:
            raise FileNotFoundError(path)
        return self._ledger.files[path][: limit + 1]

    def restore(self, acts: Sequence[Act]) -> None:
        for act in acts:
            if self._ledger.stands(act):
                self._ledger.settle(act)

    def _age(self, path: str) -> float:
        changed = self._ledger.changed.get(path)
        return 3600.0 if changed is None else max(0.0, self._ledger.clock().timestamp() - changed)


class MemoryLedger:
    """Port Ledger. `tip` is main; `busy` and `fault`, where set, are raised by every append."""

    def __init__(
        self, files: Mapping[str, bytes] | None = None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.store = Store()
        self.clock = clock
        self.files: dict[str, bytes] = {}
        self.changed: dict[str, float] = {}
        self.busy: RepositoryBusy | None = None
        self.fault: Expected | None = None
        self._seen: str | None = None
        root = self.store.put_tree({})
        for path, data in (files or {}).items():
            root = self.store.with_change(root, path, (FILE, self.store.put_blob(data)))
            self.files[path] = data
        start = datetime(2026, 1, 1, tzinfo=UTC)
        self.tip = self.store.put_commit(_Commit(root, (), "Make an HQ\n", _HQD, start))
        self.history = MemoryHistory(self)
        self.checkout = MemoryCheckout(self)

    def snapshot(self) -> MemoryTree:
        return MemoryTree(self.store, self.tip)

    def snapshot_tree(self) -> str:
        return self.store.commits[self.tip].tree

    def last_seen(self) -> str | None:
        return self._seen

    def mark_seen(self, tip: str) -> None:
        self._seen = tip

    def append(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        if not transitions:
            return ()
        if self.busy is not None:
            raise self.busy
        if base != self.tip:
            raise StaleHead(base, self.tip)
        planned = changes(self.snapshot(), transitions, blob_id)
        acts = tuple(act for transition in transitions for act in transition.acts)
        self._survey(planned, acts)
        if self.fault is not None:
            raise self.fault
        ids = []
        for transition in transitions:
            self.tip = self._commit(transition)
            ids.append(self.tip)
        for change in planned:
            if change.path not in {act.path for act in acts}:
                self._write(change.path, change.new)
        for act in acts:
            self.settle(act)
        self._seen = self.tip
        return tuple(ids)

    def person_commits(self, message: str, writes: Mapping[str, bytes | None]) -> str:
        """A person changes files (None: deletes) and commits them on main."""
        tree = self.snapshot_tree()
        for path, data in writes.items():
            content = None if data is None else (FILE, self.store.put_blob(data))
            tree = self.store.with_change(tree, path, content)
            self._write(path, content)
        person = Person(name="Person", email="person@example.org")
        self.tip = self.store.put_commit(_Commit(tree, (self.tip,), message, person, self.clock()))
        return self.tip

    def stands(self, act: Act) -> bool:
        """Whether a known difference is still so."""
        data = self.files.get(act.path)
        return (None if data is None else blob_id(data)) == act.blob

    def settle(self, act: Act) -> None:
        """Makes the file of an act what main has."""
        entry = self.snapshot().entry(act.path)
        self._write(act.path, None if entry is None else (entry.mode, entry.id))

    def _survey(self, planned: Sequence[Change], acts: Sequence[Act]) -> None:
        known = {act.path for act in acts}
        in_use = [act.path for act in acts if not self.stands(act)]
        for change in planned:
            data = self.files.get(change.path)
            if change.path not in known and not _sparse(change.path):
                there = None if data is None else blob_id(data)
                in_use += [change.path] if there != (change.old[1] if change.old else None) else []
        if in_use:
            raise PathsInUse(tuple(dict.fromkeys(in_use)))

    def _commit(self, transition: Transition) -> str:
        tree = self.snapshot_tree()
        for change in changes(self.snapshot(), (transition,), self.store.put_blob):
            tree = self.store.with_change(tree, change.path, change.new)
        parents = (self.tip,) if transition.merge is None else (self.tip, transition.merge)
        message = transition.message if transition.message.endswith("\n") else transition.message + "\n"
        return self.store.put_commit(_Commit(tree, parents, message, transition.author or _HQD, transition.at))

    def _write(self, path: str, content: tuple[str, str] | None) -> None:
        self.changed.pop(path, None)
        if content is None:
            self.files.pop(path, None)
        elif not _sparse(path):
            self.files[path] = self.store.blobs[content[1]]


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _hash(kind: str, body: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def _sparse(path: str) -> bool:
    return path.startswith(layout.RUNS + "/")


def _is_hot(path: str) -> bool:
    if path in (layout.PAUSED, layout.SETTINGS) or path.startswith((layout.PLAYBOOKS + "/", layout.LESSONS + "/")):
        return True
    folder = path.rpartition("/")[0]
    return folder in _FLAT or folder == layout.INBOX or folder.rpartition("/")[0] == layout.INBOX
