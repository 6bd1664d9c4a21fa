"""Reading of git objects through one long-lived `git cat-file --batch-command`. Thread-safe."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, TypeVar, cast

from hqd.adapters.git import Git, GitFailed

_Told = TypeVar("_Told")
RawTree = dict[bytes, tuple[bytes, bytes]]
"""Name -> (mode, binary object id), in git's order."""

_TREES_KEPT = 4096
_AHEAD = 400  # questions in one go: some 24 kB of a pipe's 64
_BLOB_BYTES_KEPT = 16 << 20
_BLOB_TOO_LARGE_TO_KEEP = 1 << 20


def parse_tree(raw: bytes, id_bytes: int = 20) -> RawTree:
    """The entries of a raw tree object."""
    pattern = _entry_pattern(id_bytes)
    return {name: (mode, oid) for mode, name, oid in pattern.findall(raw)}


def _entry_pattern(id_bytes: int) -> re.Pattern[bytes]:
    return _PATTERNS[id_bytes]


_PATTERNS = {size: re.compile(rb"([0-7]+) ([^\0]+)\0(.{%d})" % size, re.DOTALL) for size in (20, 32)}


class Objects:
    """Blobs, trees and commits by id. A dead reader is started anew once per question."""

    def __init__(self, git: Git, object_format: str) -> None:
        self._git = git
        self._id_bytes = 32 if object_format == "sha256" else 20
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._trees: OrderedDict[str, RawTree] = OrderedDict()
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._blob_bytes = 0
        self._roots: OrderedDict[str, str] = OrderedDict()

    def close(self) -> None:
        """Ends the reader. A later question starts it again."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            with contextlib.suppress(OSError):  # it died with our words in the pipe
                cast(IO[bytes], process.stdin).close()
            cast(IO[bytes], process.stdout).close()
            process.wait()

    def find(self, name: str) -> tuple[str, str, bytes] | None:
        """(id, type, content) of any object that `name` names; None where there is none."""
        if not name or "\n" in name:
            return None
        with self._lock:
            return self._again(lambda: self._ask(name))

    def blob(self, oid: str) -> bytes:
        """Raises KeyError where there is no such blob."""
        with self._lock:
            kept = self._blobs.get(oid)
            if kept is not None:
                self._blobs.move_to_end(oid)
                return kept
            found = self.find(oid)
            if found is None or found[1] != "blob":
                raise KeyError(oid)
            self._keep_blob(found[0], found[2])
            return found[2]

    def size(self, oid: str) -> int:
        """Bytes of a blob, without reading them. Raises KeyError where there is no such blob."""
        with self._lock:
            kept = self._blobs.get(oid)
            if kept is not None:
                return len(kept)
            words = self._again(lambda: self._head(b"info ", oid))
            if words is None or words[1] != b"blob":
                raise KeyError(oid)
            return int(words[2])

    def prefetch(self, oids: Sequence[str]) -> None:
        """Reads blobs and trees ahead, many in one go, into what is kept; ids that name nothing are passed over."""
        with self._lock:
            missing = [oid for oid in dict.fromkeys(oids) if oid not in self._blobs and oid not in self._trees]
            for start in range(0, len(missing), _AHEAD):
                try:
                    self._read_ahead(missing[start : start + _AHEAD])
                except (OSError, EOFError):
                    self.close()  # answers may still be under way: the next question begins with a new reader
                    return

    def _read_ahead(self, oids: Sequence[str]) -> None:
        """All questions first, then all answers; so few questions that they fit into a pipe."""
        process = self._running()
        to = cast(IO[bytes], process.stdin)
        to.write(b"".join(b"contents " + oid.encode() + b"\n" for oid in oids))
        to.flush()
        for _oid in oids:
            words = self._answer(process)
            if words is None:
                continue
            data = self._content(process, words)
            if words[1] == b"blob":
                self._keep_blob(words[0].decode(), data)
            elif words[1] == b"tree":
                self._trees[words[0].decode()] = parse_tree(data, self._id_bytes)
                _shorten(self._trees)

    def tree(self, oid: str) -> RawTree:
        """Raises KeyError where there is no such tree."""
        with self._lock:
            kept = self._trees.get(oid)
            if kept is not None:
                self._trees.move_to_end(oid)
                return kept
            found = self.find(oid)
            if found is None or found[1] != "tree":
                raise KeyError(oid)
            tree = parse_tree(found[2], self._id_bytes)
            self._trees[oid] = tree
            _shorten(self._trees)
            return tree

    def root(self, commit: str) -> str:
        """The tree id of a commit (or of a tree itself) given by its full id. Raises KeyError."""
        with self._lock:
            kept = self._roots.get(commit)
            if kept is not None:
                return kept
            if commit in self._trees:
                return commit
            found = self.find(commit)
            if found is None or found[1] not in ("commit", "tree"):
                raise KeyError(commit)
            root = commit if found[1] == "tree" else found[2][5 : found[2].index(b"\n")].decode()
            self._roots[commit] = root
            _shorten(self._roots)
            return root

    def learn(self, commit: str, root: str, trees: Mapping[str, RawTree]) -> None:
        """Takes over what is known of a new commit, so that it need not be read."""
        with self._lock:
            self._trees.update(trees)
            self._roots[commit] = root
            _shorten(self._trees)
            _shorten(self._roots)

    def _keep_blob(self, oid: str, data: bytes) -> None:
        if len(data) > _BLOB_TOO_LARGE_TO_KEEP:
            return
        self._blobs[oid] = data
        self._blob_bytes += len(data)
        while self._blob_bytes > _BLOB_BYTES_KEPT:
            _, dropped = self._blobs.popitem(last=False)
            self._blob_bytes -= len(dropped)

    def _again(self, ask: Callable[[], _Told]) -> _Told:
        """The answer of a reader; one that died is started anew, once."""
        try:
            return ask()
        except (OSError, EOFError):
            self.close()
            try:
                return ask()
            except (OSError, EOFError) as fault:
                self.close()
                raise GitFailed(("cat-file",), -1, f"the object reader ended: {fault}") from fault

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = self._git.start("cat-file", "--batch-command", env={"GIT_OPTIONAL_LOCKS": "0"})
        return self._process

    def _head(self, word: bytes, name: str) -> list[bytes] | None:
        """Asks, and gives id, type and size of the answer; None where there is no such object."""
        process = self._running()
        to = cast(IO[bytes], process.stdin)
        to.write(word + name.encode("utf-8", "surrogateescape") + b"\n")
        to.flush()
        return self._answer(process)

    def _answer(self, process: subprocess.Popen[bytes]) -> list[bytes] | None:
        head = cast(IO[bytes], process.stdout).readline()
        if not head.endswith(b"\n"):
            raise EOFError("no answer")
        words = head.split()
        return words if len(words) == 3 and words[2].isdigit() else None

    def _content(self, process: subprocess.Popen[bytes], words: list[bytes]) -> bytes:
        size = int(words[2])
        data = cast(IO[bytes], process.stdout).read(size + 1)
        if len(data) != size + 1:
            raise EOFError("a cut answer")
        return data[:-1]

    def _ask(self, name: str) -> tuple[str, str, bytes] | None:
        words = self._head(b"contents ", name)
        if words is None:
            return None
        return words[0].decode(), words[1].decode(), self._content(self._running(), words)


def _shorten(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > _TREES_KEPT:
        kept.popitem(last=False)
