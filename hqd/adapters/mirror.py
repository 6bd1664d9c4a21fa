"""The mirrors of target repositories: bare clones under .git/hqd/repos of the HQ.

They stand in the HQ, not in the cache: accepted work that is not pushed yet exists nowhere else. No object is ever
dropped from them (nothing is pruned), and a task's branch that goes away leaves its tip under refs/hqd/gone.

What a mirror's refs mean: refs/heads/BRANCH is the target's main as last fetched; refs/heads/hqd/TASK a task's branch
as people see it; refs/hqd/there/TASK that branch as the remote was last known to have it. A difference between the
remote and refs/hqd/there is a person's act, and theirs wins.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from hqd.adapters.branches import GitBranches, Law
from hqd.adapters.branches.leftovers import clear
from hqd.adapters.git import DURABLE, Git, GitFailed
from hqd.adapters.objects import Objects
from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.errors import Expected, RemoteRefused
from hqd.model.duration import seconds
from hqd.model.names import branch as branch_name
from hqd.model.problem import one_line
from hqd.model.remote import Pushed, PushOutcome, RefUpdate
from hqd.model.settings import Repository
from hqd.model.spelling import meant
from hqd.ports import Remote

_HEADS = "refs/heads/"
_TASKS = f"{_HEADS}{branch_name('')}"
_THERE = "refs/hqd/there/"
_GONE = "refs/hqd/gone/"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}")
_MANY_PACKS = 50
_SUBMODULE = re.compile(r"^\s*path\s*=\s*(\S.*?)\s*$", re.MULTILINE)
_LFS = re.compile(r"^[^#\n]*\sfilter=lfs\b", re.MULTILINE)
_NAMED, _LONGEST = 5, 100_000
_FIRST_FETCH = 1800.0
"""Seconds that a fetch may take: the first one brings all of a repository."""

Token = Callable[[Repository], str | None]


class Mirror:
    """Port Remote for one target repository, whose `branches` are kept in step with what is fetched and pushed."""

    def __init__(self, name: str, repository: GitRepository, settings: Repository, remote: Remote) -> None:
        self.name = name
        self.settings = settings
        self.repository = repository
        self.branches = GitBranches(repository, law=Law((), settings.protected, state=False))
        self._remote = remote
        self._busy = threading.RLock()

    @property
    def url(self) -> str:
        return self._remote.url

    @property
    def main(self) -> str:
        """The full name of the branch that work lands on."""
        return f"{_HEADS}{self.settings.branch}"

    def fetch(self) -> Mapping[str, str]:
        """As the port; and takes over the target's main, and what people did to task branches.

        Raises RemoteRefused("missing") also where the target has no such branch.
        """
        with self._busy:
            found = self._remote.fetch()
            self._follow(found)
            self._tidy()
        if self.main not in found:
            raise RemoteRefused(
                "missing",
                f"{self.url} has no branch {self.settings.branch}",
                remedy=f"set [repos.{self.name}] branch, or push that branch",
            )
        return found

    def push(self, updates: Sequence[RefUpdate]) -> tuple[Pushed, ...]:
        with self._busy:
            answers = self._remote.push(updates)
            git = self.repository.git
            for update, answer in zip(updates, answers, strict=True):
                if answer.outcome is not PushOutcome.DONE:
                    continue
                if update.ref == self.main and update.commit is not None:
                    git.quick(*DURABLE, "update-ref", self.main, update.commit)
                elif update.ref.startswith(_TASKS):
                    self._set(f"{_THERE}{update.ref.removeprefix(_TASKS)}", update.commit)
            return answers

    def descends(self, old: str, new: str) -> bool:
        """Whether `new` is `old` or has it among its ancestors; False where one of them is not here."""
        found = self.repository.git.read("merge-base", "--is-ancestor", old, new, codes=(0, 1, 128))
        return found.code == 0

    def there(self, task: str) -> str | None:
        """The tip of a task's branch as the remote was last known to have it."""
        return self.repository.resolve(f"{_THERE}{task}")

    def unfilled(self) -> tuple[str, ...]:
        modules = _SUBMODULE.findall(self._read(".gitmodules"))
        named = ", ".join(one_line(path)[:60] for path in modules[:_NAMED]) + (", …" if len(modules) > _NAMED else "")
        fill = f"[repos.{self.name}] setup may fill them: git submodule update --init"
        found = [f"submodules stay empty ({named}); {fill}"] if modules else []
        if _LFS.search(self._read(".gitattributes")):
            found.append("files of git LFS stay the pointers that git has; what a setup makes of them counts as work")
        return tuple(found)

    def _read(self, path: str) -> str:
        """A file at the root of main; empty where it is not there. Never followed, if it is a link."""
        done = self.repository.git.read("cat-file", "blob", f"{self.main}:{path}", codes=(0, 128))
        return done.out[:_LONGEST].decode("utf-8", "replace") if done.code == 0 else ""

    def _follow(self, found: Mapping[str, str]) -> None:
        if self.main in found:
            self._set(self.main, found[self.main])
        now = {ref.removeprefix(_TASKS): commit for ref, commit in found.items() if ref.startswith(_TASKS)}
        listed = self.repository.git.read("for-each-ref", "--format=%(objectname) %(refname)", _THERE).text.splitlines()
        pairs = (line.split(" ", 1) for line in listed)
        before = {ref.removeprefix(_THERE): commit for commit, ref in pairs}
        for task in now.keys() | before.keys():
            if now.get(task) != before.get(task):
                self._take(task, now.get(task))

    def _take(self, task: str, commit: str | None) -> None:
        """A person set a task's branch on the remote, or took it away."""
        old = self.repository.resolve(f"{_TASKS}{task}")
        if old is not None and old != commit:
            self._set(f"{_GONE}{task}/{old[:12]}", old)
        self._set(f"{_TASKS}{task}", commit)
        self._set(f"{_THERE}{task}", commit)

    def _set(self, ref: str, commit: str | None) -> None:
        here = self.repository.resolve(ref)
        if commit is not None and here != commit:
            self.repository.git.quick(*DURABLE, "update-ref", ref, commit)
        elif commit is None and here is not None:
            self.repository.git.quick(*DURABLE, "update-ref", "-d", ref)

    def _tidy(self) -> None:
        """Many packs become few; nothing that no ref names is left out."""
        packs = self.repository.common_dir / "objects" / "pack"
        if len(list(packs.glob("*.pack"))) > _MANY_PACKS:
            self.repository.git.quick("repack", "--quiet", "-d", "--geometric=2", codes=(0, 1, 128))


class Mirrors:
    """All mirrors of an HQ, by name in `[repos.*]`. `folder` is .git/hqd/repos. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str],
        repos: Callable[[], Mapping[str, Repository]],
        token: Token = lambda _: None,
        stop: threading.Event | None = None,
    ) -> None:
        self._folder = folder
        self._env = env
        self._repos = repos
        self._token = token
        self._stop = stop
        self._lock = threading.Lock()
        self._open: dict[str, Mirror] = {}

    def get(self, name: str) -> Mirror:
        """Made when it is first asked for, and made anew when its settings have changed. Raises Expected."""
        repos = self._repos()
        settings = repos.get(name)
        if settings is None:
            remedy = meant(name, repos) if repos else f"add [repos.{name}] with its url"
            raise Expected(f"no repository {name} in hqd.toml", remedy=remedy)
        with self._lock:
            mirror = self._open.get(name)
            if mirror is None or mirror.settings != settings:
                repository = mirror.repository if mirror is not None else None
                if repository is None or repository.branch != settings.branch:
                    repository = self._repository(name, settings)
                self._open[name] = mirror = Mirror(name, repository, settings, self._remote(repository, settings))
            return mirror

    def opened(self) -> tuple[Mirror, ...]:
        """Those asked for so far: where work may have come home to in this process."""
        with self._lock:
            return tuple(self._open.values())

    def path(self, name: str) -> Path:
        plain = name if _PLAIN.fullmatch(name) else f"{layout.slug(name)}-{sha256(name.encode()).hexdigest()[:8]}"
        return self._folder / f"{plain}.git"

    def setup(self, name: str) -> tuple[tuple[str, ...], float]:
        """The command that makes a fresh copy ready for work, empty: none; and the seconds that it may take."""
        settings = self._repos().get(name)
        return (settings.setup, seconds(settings.setup_timeout)) if settings is not None else ((), 0.0)

    def close(self) -> None:
        with self._lock:
            for mirror in self._open.values():
                mirror.repository.close()
            self._open.clear()

    def _remote(self, repository: GitRepository, settings: Repository) -> Remote:
        return RemoteOf(
            repository.git,
            settings.url,
            token=lambda: self._token(settings),
            timeout=_FIRST_FETCH,
            stop=self._stop,
        )

    def _repository(self, name: str, settings: Repository) -> GitRepository:
        place = self.path(name)
        if not (place / "HEAD").exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                Git(place.parent, self._env).quick("init", "--quiet", "--bare", "--template=", str(place))
            except GitFailed as failed:
                raise Expected(f"no mirror of {name}: {failed.message}") from failed
        git = Git(place, self._env, {"GIT_DIR": str(place)})
        made = GitRepository(place, place, place, settings.branch, "sha1", git, Objects(git, "sha1"))
        made.private.mkdir(exist_ok=True)
        clear(made)
        return made
