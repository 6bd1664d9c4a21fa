"""The pool of working copies, outside the HQ.

A slot is a number and a folder in the cache, lent under a lock that the kernel gives back when hqd dies. What a crash
or an agent left in a slot is cleaned at the next loan, and a slot that cannot be cleaned is made anew; nothing in the
cache is worth keeping.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hqd.adapters import process
from hqd.adapters.environment import passing
from hqd.adapters.git import GitFailed, trouble
from hqd.adapters.mirror import Mirror, Mirrors
from hqd.adapters.repository import GitRepository
from hqd.adapters.working_copy import WORK_REFS, Home, WorkingCopy
from hqd.codec import layout
from hqd.errors import Expected, SetupFailed, joined

_SLOTS = 4096
_NOT_WRITTEN = (layout.RUNS, *(layout.STATE_FOLDERS[state] for state in sorted(layout.DATED_STATES)))
"""Folders of an HQ that no agent needs and that only grow."""


class PooledCopies:
    """Copies of the HQ, and of the target repositories that have `mirrors`, below the folder `cache`.

    `env` is the environment of git and of setup commands. `sparse` as in `[hq] sparse`. Work on the HQ comes home
    into it; work on a target repository into its mirror.
    """

    def __init__(
        self,
        repository: GitRepository,
        cache: Path,
        env: Mapping[str, str],
        mirrors: Mirrors | None = None,
        *,
        sparse: str = "index",
        identity: tuple[str, str] = ("hqd", "hqd@localhost"),
        max_bytes: int = 200_000_000,
    ) -> None:
        self._repository = repository
        self._cache = cache
        self._env = env
        self._mirrors = mirrors
        self._sparse = sparse
        self._identity = identity
        self._max_bytes = max_bytes

    @contextlib.contextmanager
    def borrow(
        self, task: str, repo: str | None, base: str, stop: threading.Event | None = None
    ) -> Iterator[WorkingCopy]:
        """A clean copy at commit `base`, set up; nobody else has its slot. `stop` ends a set-up. Raises Expected."""
        mirror = self._mirror(repo)
        home = self._home(mirror)
        with self._slot() as slot:
            name = "hq" if mirror is None else f"repo-{mirror.repository.root.stem}"
            copy = WorkingCopy(self._cache / str(slot) / name, slot, home, self._identity, self._max_bytes)
            try:
                commit = self._commit(home, mirror, base)
                copy.prepare(task, commit)
            except GitFailed as failed:
                raise trouble(failed.stderr) or Expected(f"no working copy of {base}: {failed.message}") from failed
            except OSError as error:
                raise trouble(str(error)) or Expected(f"no working copy of {base}: {error}") from error
            self._set_up(repo, copy, stop)
            yield copy

    def forget(self, task: str) -> None:
        """Drops the names under which a task's work was brought home; what a branch or main has, stays."""
        _forget(self._repository, task)
        for mirror in self._mirrors.opened() if self._mirrors is not None else ():
            _forget(mirror.repository, task)

    @contextlib.contextmanager
    def _slot(self) -> Iterator[int]:
        self._cache.mkdir(parents=True, exist_ok=True)
        for number in range(1, _SLOTS + 1):
            with _locked(self._cache / f"{number}.lock", wait=False) as free:
                if free:
                    yield number
                    return
        raise Expected(f"all {_SLOTS} working copies are lent", remedy="lower limits.concurrency")

    def _mirror(self, repo: str | None) -> Mirror | None:
        if repo is None:
            return None
        if self._mirrors is None:
            raise Expected(f"no repository {repo} in hqd.toml", remedy=f"add [repos.{repo}] with its url")
        return self._mirrors.get(repo)

    def _home(self, mirror: Mirror | None) -> Home:
        if mirror is not None:
            return Home(mirror.repository.git, mirror.repository.common_dir / "objects")
        objects = self._repository.common_dir / "objects"
        written = self._folders if self._sparse != "off" else lambda _: None
        return Home(self._repository.git, objects, self._repository.object_format, written, self._sparse == "index")

    def _folders(self, base: str) -> Sequence[str]:
        """The folders of an HQ that are written out: all but those that only grow."""
        git = self._repository.git
        found = []
        for inside in ("", f"{layout.WORKSPACE}/"):
            listing = git.read("ls-tree", "-d", "-z", "--name-only", base, *([inside] if inside else [])).out
            found += [os.fsdecode(name) for name in listing.split(b"\0") if name]
        return [folder for folder in found if folder != layout.WORKSPACE and folder not in _NOT_WRITTEN]

    def _commit(self, home: Home, mirror: Mirror | None, base: str) -> str:
        """The id of the commit; a target repository is fetched where it is not here yet."""
        asked = ("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
        if mirror is not None and home.git.read(*asked, codes=(0, 1, 128)).code != 0:
            mirror.fetch()
        return home.git.read(*asked).text

    def _set_up(self, repo: str | None, copy: WorkingCopy, stop: threading.Event | None) -> None:
        argv, limit = self._mirrors.setup(repo) if repo is not None and self._mirrors is not None else ((), 0.0)
        if repo is None or not argv:
            return
        command = f"setup of {repo} failed: {' '.join(argv)}"
        try:
            result = process.run(argv, env=passing(self._env), cwd=copy.path, timeout=limit, stop=stop)
        except Expected as fault:
            raise SetupFailed(repo, f"{command}: {fault.message}") from fault
        if not result.ok:
            said = result.stderr.decode("utf-8", "replace").strip()[-600:]
            late = f"not done after {limit:g} s ([repos.{repo}] setup_timeout)"
            cause = late if result.timed_out else f"exit code {result.exit}"
            raise SetupFailed(repo, joined(f"{command}: {'stopped' if result.stopped else cause}", said, ": "))
        copy.disregard()


def _forget(repository: GitRepository, task: str) -> None:
    git, common = repository.git, repository.common_dir
    packed = common / "packed-refs"  # most tasks bring no files home: two looks are cheaper than two processes
    known = packed.read_bytes() if packed.exists() else b""
    if not (common / WORK_REFS / task).exists() and f" {WORK_REFS}/{task}/".encode() not in known:
        return
    refs = git.read("for-each-ref", "--format=%(refname)", f"{WORK_REFS}/{task}/").text.split()
    git.quick("update-ref", "--stdin", "-z", stdin=b"".join(f"delete {ref}\0\0".encode() for ref in refs))


@contextlib.contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Holds a lock file; false where another has it and `wait` is not wanted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
