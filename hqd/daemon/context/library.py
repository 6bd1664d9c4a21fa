"""The library: files of a tree by glob, texts by blob. Content-addressed, so kept without a worry; for many threads.

Nothing is read from the working tree, no link is followed out of the repository, and no file is read that is too large
to be sent.
"""

from __future__ import annotations

import posixpath
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from hqd.codec.decision import decision_text
from hqd.codec.lesson import read_lesson
from hqd.codec.native import index_line, read_rule_file
from hqd.core import globs
from hqd.core.context.source import Candidate, Text
from hqd.core.screen import flags
from hqd.ports import History, Tree

MAX_DOCUMENT = 1_000_000
"""Bytes of one document; a longer one is left out, and the manifest says so."""

LEFT_ALONE = re.compile(
    r"workspace/(?:inbox|queue|active|review|blocked|done|dropped|runs|holds|schedules)(?:/|$)|\.hqd/"
)
"""State is no background: `**` does not go there. A glob that begins in such a folder does."""

_TEXTS = 20_000
_CHARS = 60_000_000
_LISTINGS = 20_000
_LINKS = 8
_PATH = 4_096
_DEEPEST = 100  # folders inside each other that are looked through

_File = tuple[str, str, str]  # path (relative to the listed folder), blob, mode


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree. `problem`: it cannot be sent (a link out of the repository, a submodule)."""

    path: str
    blob: str
    problem: str | None = None


class Library:
    """One for each process."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._texts: OrderedDict[tuple[str, ...], Text] = OrderedDict()
        self._chars = 0
        self._listings: OrderedDict[str, tuple[_File, ...]] = OrderedDict()
        self._matches: OrderedDict[tuple[str, str], tuple[_File, ...]] = OrderedDict()
        self._files: OrderedDict[tuple[str, str], tuple[File, ...]] = OrderedDict()  # those without links

    def load(self, candidate: Candidate) -> Text:
        """What a candidate's blob is as text in the form that is asked for."""
        key = (candidate.blob, candidate.form, candidate.path if candidate.form in ("index", "mention") else "")
        with self._lock:
            kept = self._texts.get(key)
            if kept is not None:
                self._texts.move_to_end(key)
                return kept
        text = self._read(candidate)
        with self._lock:
            if key not in self._texts:
                self._texts[key] = text
                self._chars += len(text.text)
            while len(self._texts) > _TEXTS or (self._chars > _CHARS and len(self._texts) > 1):
                _key, dropped = self._texts.popitem(last=False)
                self._chars -= len(dropped.text)
        return text

    def data(self, blob: str) -> bytes | None:
        """The bytes of a blob; None for one that is too large or gone."""
        try:
            return self._history.blob(blob) if self._history.size(blob) <= MAX_DOCUMENT else None
        except KeyError:
            return None

    def _read(self, candidate: Candidate) -> Text:
        try:
            size = self._history.size(candidate.blob)
            if size > MAX_DOCUMENT:
                return Text(problem=f"it has {size} bytes, more than {MAX_DOCUMENT}")
            data = self._history.blob(candidate.blob)
        except KeyError:
            return Text(problem="its content is gone from git")
        if b"\0" in data[:8_000] or b"\0" in data:
            return Text(problem="it is binary")
        text = form_of(candidate.path, candidate.form, data)
        if not text.strip():
            return Text(problem="it is empty")
        return Text(text, flags=flags(text.replace("\ufffd", "?")))  # of another encoding: readable, nothing hidden

    def matching(self, tree: Tree, glob: str) -> tuple[File, ...]:
        """The files that a glob names, by path. Raises re.error for what is no glob."""
        folder = globs.beginning(glob)
        entry = tree.entry(folder)
        if entry is None or not entry.is_folder:
            return ()
        with self._lock:
            known, kept = self._files.get((entry.id, glob)), self._matches.get((entry.id, glob))
        if known is not None:
            return known
        if kept is None:
            wanted = globs.exact(glob)
            alone = LEFT_ALONE.match(folder + "/") is not None
            kept = tuple(
                (path, blob, mode)
                for path, blob, mode in self._under(tree, folder, alone=alone)
                if wanted.fullmatch(path)
            )
            self._keep(self._matches, (entry.id, glob), kept)
        files = tuple(self._file(tree, path, blob, mode) for path, blob, mode in kept)
        if all(mode != "120000" for _path, _blob, mode in kept):
            self._keep(self._files, (entry.id, glob), files)
        return files

    def file(self, tree: Tree, path: str) -> File | None:
        """One file by its path; None where there is none, or a folder."""
        entry = tree.entry(path)
        if entry is None or entry.is_folder:
            return None
        return self._file(tree, path, entry.id, entry.mode)

    def _file(self, tree: Tree, path: str, blob: str, mode: str) -> File:
        if mode == "120000":
            return self._linked(tree, path)
        return File(path, blob, "a submodule, which is another repository" if mode == "160000" else None)

    def _linked(self, tree: Tree, path: str) -> File:
        """Where a link leads, inside the repository."""
        at = path
        for _hop in range(_LINKS):
            entry = tree.entry(at)
            if entry is None or entry.is_folder:
                return File(path, "", "a link that leads to no file")
            if entry.mode != "120000":
                return File(path, entry.id)
            target = (self.data(entry.id) or b"").decode("utf-8", "surrogateescape")[:_PATH]
            at = posixpath.normpath(posixpath.join(posixpath.dirname(at), target))
            if target.startswith("/") or at == ".." or at.startswith("../"):
                return File(path, "", "a link that leads out of the repository")
        return File(path, "", "a link that leads in a circle")

    def _under(self, tree: Tree, folder: str, *, alone: bool) -> Iterator[_File]:
        """All files below a folder, with whole paths; unless `alone`, without the state of tasks."""
        prefix = f"{folder}/" if folder else ""
        for entry in tree.entries(folder):
            path = prefix + entry.name
            if not alone and LEFT_ALONE.match(path + "/"):
                continue
            if not entry.is_folder:
                yield path, entry.id, entry.mode
            elif not alone and path == "workspace":
                yield from self._under(tree, path, alone=False)
            else:
                yield from (
                    (f"{path}/{below}", blob, mode)
                    for below, blob, mode in self._listing(tree, path, entry.id, path.count("/"))
                )

    def _listing(self, tree: Tree, folder: str, tree_id: str, depth: int) -> tuple[_File, ...]:
        with self._lock:
            kept = self._listings.get(tree_id)
        if depth > _DEEPEST:
            return ()  # no person keeps documents there; and no call goes deeper than Python lets it
        if kept is None:
            found: list[_File] = []
            for entry in tree.entries(folder):
                if entry.is_folder:
                    inner = self._listing(tree, f"{folder}/{entry.name}", entry.id, depth + 1)
                    found += [(f"{entry.name}/{path}", blob, mode) for path, blob, mode in inner]
                else:
                    found.append((entry.name, entry.id, entry.mode))
            kept = tuple(found)
            self._keep(self._listings, tree_id, kept)
        return kept

    def _keep(self, cache: OrderedDict, key: object, value: object) -> None:  # type: ignore[type-arg]
        with self._lock:
            cache[key] = value
            while len(cache) > _LISTINGS:
                cache.popitem(last=False)


def form_of(path: str, form: str, data: bytes) -> str:
    """A blob as it is sent: whole, without its front matter, or as a line that says what is in it."""
    if form == "body":
        return read_rule_file(data, path).body
    if form == "lesson":
        lesson, _faults = read_lesson(data, path, named=False)
        return lesson.context.text if lesson is not None and lesson.context is not None else ""
    if form == "decision":
        return decision_text(data, path)
    if form in ("index", "mention"):
        return index_line(path, read_rule_file(data, path), files=form == "index")
    return data.decode("utf-8", "replace")
