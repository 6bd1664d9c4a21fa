"""One working copy that agents work in, and the difference that they leave.

The law of this file: nothing that an agent can write decides what git does. A slot has two git directories. `work/.git`
is the agent's: made anew for each attempt, thrown away after it, and never read by hqd. `store.git` is hqd's own, with
a configuration written anew before each use; it looks at the same files through an index of its own, so that the
difference is what the files say, whatever the agent did to its index, its commits, its hooks or its configuration.
Both borrow the objects of the home repository, as `git clone --shared` does.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hqd.adapters import process
from hqd.adapters.discard import discard, remove_tree
from hqd.adapters.git import DURABLE, Git, GitFailed, trouble
from hqd.errors import Expected
from hqd.model.record import Work

WORK_REFS = "refs/hqd/work"
_HEAD = "refs/heads/work"
_GITLINK = "160000"
_UNPACK_LIMIT = 100  # objects; git's own limit
_NESTING = 8  # rounds in which repositories within repositories are taken apart
_TRAILER = "Hqd-Work"


@dataclass(frozen=True, slots=True)
class Home:
    """Where objects are borrowed from, and brought home to. `written` names the folders that a copy writes out of a
    commit, by commit: None is everything; else only these folders, with the files directly in their parents."""

    git: Git
    objects: Path
    object_format: str = "sha1"
    written: Callable[[str], Sequence[str] | None] = lambda _: None
    sparse_index: bool = True


class WorkingCopy:
    """The copy of one slot, made clean by `prepare`. `path` is where the agent works."""

    def __init__(self, folder: Path, slot: int, home: Home, identity: tuple[str, str], max_bytes: int) -> None:
        self._folder = folder
        self._slot = slot
        self._home = home
        self._identity = identity
        self._max_bytes = max_bytes
        self._store = folder / "store.git"
        self._task = ""
        self._base = ""
        self._folders: Sequence[str] | None = None
        self._disregarded = b""  # lines of info/exclude

    @property
    def path(self) -> Path:
        return self._folder / "work"

    @property
    def slot(self) -> int:
        return self._slot

    @property
    def base(self) -> str:
        """The commit that the difference is taken to."""
        return self._base

    @property
    def _git(self) -> Git:
        return Git(self.path, _own_configuration(self._home.git.env), self._place)

    @property
    def _place(self) -> Mapping[str, str]:
        return {
            "GIT_DIR": str(self._store),
            "GIT_WORK_TREE": str(self.path),
            "GIT_INDEX_FILE": str(self._store / "index"),
        }

    def prepare(self, task: str, base: str) -> None:
        """Makes it a clean copy of `base` for `task`, whatever was here before; anew where that fails.

        Raises GitFailed, OSError.
        """
        self._task, self._base, self._folders = task, base, self._home.written(base)
        self._disregarded = b""
        process.evict(self._folder)
        try:
            self._reset()
        except (OSError, GitFailed):
            remove_tree(self._folder)
            self._reset()

    def disregard(self) -> None:
        """What is new here now (a set-up made it) is nobody's work, even where the repository does not ignore it."""
        self._pin()
        listed = self._git.quick("status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames").out
        new = [entry[3:] for entry in listed.split(b"\0") if entry.startswith(b"?? ")]
        self._disregarded = b"".join(b"/" + _ignored(name) + b"\n" for name in new)
        self._pin()
        (self.path / ".git" / "info" / "exclude").write_bytes(self._disregarded)

    def apply(self, patch: bytes) -> None:
        """Lays a patch on top. Raises Expected if it does not fit; the copy is as before then."""
        if not patch.strip():
            return
        self._pin()
        try:
            self._git.quick("apply", "--index", "--binary", "--whitespace=nowarn", "-", stdin=patch)
        except GitFailed as failed:
            raise Expected(
                f"the failed attempt's patch does not fit on {self._base[:12]}: {failed.message}",
                remedy="go on from the step's base",
            ) from failed

    def collect(self, message: str) -> Work:
        """Commits the difference to the base, fsynced in the home repository, under refs/hqd/work/TASK/….

        Raises Expected: too much of it, or something that git's own checks refuse.
        """
        files = self._stage()
        if not files:
            return Work(base=self._base)
        git = self._git
        name, email = self._identity
        roles = ("AUTHOR", "COMMITTER")
        who = {f"GIT_{role}_{key}": value for role in roles for key, value in (("NAME", name), ("EMAIL", email))}
        text = with_trailer(message, self._task).encode("utf-8", "surrogateescape")
        git.quick("update-ref", "--no-deref", "HEAD", self._base)
        git.quick("commit", "--quiet", "--no-verify", "--cleanup=verbatim", "--file=-", stdin=text, env=who)
        head = git.quick("rev-parse", "HEAD").text
        git.quick("update-ref", _HEAD, head)
        self._bring_home(head)
        return Work(base=self._base, head=head, files=files)

    def patch(self, limit: int) -> bytes:
        """The binary patch from the base to what is here now; empty where it is larger than `limit` bytes."""
        self._stage()
        child = self._git.start(
            "diff", "--cached", "--binary", "--full-index", "--patch", "--no-renames", "--no-color",
            "--no-ext-diff", "--no-textconv", self._base, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with child:
            data: bytes = child.stdout.read(limit + 1) if child.stdout is not None else b""
            if len(data) > limit:
                child.kill()
                return b""
        if child.returncode != 0:
            raise GitFailed(("diff",), child.returncode, "the patch could not be made")
        return data

    # ---- making it clean

    def _reset(self) -> None:
        for place in (self._folder, self.path, self._store):  # before anything below them is touched
            if place.is_symlink() or not place.is_dir():
                discard(place)
        self.path.mkdir(parents=True, exist_ok=True)
        discard(self.path / ".git")
        if not (self._store / "objects").is_dir():
            discard(self._store)
            self._make_store()
        self._pin()
        git = self._git
        git.quick("read-tree", "--reset", "-u", self._base)
        git.quick("clean", "-ffdxq")
        git.quick("update-ref", "--no-deref", "HEAD", self._base)
        self._make_agents_repository()

    def _make_store(self) -> None:
        Git(self._folder, _own_configuration(self._home.git.env)).quick(
            "init", "--quiet", "--bare", "--template=", f"--object-format={self._home.object_format}", str(self._store)
        )

    def _pin(self) -> None:
        """Writes all that tells git what to do with the store anew, and takes away what a crash left locked.

        Raises Expected where a link stands in the place of one of the slot's folders.
        """
        if any(place.is_symlink() for place in (self._folder, self.path, self._store)):
            raise Expected("the agent has put a link in the place of its working copy")
        info = self._store / "info"
        for stale in (
            *self._store.glob("*.lock"),
            self._store / "hooks",
            self._store / "config.worktree",
            info / "attributes",
        ):
            discard(stale)
        info.mkdir(exist_ok=True)
        (info / "exclude").write_bytes(self._disregarded)
        (self._store / "config").write_text(self._configuration(bare=True), encoding="utf-8")
        _borrow(self._store, self._home.objects)
        if self._folders is not None:
            patterns = cone(self._folders)
            (info / "sparse-checkout").write_text(patterns, encoding="utf-8", errors="surrogateescape")

    def _configuration(self, bare: bool) -> str:
        text = _configuration(self._home.object_format, bare)
        if self._folders is None:
            return text
        text += "[core]\n\tsparseCheckout = true\n\tsparseCheckoutCone = true\n"
        return text + f"[index]\n\tsparse = {str(self._home.sparse_index).lower()}\n"

    def _make_agents_repository(self) -> None:
        """A plain repository on branch hqd/TASK at the base, for the agent to do with as it likes."""
        own = self.path / ".git"
        branch = own / "refs" / "heads" / "hqd" / self._task
        branch.parent.mkdir(parents=True)
        (own / "info").mkdir()
        branch.write_text(self._base + "\n", encoding="ascii")
        (own / "HEAD").write_text(f"ref: refs/heads/hqd/{self._task}\n", encoding="utf-8")
        text = self._configuration(bare=False)
        (own / "config").write_text(text + "[user]\n\tname = agent\n\temail = agent@localhost\n", encoding="utf-8")
        _borrow(own, self._home.objects)
        shutil.copyfile(self._store / "index", own / "index")
        if self._folders is not None:
            shutil.copyfile(self._store / "info" / "sparse-checkout", own / "info" / "sparse-checkout")

    # ---- the difference

    def _stage(self) -> tuple[str, ...]:
        """Puts the files as they are into hqd's index; the paths that differ from the base. Raises Expected.

        Only calls that leave a sparse index folded (unlike `write-tree` and `diff-index` of git 2.39): in an HQ with
        20,000 finished tasks that is 15 ms a call instead of 250.
        """
        process.evict(self._folder)
        self._pin()
        git = self._git
        submodules = list(_gitlinks(git.quick("ls-files", "--stage", "--sparse", "-z").out))
        for path in submodules:
            self._take_apart(path)  # git would run in there, by the configuration it finds
        self._refuse_too_much(self._without_nested(git))
        theirs = [f":(exclude,top,literal){path}" for path in submodules]  # a set-up may have filled them: no work
        git.quick("add", "--all", "--sparse", "--", ".", *theirs)
        changes = tuple(
            _changes(git.quick("diff", "--cached", "--raw", "-z", "--no-renames", "--no-ext-diff", self._base).out)
        )
        links = [path for before, after, path in changes if after == _GITLINK and before != _GITLINK]
        if links:
            raise Expected(f"the attempt left a submodule, which cannot be kept: {links[0]}")
        return tuple(path for _, _, path in changes)

    def _without_nested(self, git: Git) -> list[bytes]:
        """The new and changed paths, after every repository that the agent made in here has become plain files."""
        for _ in range(_NESTING):
            listed = git.quick(
                "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all"
            ).out.split(b"\0")
            changed = [entry[3:] for entry in listed if entry]  # after two letters and a blank
            nested = [name for name in changed if name.endswith(b"/")]
            if not nested:
                return changed
            for name in nested:
                self._take_apart(os.fsdecode(name).rstrip("/"))
        raise Expected(f"repositories within repositories, more than {_NESTING} deep: {os.fsdecode(nested[0])}")

    def _take_apart(self, path: str) -> None:
        """Deletes the git directory of the repository at `path` in the copy; never through a link."""
        place = self.path / path
        if place.resolve() == self.path.resolve() / path:
            discard(place / ".git")

    def _refuse_too_much(self, changed: Sequence[bytes]) -> None:
        total = 0
        for name in changed:
            with contextlib.suppress(OSError):
                total += os.lstat(os.fsencode(self.path) + b"/" + name).st_size
        if total > self._max_bytes:
            raise Expected(
                f"the attempt left {total} bytes of new and changed files; at most {self._max_bytes} are kept",
                remedy="ignore build products in .gitignore",
            )

    def _bring_home(self, head: str) -> None:
        """Packs what is new, has git check it as `fsck --strict` would, and only then adds it to the home repository.

        A fetch would do the same in half a second for 20,000 finished tasks, since it walks all that is there; and it
        leaves behind what it refuses.
        """
        wanted = f"{head}\n^{self._base}\n".encode()
        try:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                name = self._git.quick("pack-objects", "--revs", "--quiet", f"{folder}/new", stdin=wanted).text
                pack = Path(folder, f"new-{name}.pack")
                self._git.quick("index-pack", "--fsck-objects", "-o", f"{folder}/checked.idx", str(pack))
                self._add_pack(pack)
            self._home.git.quick(*DURABLE, "update-ref", f"{WORK_REFS}/{self._task}/{head[:12]}", head)
        except GitFailed as failed:
            raise trouble(failed.stderr) or Expected(f"the work cannot be brought home: {failed.message}") from failed

    def _add_pack(self, pack: Path) -> None:
        """As git receives a push: few objects go loose, many stay a pack."""
        with pack.open("rb") as source, tempfile.TemporaryFile() as said:
            few = int.from_bytes(source.read(12)[8:], "big") < _UNPACK_LIMIT
            source.seek(0)
            how = ("unpack-objects", "-q") if few else ("index-pack", "--stdin")
            with self._home.git.start(*DURABLE, *how, stderr=said) as child:
                if child.stdin is not None:
                    with contextlib.suppress(BrokenPipeError):
                        shutil.copyfileobj(source, child.stdin)
                    with contextlib.suppress(BrokenPipeError):
                        child.stdin.close()
                child.wait()
            if child.returncode != 0:
                said.seek(0)
                raise GitFailed(how, child.returncode, said.read().decode("utf-8", "replace"))


def with_trailer(message: str, task: str) -> str:
    """The message with `Hqd-Work: TASK` among its trailers."""
    trailer = f"{_TRAILER}: {task}"
    text = message.strip() or "Work of an agent"
    if trailer in text.splitlines():
        return text + "\n"
    last = text.rpartition("\n\n")[2].splitlines() if "\n\n" in text else []
    trailers = bool(last) and all(": " in line and " " not in line.partition(": ")[0] for line in last)
    return f"{text}{'' if trailers else chr(10)}\n{trailer}\n"


def cone(folders: Sequence[str]) -> str:
    """Patterns of git's cone mode: these folders whole, and the files directly in each of their parents."""
    parents = {"/".join(folder.split("/")[:depth]) for folder in folders for depth in range(1, folder.count("/") + 1)}
    lines = ["/*", "!/*/"]
    for parent in sorted(parents):
        lines += [f"/{_escaped(parent)}/", f"!/{_escaped(parent)}/*/"]
    lines += [f"/{_escaped(folder)}/" for folder in sorted(folders)]
    return "\n".join(lines) + "\n"


def _own_configuration(env: Mapping[str, str]) -> dict[str, str]:
    """No configuration but the store's own: what a person set for themselves must not change what is collected."""
    return {**env, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def _configuration(object_format: str, bare: bool) -> str:
    version, extension = ("1", "[extensions]\n\tobjectFormat = sha256\n") if object_format == "sha256" else ("0", "")
    return (
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = {str(bare).lower()}\n\tfilemode = true\n{extension}"
    )


def _borrow(repository: Path, objects: Path) -> None:
    info = repository / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{objects}\n", encoding="utf-8", errors="surrogateescape")


def _escaped(path: str) -> str:
    return "".join("\\" + letter if letter in "\\*?[]" else letter for letter in path)


def _ignored(name: bytes) -> bytes:
    """A path as a pattern of gitignore that fits nothing else."""
    escaped = re.sub(rb"([\\*?\[\]!# ])", rb"\\\1", name)
    return escaped.replace(b"\n", b"?")


def _gitlinks(listing: bytes) -> Iterator[str]:
    for line in listing.split(b"\0"):
        if line.startswith(_GITLINK.encode()):
            yield os.fsdecode(line.partition(b"\t")[2])


def _changes(raw: bytes) -> Iterator[tuple[str, str, str]]:
    """(mode before, mode after, path) of `diff --raw -z` without renames."""
    parts = raw.split(b"\0")
    for facts, path in zip(parts[0::2], parts[1::2], strict=False):
        before, after = facts.decode("ascii").lstrip(":").split(" ")[:2]
        yield before, after, os.fsdecode(path)
