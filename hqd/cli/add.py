"""`hqd add`: drops tasks into the inbox, whole at once, so that they count at once. Overwrites nothing."""

from __future__ import annotations

import os
import secrets
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.codec import layout
from hqd.codec.front_matter import write_front_matter
from hqd.codec.task import ReadTask, read_task
from hqd.core.secret_scan import scan
from hqd.errors import EXIT_OK, Expected, SecretFound, Usage
from hqd.model.problem import one_line
from hqd.model.settings import Inbox

MOST_COPIES = 1_000


@dataclass(frozen=True, slots=True)
class Wish:
    """A task made of words instead of a file (`title`, `text`, `tags`), and where all tasks of the call go."""

    title: str | None = None
    text: str | None = None
    playbook: str | None = None
    tags: tuple[str, ...] = ()


def add(call: Call, files: Sequence[Path], wish: Wish, *, as_json: bool = False) -> int:
    """Prints the path of each task. Everything is checked before the first file is laid down."""
    root = call.root()
    folder = _folder(root, wish.playbook)
    drops = [(path.name, _read(call.cwd / path, root)) for path in files]
    if wish.title is not None:
        drops.append((layout.slug(wish.title) + ".md", written(wish.title, _text(wish.text), wish.tags)))
    elif wish.tags:
        raise Usage("--tag goes with --title", remedy="write tags into the front matter of the file")
    if not drops:
        raise Usage("nothing to add", remedy="name a file, or pass --title TEXT")
    read = [_check(name, data, root) for name, data in drops]
    noticed = [problem for each in read for problem in each.problems]
    tasks = []
    for (name, data), each in zip(drops, read, strict=True):
        path = str(drop(folder, name, data))
        tasks.append({"path": path, "playbook": wish.playbook or _named(each)})
        if not as_json:
            terminal.say(path)  # at once: a later one may fail
    if as_json:
        terminal.data({"tasks": tasks, "noticed": [problem.facts() for problem in noticed]})
        return EXIT_OK
    for problem in noticed:
        terminal.remark(str(problem))
    return EXIT_OK


def _named(read: ReadTask) -> str | None:
    """The playbook that the file itself names; None leaves it to hqd."""
    return read.document.header.playbook if read.document is not None else None


def written(title: str, text: str, tags: Sequence[str]) -> bytes:
    """A task file made of a title and a text."""
    header = write_front_matter({"tags": list(tags)}) if tags else ""
    body = f"# {one_line(title).strip()}\n" + (f"\n{text.strip()}\n" if text.strip() else "")
    return (header + body).encode("utf-8", "replace")


def drop(folder: Path, name: str, data: bytes) -> Path:
    """Lays a file into a folder under its name, or NAME-2 and so on where that is taken; whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{secrets.token_hex(6)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _finish(draft)
        for count in range(1, MOST_COPIES):
            place = folder / (name if count == 1 else _numbered(name, count))
            try:
                os.link(draft, place)  # unlike a rename, it never replaces
            except FileExistsError:
                continue
            return place
    finally:
        draft.unlink(missing_ok=True)
    raise Expected(f"{folder} has {MOST_COPIES} files named like {one_line(name)}", remedy="choose another name")


def _finish(draft: Path) -> None:
    """Sets its content's time back: by the link, its inode is then newer, which tells hqd that it came whole.

    The kernel's clock ticks every few milliseconds; without this both times would be the same.
    """
    written = draft.stat().st_mtime_ns - 1_000_000_000
    os.utime(draft, ns=(written, written))


def _numbered(name: str, count: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem}-{count}.{ending}" if dot else f"{name}-{count}"


def _folder(root: Path, playbook: str | None) -> Path:
    inbox = root / layout.INBOX
    if playbook is None:
        return inbox
    known = sorted(path.stem for path in (root / layout.PLAYBOOKS).glob("*.toml"))
    if playbook not in known:
        raise Usage(f"there is no playbook {playbook!r}", remedy=f"there are: {', '.join(known) or 'none'}")
    return inbox / playbook


def _text(text: str | None) -> str:
    if text != "-":
        return text or ""
    return sys.stdin.buffer.read().decode("utf-8", "strict") if sys.stdin is not None else ""


def _read(path: Path, root: Path) -> bytes:
    shown = one_line(str(path))
    try:
        if path.is_dir():
            raise Usage(f"{shown} is a folder", remedy="name markdown files")
        if not path.is_file():
            raise Usage(f"{shown}: no such file")
        if path.stat().st_size > (limit := _limit(root)):
            raise Usage(
                f"{shown} is too large for a task: the limit is {limit} bytes (inbox.max_bytes)",
                remedy="put data under workspace/files/ and name it in the task",
            )
        return path.read_bytes()
    except OSError as fault:
        raise Expected(f"{shown} cannot be read: {fault.strerror or fault}") from fault


def _limit(root: Path) -> int:
    try:
        limit = tomllib.loads((root / layout.SETTINGS).read_text("utf-8"))["inbox"]["max_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return Inbox().max_bytes
    return limit if isinstance(limit, int) else Inbox().max_bytes


def _check(name: str, data: bytes, root: Path) -> ReadTask:
    """What hqd would refuse or leave alone is said now, not found in `status` later. Returns the task, and with
    it what is only warned of: a likely typo stops no task, and may be all that keeps it from the playbook meant."""
    shown = one_line(name)
    if not name.lower().endswith(".md"):
        raise Usage(f"{shown} does not end in .md", remedy="a task is a markdown file")
    if name.startswith((".", "_", "Untitled", "#")) or name == "README.md":
        raise Usage(f"{shown}: files of such a name are left alone in the inbox", remedy="rename it")
    if b"\0" in data:
        raise Usage(f"{shown} is no text (it has NUL bytes)")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Usage(f"{shown} is not UTF-8 (byte {fault.start})", remedy="save it as UTF-8") from fault
    if not data.strip():
        raise Usage(f"{shown} is empty")
    if len(data) > _limit(root):
        raise Usage(f"{shown} is too large for a task: the limit is {_limit(root)} bytes (inbox.max_bytes)")
    found = scan(data, ())
    if found:
        raise SecretFound(
            f"{shown}:{found[0].line}: a secret ({found[0].kind}) stands in it",
            remedy="take it out; agents get secrets by `secret:NAME` in hqd.toml",
        )
    read = read_task(data, name, _limit(root))
    for problem in read.problems:
        if problem.stops:
            raise Usage(str(replace(problem, remedy="")), remedy=problem.remedy or "mend it, then add it again")
    return read
