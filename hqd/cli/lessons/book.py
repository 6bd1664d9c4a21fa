"""`hqd lessons list | show | check`: the lesson book of the working tree, with what git history says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqd.adapters.history import GitHistory
from hqd.bootstrap import gate_registry
from hqd.check import Report, check_reader
from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.codec import layout
from hqd.codec.lesson import flat_gate
from hqd.core.lessons.check import Exhibit, Finding, Mark, red, table
from hqd.daemon.lessons.desk import LessonDesk
from hqd.errors import EXIT_FAILURE, EXIT_OK, Misconfigured, Usage
from hqd.model.lesson import IN_FORCE, Lesson, LessonStatus
from hqd.model.problem import Problem
from hqd.model.settings import FORMAT, Settings
from hqd.model.spelling import meant

if TYPE_CHECKING:
    from hqd.adapters.repository import GitRepository
    from hqd.cli.lessons.lab import Lab
    from hqd.core.history.backtest import Backtest
    from hqd.ports import Gates

_ORDER = {status: place for place, status in enumerate((*reversed(IN_FORCE), *LessonStatus))}
_MARKS = {Mark.OK: "ok", Mark.RED: "RED", Mark.WARNING: "warning", Mark.OPEN: "-"}
EXCERPT = 400


@dataclass(frozen=True)
class Shelf:
    """The HQ's lessons, opened for one command."""

    call: Call
    repo: GitRepository
    root: Path

    @cached_property
    def reader(self) -> FolderReader:
        return FolderReader(self.root)

    @cached_property
    def gates(self) -> Gates:
        return gate_registry(self.call.env, self.settings, None)

    @cached_property
    def report(self) -> Report:
        return check_reader(self.reader, gate_registry(self.call.env, None, None).check)

    @property
    def book(self) -> Mapping[str, Lesson]:
        """Lessons by path, whatever their status."""
        return self.report.config.lessons

    @property
    def settings(self) -> Settings:
        return self.report.config.settings or Settings(format=FORMAT)

    @cached_property
    def desk(self) -> LessonDesk:
        history = GitHistory(self.repo)
        cut = (self.repo.common_dir / "shallow").exists()
        return LessonDesk(self.gates, self.settings.lessons, history.blob, self.reader.read, self.lab, cut)

    @cached_property
    def lab(self) -> Lab | None:
        """All of history; None in a clone without main."""
        from hqd.cli.lessons.lab import open_lab

        return open_lab(self)

    @cached_property
    def proposed(self) -> Mapping[str, str]:
        """Lessons with an open proposal: id -> tip of its branch."""
        form = "--format=%(objectname) %(refname)"
        prefix = f"refs/heads/{layout.LESSON_BRANCH}"
        lines = self.repo.git.quick("for-each-ref", form, f"{prefix}*").text.splitlines()
        return {ref.removeprefix(prefix): commit for commit, _, ref in (line.partition(" ") for line in lines)}

    def problems(self, path: str) -> list[Problem]:
        return [problem for problem in self.report.problems if problem.path == path]

    def find(self, name: str) -> tuple[str, Lesson]:
        """A lesson by its id, with or without `L-`. Raises Usage, Misconfigured for a file that cannot be read."""
        for path, lesson in self.book.items():
            if lesson.id in (name, f"L-{name}"):
                return path, lesson
        for problem in self.report.problems:
            if problem.stops and layout.lesson_of(problem.path) in (name, f"L-{name}"):
                raise Misconfigured(str(problem), remedy="mend the file")
        ids = [lesson.id for lesson in self.book.values()]
        raise Usage(f"there is no lesson {name!r}", remedy=meant(name, ids) if ids else "the book is empty")

    def chosen(self, names: Sequence[str]) -> list[tuple[str, Lesson]]:
        """Those that are named; else all that are not retired."""
        if names:
            return [self.find(name) for name in names]
        return [(path, each) for path, each in sorted(self.book.items()) if each.status is not LessonStatus.RETIRED]

    def status(self, lesson: Lesson) -> str:
        """The status, as far as branches tell: a lesson with an open proposal is proposed."""
        waits = lesson.id in self.proposed
        if lesson.status is LessonStatus.RECORDED and waits:
            return LessonStatus.PROPOSED.value
        return lesson.status.value + (" (change proposed)" if waits else "")


@contextmanager
def shelf(call: Call) -> Iterator[Shelf]:
    with call.repository() as repo:
        yield Shelf(call, repo, repo.root)


def list_(call: Call, *, everything: bool, as_json: bool) -> int:
    """One line for each lesson: those that act first."""
    with shelf(call) as found:
        rows = [(path, each) for path, each in found.book.items()]
        if not everything:
            rows = [(path, each) for path, each in rows if each.status is not LessonStatus.RETIRED]
        rows.sort(key=lambda row: (_ORDER[row[1].status], row[1].id))
        broken = [str(problem) for problem in found.report.problems if problem.path.startswith(f"{layout.LESSONS}/")]
        if as_json:
            listed = [{**facts(each), "path": path, "state": found.status(each)} for path, each in rows]
            terminal.data({"lessons": listed, "problems": broken})
            return EXIT_OK
        body = [
            [each.id, found.status(each), _what(each), _where(each), str(len(each.evidence)), each.title]
            for _path, each in rows
        ]
        terminal.rows(("id", "status", "does", "where", "cases", "what"), body)
        if not body:
            terminal.say("the lesson book is empty; failures are recorded by themselves, or: hqd lessons new")
        for line in broken:
            terminal.say(line)
    return EXIT_OK


def show(call: Call, name: str, *, as_json: bool) -> int:
    """One lesson: its file, its evidence with excerpts, and what is wrong with it."""
    with shelf(call) as found:
        path, lesson = found.find(name)
        exhibits = found.desk.exhibits(lesson)
        if as_json:
            shown = [{"name": each.name, "bad": each.bad, "good": each.good, "gone": each.gone} for each in exhibits]
            told = [str(problem) for problem in found.problems(path)]
            terminal.data({**facts(lesson), "path": path, "exhibits": shown, "problems": told})
            return EXIT_OK
        terminal.title(f"{lesson.id}  {found.status(lesson)}  {path}")
        terminal.block((found.reader.read(path) or b"").decode("utf-8", "replace"))
        for each in exhibits:
            _print_exhibit(each)
        for problem in found.problems(path):
            terminal.say(str(problem))
        if lesson.id in found.proposed:
            terminal.say(f"proposed: git log -1 {layout.LESSON_BRANCH}{lesson.id}; hqd lessons accept {lesson.id}")
    return EXIT_OK


def check(call: Call, names: Sequence[str], *, as_json: bool) -> int:
    """Judges lessons by their evidence and by history; exit 1 where one is red."""
    with shelf(call) as found:
        book = list(found.book.values())
        results: list[tuple[str, Lesson, tuple[Finding, ...], Backtest | None]] = []
        for path, lesson in found.chosen(names):
            findings, test = found.desk.check(lesson, book)
            faults = [Finding("file", Mark.RED, str(each)) for each in found.problems(path) if each.stops]
            results.append((path, lesson, (*faults, *findings), test))
        unread = [] if names else _unread(found)
        bad = bool(unread) or any(red(findings) for _path, _lesson, findings, _test in results)
        if as_json:
            rows = [
                {
                    "id": lesson.id,
                    "path": path,
                    "status": lesson.status.value,
                    "ok": not red(findings),
                    "findings": [{"rule": f.rule, "mark": f.mark.value, "text": f.text} for f in findings],
                    "backtest": dict(table(test)),
                }
                for path, lesson, findings, test in results
            ]
            terminal.data({"ok": not bad, "lessons": rows, "problems": [str(each) for each in unread]})
            return EXIT_FAILURE if bad else EXIT_OK
        for path, lesson, findings, _test in results:
            terminal.title(f"{lesson.id}  {lesson.status.value}  {path}")
            terminal.rows((), [[_MARKS[f.mark], f.rule, f.text] for f in findings], indent=2)
        for problem in unread:
            terminal.say(str(problem))
        terminal.say(f"{len(results)} checked, {sum(red(f) for _p, _l, f, _t in results)} red")
    return EXIT_FAILURE if bad else EXIT_OK


def facts(lesson: Lesson) -> dict[str, Any]:
    """A lesson for --json, by the keys of its file."""
    told = lesson.model_dump(mode="json", by_alias=True, exclude={"gate"})
    return {**told, "gate": flat_gate(lesson.gate) if lesson.gate is not None else None, "title": lesson.title}


def now() -> datetime:
    return datetime.now(UTC)


def _unread(found: Shelf) -> list[Problem]:
    """Files that are no lesson at all, which no finding names."""
    known = set(found.book)
    return [
        problem
        for problem in found.report.problems
        if problem.stops and problem.path.startswith(f"{layout.LESSONS}/") and problem.path not in known
    ]


def _print_exhibit(each: Exhibit) -> None:
    terminal.title(f"evidence: {each.name}")
    if each.gone:
        terminal.say(f"  {each.gone}")
    for what, text in (("wrong", each.bad), ("instead", each.good)):
        if text is not None:
            terminal.say(f"  {what}:")
            cut = text if len(text) <= EXCERPT else text[:EXCERPT] + " […]"
            for line in cut.splitlines():
                terminal.say(f"    {line}")


def _what(lesson: Lesson) -> str:
    does = [f"gate {lesson.gate.kind}"] if lesson.gate is not None else []
    return ", ".join([*does, *(["context"] if lesson.context is not None else [])]) or "nothing yet"


def _where(lesson: Lesson) -> str:
    books = ",".join(lesson.scope.playbooks) or "*"
    return f"{books}/{lesson.born_at or ','.join(lesson.scope.steps) or '*'}"
