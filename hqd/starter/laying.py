"""Lays an HQ down: its files, its git repository, its first commit.

Law: a file that is there is never overwritten, work that a person has staged is never committed, and where
anything fails, what was laid down goes away again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hqd.adapters.git import DURABLE, Git, GitFailed, discover
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.codec.starter import Kind, starter_settings
from hqd.errors import Expected, NotAnHQ
from hqd.starter import starter_root

MAIN = "main"
KEEP = ".gitkeep"
IGNORE = ".gitignore"
IGNORED = f"{layout.CACHE}/"
GENERAL = ("general.toml", "general/")
"""What of the starter's playbooks `minimal` keeps."""
OWN = ("docs.toml",)
"""Playbooks of hqd's own repository: they stand among the samples there, and are none."""

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Laid:
    """A new HQ. `existed`: the repository was there before; `notes`: what the person should know."""

    root: Path
    branch: str
    commit: str
    paths: tuple[str, ...]
    existed: bool
    notes: tuple[str, ...]


class InTheWay(Expected):
    """Files or folders stand where the HQ's would go. Nothing was changed."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        named = sorted(paths)
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        if layout.SETTINGS in named:
            super().__init__(
                f"{root} is an HQ already: {layout.SETTINGS} is there", remedy="`hqd check` says whether it is in order"
            )
        else:
            super().__init__(
                f"nothing was changed: in {root} there is already {', '.join(named[:5])}{more}",
                remedy="move that away, or take another folder",
            )
        self.paths = tuple(named)


def starter_files(agent: Kind, *, minimal: bool) -> dict[str, bytes]:
    """The files of a new HQ by path. `minimal`: of the playbooks only `general`. Raises Expected where none are."""
    source = starter_root()
    files = {f"{folder}/{KEEP}": b"" for folder in (*layout.KEPT_FOLDERS, layout.PLAYBOOKS, layout.LESSONS)}
    for name in (f"{layout.WORKSPACE}/.gitattributes", f"{layout.WORKSPACE}/README.md", f"{layout.LESSONS}/README.md"):
        files[name] = (source / name).read_bytes()
    playbooks = source / layout.PLAYBOOKS
    for path in sorted(playbooks.rglob("*")):
        name = path.relative_to(playbooks).as_posix()
        wanted = name not in OWN and (not minimal or name.startswith(GENERAL))
        if path.is_file() and not path.name.startswith(".") and wanted:
            files[f"{layout.PLAYBOOKS}/{name}"] = path.read_bytes()
    files[layout.SETTINGS] = starter_settings(agent).encode()
    return files


def lay_down(root: Path, files: Files, env: Mapping[str, str], message: str) -> Laid:
    """Makes `root` an HQ with these files and commits them. The folder and its repository may be there already.

    Raises InTheWay, Expected (no branch to be on, a merge in progress, cannot be written); then nothing was changed.
    """
    with _undone_on_failure() as done:
        _make_folder(root, done)
        notes: list[str] = []
        existed = _is_repository(root, env, notes)
        if not existed:
            Git(root, env).quick("init", "--quiet", f"--initial-branch={MAIN}", str(root))
            done.repository = root / ".git"
        git = Git(root, env)
        branch = _branch(root, git, env, notes)
        whole = {**files, layout.SETTINGS: _on_branch(files[layout.SETTINGS], branch)}
        _refuse_what_is_there(root, git, whole)
        done.git = git
        paths = _write(root, whole, done)
        paths += _ignore(root, git, done, notes)
        commit = _commit(git, paths, message, env, notes, done)
    return Laid(root, branch, commit, tuple(paths), existed, tuple(notes))


@dataclass
class _Done:
    """What was made so far, to be undone."""

    git: Git | None = None
    repository: Path | None = None
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    staged: bytes = b""  # the paths given to `git add`
    before: dict[Path, bytes] = field(default_factory=dict)  # files that were there and were added to


@contextmanager
def _undone_on_failure() -> Iterator[_Done]:
    done = _Done()
    try:
        yield done
    except BaseException as fault:
        _undo(done)
        if isinstance(fault, OSError):
            where = f"{fault.filename}: " if fault.filename else ""
            raise Expected(f"{where}{fault.strerror or fault}", remedy="nothing was left behind; mend it") from fault
        raise


def _undo(done: _Done) -> None:
    if done.git is not None and done.staged and done.repository is None:
        drop = ("reset", "--quiet", "HEAD") if _has_commit(done.git) else ("rm", "--cached", "--force", "--quiet")
        done.git.quick(*drop, *_FROM_STDIN, stdin=done.staged, env=_LITERAL, codes=(0, 1, 128))
    for path, data in done.before.items():
        path.write_bytes(data)
    for path in done.files:
        path.unlink(missing_ok=True)
    if done.repository is not None:
        shutil.rmtree(done.repository, ignore_errors=True)
    for folder in reversed(done.folders):
        try:
            folder.rmdir()
        except OSError:
            continue  # somebody put something there meanwhile


_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}
_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")


def _make_folder(root: Path, done: _Done) -> None:
    missing = []
    place = root
    while not place.exists() and not place.is_symlink():
        missing.append(place)
        place = place.parent
    if not place.is_dir():
        raise Expected(f"{place} is no folder", remedy="name a folder that is there, or a new one")
    for folder in reversed(missing):
        folder.mkdir()
        done.folders.append(folder)


def _is_repository(root: Path, env: Mapping[str, str], notes: list[str]) -> bool:
    """Whether `root` is the top of a repository. Raises Expected for one that git refuses, or a bare one."""
    try:
        top = discover(root, env)[0]
    except NotAnHQ as fault:
        said = str(getattr(fault.__cause__, "stderr", ""))
        if "not a git repository" in said and not os.path.lexists(root / ".git"):
            return False
        raise Expected(
            f"git does not take {root} for the top of a repository: {' '.join(said.split())[:300]}",
            remedy="an HQ is a repository with a working tree of its own",
        ) from fault
    if top.resolve() == root.resolve():
        return True
    notes.append(f"it stands inside the repository {top}, and is one of its own: let that one ignore it")
    if Git(root, env).read("ls-files", "-z", "--", ".").out:
        raise Expected(
            f"{root} holds files of the repository {top}", remedy=f"take a folder that {top} knows nothing of"
        )
    return False


def _branch(root: Path, git: Git, env: Mapping[str, str], notes: list[str]) -> str:
    """The branch that will be the HQ's main: `main`, or the one of a repository that has no `main`."""
    found = git.read("symbolic-ref", "--quiet", "--short", "HEAD", codes=(0, 1)).text
    if not found:
        raise Expected(f"no branch is checked out in {root}", remedy=f"git switch {MAIN}")
    if found != MAIN:
        if not _has_commit(git) and not git.read("remote").text:
            git.quick("symbolic-ref", "HEAD", f"refs/heads/{MAIN}")  # a branch without commits is only a name
            found = MAIN
        elif git.read("rev-parse", "--verify", "--quiet", f"refs/heads/{MAIN}", codes=(0, 1)).text:
            raise Expected(
                f"{root} has {found} checked out, and there is a branch {MAIN}", remedy=f"git switch {MAIN}, then again"
            )
        else:
            notes.append(f'the repository\'s branch is {found}: hqd.toml says branch = "{found}"')
    repository = GitRepository.open(root, env, found)
    try:
        busy = repository.occupied()
    finally:
        repository.close()
    if busy is not None:
        raise busy
    return found


def _has_commit(git: Git) -> bool:
    return bool(git.read("rev-parse", "--verify", "--quiet", "HEAD", codes=(0, 1)).text)


def _on_branch(settings: bytes, branch: str) -> bytes:
    """hqd.toml with the branch in it, where it is not `main`."""
    if branch == MAIN:
        return settings
    line = f"branch = {json.dumps(branch, ensure_ascii=False)}".encode()
    template = f'# branch = "{MAIN}"'.encode()
    return settings.replace(template, line) if template in settings else settings.replace(b"[hq]", b"[hq]\n" + line)


def _refuse_what_is_there(root: Path, git: Git, files: Files) -> None:
    """Raises InTheWay. A file of the same bytes is none: an earlier `init` may have been cut off."""
    if git.read("cat-file", "-e", f"HEAD:{layout.SETTINGS}", codes=(0, 1, 128)).code == 0:
        raise InTheWay(root, [layout.SETTINGS])
    blocking = {path for path, data in files.items() if _blocked(root, path, data)}
    if blocking:
        raise InTheWay(root, blocking)
    blocking = _edited(git, files)
    if blocking:
        raise InTheWay(root, blocking)


def _edited(git: Git, paths: Iterable[str]) -> set[str]:
    """Those of the paths that a person has changed, staged or deleted; a file staged as new and whole is none."""
    status = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=no", "--")
    out = git.run(*status, *sorted(paths), env={**_LITERAL, "GIT_OPTIONAL_LOCKS": "0"}).out
    rows = [row.decode("utf-8", "surrogateescape") for row in out.split(b"\0") if row]
    return {row[3:] for row in rows if row[:2] != "A "}


def _blocked(root: Path, path: str, data: bytes) -> bool:
    place = root / path
    for folder in list(place.relative_to(root).parents)[:-1]:
        if os.path.lexists(root / folder) and ((root / folder).is_symlink() or not (root / folder).is_dir()):
            return True
    if not os.path.lexists(place):
        return False
    return place.is_symlink() or not place.is_file() or place.read_bytes() != data


def _write(root: Path, files: Files, done: _Done) -> list[str]:
    for path, data in files.items():
        place = root / path
        if place.exists():
            continue
        _make_folder(place.parent, done)
        with place.open("xb") as file:
            done.files.append(place)
            file.write(data)
    return list(files)


def _ignore(root: Path, git: Git, done: _Done, notes: list[str]) -> list[str]:
    """Lets git ignore the cache folder. A .gitignore with uncommitted edits is a person's: left alone."""
    place = root / IGNORE
    if not os.path.lexists(place):
        place.write_bytes(f"{IGNORED}\n".encode())
        done.files.append(place)
        return [IGNORE]
    if IGNORED in place.read_text("utf-8", "replace").split():
        return []
    tracked = bool(git.read("ls-files", "--", IGNORE).out)
    if place.is_symlink() or not tracked or _edited(git, [IGNORE]):
        exclude = root / git.read("rev-parse", "--git-path", "info/exclude").text
        exclude.parent.mkdir(exist_ok=True)
        _append(exclude, done)
        notes.append(f"{IGNORE} has changes of yours and was left alone: please add the line {IGNORED}")
        return []
    _append(place, done)
    return [IGNORE]


def _append(place: Path, done: _Done) -> None:
    there = place.read_bytes() if place.exists() else b""
    if place.exists():
        done.before[place] = there
    else:
        done.files.append(place)
    gap = b"" if not there or there.endswith(b"\n") else b"\n"
    place.write_bytes(there + gap + f"{IGNORED}\n".encode())


def _commit(git: Git, paths: list[str], message: str, env: Mapping[str, str], notes: list[str], done: _Done) -> str:
    """Commits these paths alone; what else is staged stays staged."""
    identity = _identity(git, env, notes)
    done.staged = "\0".join(paths).encode()
    commit = ("commit", "--quiet", "--no-gpg-sign", "--only", "-m", message)
    try:
        git.quick("add", "--force", "--sparse", *_FROM_STDIN, stdin=done.staged, env=_LITERAL)
        git.quick(*DURABLE, *identity, *commit, *_FROM_STDIN, stdin=done.staged, env=_LITERAL)
    except GitFailed as fault:
        said = " ".join(fault.stderr.split())[-400:] or f"exit code {fault.code}"
        raise Expected(f"the first commit failed: {said}", remedy="nothing was left behind; mend it") from fault
    return git.read("rev-parse", "HEAD").text


def _identity(git: Git, env: Mapping[str, str], notes: list[str]) -> tuple[str, ...]:
    """Options that give the commit an author where git knows none."""
    login = env.get("USER") or env.get("LOGNAME") or "someone"
    fallback = {"user.name": login, "user.email": f"{login}@localhost"}
    given = {
        "user.name": ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"),
        "user.email": ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"),
    }
    missing = [
        key
        for key, names in given.items()
        if not all(env.get(name) for name in names) and not git.read("config", "--get", key, codes=(0, 1)).text.strip()
    ]
    if not missing:
        return ()
    notes.append(
        f"git does not know who you are: this commit is by {login} <{login}@localhost>. To be named in the history:\n"
        '  git config --global user.name "Your Name"\n'
        "  git config --global user.email you@example.org"
    )
    return tuple(part for key in missing for part in ("-c", f"{key}={fallback[key]}"))
