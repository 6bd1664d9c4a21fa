"""Commits files on top of a branch without a working copy: new blobs, new trees on the way down to them, a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hqd.adapters.branches.walk import lines, raw, text
from hqd.adapters.git import DURABLE, Git
from hqd.core.reviews.landing import wrote
from hqd.core.steps.delivery import folded, guarded, path_fault
from hqd.errors import Expected
from hqd.model.change import Entry

_FILE = "100644"
_FOLDER = "040000"
_KINDS = {_FOLDER: "tree", "160000": "commit"}
_WHAT = {"120000": "a symbolic link", "160000": "a submodule", _FOLDER: "a folder"}


@dataclass(slots=True)
class _Folder:
    """What is to be written in one folder."""

    files: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, _Folder] = field(default_factory=dict)


def entries(git: Git, commit: str, folder: str) -> dict[str, Entry]:
    """What a folder of a commit holds; empty where there is none. `folder` "" is the root."""
    out = git.quick("ls-tree", "-z", "--full-tree", commit, *([f"{folder}/"] if folder else [])).out
    found = {}
    for line in text(out).split("\0"):
        if line:
            facts, path = line.split("\t", 1)
            name = path.rsplit("/", 1)[-1]
            mode, _, object_id = facts.split(" ")
            found[name] = Entry(name, mode, object_id)
    return found


def commit_files(
    git: Git,
    task: str,
    base: str,
    files: Mapping[str, bytes],
    message: str,
    *,
    main: str | None,
    protected: tuple[str, ...],
    globs: tuple[str, ...] = (),
    overwrite: bool,
    identity: Mapping[str, str],
) -> str:
    """See ports.Branches.commit_files. `main`: main's tip, None: there is none; `identity`: git's variables."""
    if not files:
        raise Expected("there is nothing to deliver")
    for path in sorted(files):
        fault = path_fault(path, protected)
        if fault is None and guarded(path, globs):
            fault = "is protected: it is a person's"
        if fault:
            raise Expected(f"cannot deliver to {path}: it {fault}", remedy="change `deliver` in the playbook")
    plan = _plan(files)
    _look(git, base, plan, "")
    if not overwrite:
        _refuse_others(git, task, base, main, sorted(files))
    tree = _write(git, base, plan, "")
    body = f"{message.rstrip()}\n\nHqd-Work: {task}\n"
    commit = git.quick(*DURABLE, "commit-tree", tree, "-p", base, "-F", "-", stdin=raw(body), env=identity).out
    return text(commit).strip()


def _plan(files: Mapping[str, bytes]) -> _Folder:
    root = _Folder()
    for path, content in files.items():
        *above, name = path.split("/")
        folder = root
        for one in above:
            folder = folder.folders.setdefault(one, _Folder())
        folder.files[name] = content
    return root


def _refused(path: str, why: str) -> Expected:
    return Expected(f"cannot deliver to {path}: {why}", remedy="change `deliver` in the playbook")


def _look(git: Git, base: str, plan: _Folder, at: str) -> None:
    """Raises Expected where a planned name meets something else than the same kind of thing of the same name."""
    there = entries(git, base, at)
    spelled: dict[str, str] = {folded(name): name for name in there}
    for name in (*plan.files, *plan.folders):
        path = f"{at}/{name}" if at else name
        other = spelled.setdefault(folded(name), name)
        if other != name:
            raise _refused(path, f"it differs from {other} only in the way it is spelled")
        entry = there.get(name)
        if name in plan.files and name in plan.folders:
            raise _refused(path, "it is to be a file and a folder")
        if entry is not None and entry.is_folder != (name in plan.folders):
            raise _refused(path, f"there is {_WHAT.get(entry.mode, 'a file')} of that name")
        if entry is not None and entry.mode in ("120000", "160000"):
            raise _refused(path, f"there is {_WHAT[entry.mode]} of that name")
    for name, folder in plan.folders.items():
        _look(git, base, folder, f"{at}/{name}" if at else name)


def _refuse_others(git: Git, task: str, base: str, main: str | None, paths: list[str]) -> None:
    """Raises Expected for a path that is on main, or was where the branch began, and is not this task's own work."""
    if main is None:
        return
    forks = lines(git, "merge-base", main, base)
    for path in paths:
        for commit in (main, *forks[:1]):
            if _exists(git, commit, path) and not _own(git, task, commit, path):
                raise Expected(
                    f"cannot deliver to {path}: others wrote it",
                    remedy="deliver to another path, or set overwrite = true",
                )


def _exists(git: Git, commit: str, path: str) -> bool:
    return bool(git.quick("ls-tree", "-z", "--full-tree", commit, "--", path).out)


def _own(git: Git, task: str, commit: str, path: str) -> bool:
    """Whether the last commit that touched the path says that it is this task's work."""
    message = git.quick("log", "-1", "--no-show-signature", "--format=%B", commit, "--", f":(top,literal){path}").out
    return wrote(text(message), task)


def _write(git: Git, base: str, plan: _Folder, at: str) -> str:
    """The id of the new tree of folder `at`."""
    lines = entries(git, base, at)
    for name, folder in plan.folders.items():
        lines[name] = Entry(name, _FOLDER, _write(git, base, folder, f"{at}/{name}" if at else name))
    for name, content in plan.files.items():
        blob = text(git.quick(*DURABLE, "hash-object", "-w", "-t", "blob", "--stdin", stdin=content).out).strip()
        lines[name] = Entry(name, lines[name].mode if name in lines else _FILE, blob)
    listing = "".join(f"{one.mode} {_KINDS.get(one.mode, 'blob')} {one.id}\t{one.name}\0" for one in lines.values())
    return text(git.quick(*DURABLE, "mktree", "-z", stdin=raw(listing)).out).strip()
