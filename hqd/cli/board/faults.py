"""Everything that a person should mend: in the inbox, in task files, in settings and playbooks, edited or committed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hqd import __version__
from hqd.cli.edits import Edit, FolderReader, edits
from hqd.codec import layout
from hqd.daemon.decisions import problems_of
from hqd.daemon.people.intake import left_alone
from hqd.model.problem import Problem, ProblemLevel, one_line
from hqd.model.settings import Settings

if TYPE_CHECKING:
    from hqd.cli.board.reading import View
    from hqd.codec.config import Reader

CHECKED, SETTLED = "checked.json", "checked-decisions.json"


def faults(view: View, env: dict[str, str]) -> tuple[Problem, ...]:
    """All of them, by path and line. A view of the past has those of its commit only."""
    found = [] if view.past else view.daemon.problems
    found += [problem for each in view.reading.problems.values() for problem in each]
    found += [problem for each in view.live.task_problems.values() for problem in each]
    found += [_stray(path, view) for path in view.reading.strays]
    found += _committed(view, env)
    found += _settled(view, env)
    if not view.past:
        found += _edited(view, env)
        found += _inbox(view)
    return in_order(found)


def in_order(found: list[Problem]) -> tuple[Problem, ...]:
    """Each once, whoever found it."""
    once = {(problem.path, problem.line, problem.key, problem.message): problem for problem in found}
    return tuple(once[key] for key in sorted(once))


def waiting_files(root: Path) -> list[str]:
    """Tasks in the inbox of the working tree that no daemon has taken yet."""
    reader = FolderReader(root)
    found = []
    for entry in reader.entries(layout.INBOX):
        path = f"{layout.INBOX}/{entry.name}"
        inner = [f"{path}/{each.name}" for each in reader.entries(path)] if entry.is_folder else [path]
        found += [name for name in inner if not left_alone(name.rsplit("/", 1)[-1])]
    return found


def _stray(path: str, view: View) -> Problem:
    """A file in a state folder that hqd cannot go on with."""
    name = path.rsplit("/", 1)[-1].removesuffix(".md")
    unreadable = view.book.unreadable.get(name)
    if unreadable is not None:
        return Problem(path, 0, "", unreadable.message, unreadable.remedy)
    return Problem(path, 0, "", "no task of hqd's: it has no record", "move it to workspace/inbox/")


def _committed(view: View, env: dict[str, str]) -> list[Problem]:
    """What main's own configuration has wrong. A clean one is remembered: checking it anew costs half a second."""
    if view.pin is None:
        return [Problem(layout.SETTINGS, 0, "", "main has no hqd.toml", "commit one, or run `hqd init`")]
    key = f"{view.pin.settings} {view.pin.playbooks} {_id(view, layout.LESSONS)}"
    return _kept(view, CHECKED, key, lambda: check(view.tree, env))


def _settled(view: View, env: dict[str, str]) -> list[Problem]:
    """What is wrong with decisions, as main has them."""
    settled = view.live.settled
    if all(each.decision.check is None for each in settled.active):
        return list(settled.problems)

    def found() -> list[Problem]:
        from hqd.bootstrap import gate_registry  # not before: it brings all kinds of gates with it

        settings = view.current.settings if view.current is not None else None
        return list(problems_of(settled, gate_registry(env, settings, {}).check))

    rules = view.current.pin.settings if view.current is not None else "-"
    return _kept(view, SETTLED, f"{rules} {_id(view, layout.DECISIONS)}", found)


def _kept(view: View, name: str, key: str, find: Callable[[], list[Problem]]) -> list[Problem]:
    """What was found when all that `key` stands for was checked last. A faulty state is looked at anew: its cause may
    be outside of git."""
    place, key = view.repo.private / name, f"{__version__} {key}"
    known = _remembered(place, key)
    if known is None:
        known = find()
        if not any(problem.stops for problem in known):
            _remember(place, key, known)
    return known


def _id(view: View, folder: str) -> str:
    entry = view.tree.entry(folder)
    return entry.id if entry is not None else "-"


def check(reader: Reader, env: dict[str, str]) -> list[Problem]:
    """Settings, playbooks and lessons against each other and the gate catalogue."""
    from hqd.bootstrap import gate_registry
    from hqd.check import check_reader

    return list(check_reader(reader, gate_registry(env, None, None).check).problems)


MOST_EDITS = 50
"""Files not in force that are named one by one."""


def _edited(view: View, env: dict[str, str]) -> Iterator[Problem]:
    changed = edits(view.repo, view.tree)
    if not changed:
        return
    yield from (_pending(edit) for edit in changed[:MOST_EDITS])
    if len(changed) > MOST_EDITS:
        yield _pending(Edit(f"({len(changed) - MOST_EDITS} more)", "edited"))
    yield from check(FolderReader(view.repo.root), env)


def _pending(edit: Edit) -> Problem:
    message = f"{edit.kind} in the working tree, not on main"
    return Problem(one_line(edit.path), 0, "", message, "run `hqd apply`, or commit it", ProblemLevel.NOT_IN_FORCE)


def _inbox(view: View) -> Iterator[Problem]:
    """Files in the inbox that cannot become tasks; the daemon says the same once it has looked."""
    root = view.repo.root
    settings = view.current.settings if view.current is not None else Settings(format=1)
    for path in waiting_files(root):
        yield from inbox_faults(root, path, settings.inbox.max_bytes)


def inbox_faults(root: Path, path: str, max_bytes: int) -> Iterator[Problem]:
    """What keeps one file of the inbox from becoming a task."""
    from hqd.core.secret_scan import scan
    from hqd.daemon.book import parse

    place, shown = root / path, one_line(path)
    if place.is_symlink() or not place.is_file():
        yield Problem(shown, 0, "", "no regular file: not a task", "drop a plain markdown file")
        return
    try:
        data = place.read_bytes() if place.stat().st_size <= max_bytes else None
    except OSError as fault:
        yield Problem(shown, 0, "", f"cannot be read: {fault.strerror or fault}", "make it readable")
        return
    if data is None:
        yield Problem(
            shown, 0, "", f"too large for a task: the limit is {max_bytes} bytes (inbox.max_bytes)",
            "put data under workspace/files/ and name it",
        )  # fmt: skip
        return
    for secret in scan(data, ())[:1]:
        message = f"a secret ({secret.kind}) stands in it; not committed"
        yield Problem(shown, secret.line, "", message, "take it out, use secret:NAME")
    if data.strip():
        yield from parse(shown, data)[1]


def _remembered(path: Path, key: str) -> list[Problem] | None:
    try:
        kept = json.loads(path.read_text("utf-8"))
        if kept["key"] != key:
            return None
        return [
            Problem(row["path"], row["line"], row["key"], row["message"], row["remedy"], ProblemLevel(row["level"]))
            for row in kept["problems"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path, key: str, problems: list[Problem]) -> None:
    rows = [problem.facts() for problem in problems]
    draft = path.with_name(f"{path.name}.{id(rows):x}")
    with suppress(OSError):  # a cache that cannot be written is only slower
        draft.write_text(json.dumps({"key": key, "problems": rows}), "utf-8")
        draft.replace(path)
