"""Writes down what went wrong: failures of finished work become recorded lessons, further cases of the same go to them.

Level-triggered: what is on main decides what is still to be written, so the same case is never written twice, whatever
crashed. `taught.json` in .git/hqd only remembers up to which commit was looked, and findings that one task has shown so
far; without it, the newest commits are looked at again.

Nothing floods: one open lesson for each signature, a bounded number a day, a bounded number that waits for people.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqd.codec import layout
from hqd.codec.config import read_lessons
from hqd.codec.lesson import with_evidence, write_lesson
from hqd.codec.message import trailers
from hqd.core.lessons import teaching
from hqd.core.lessons.suggest import guesses, meant
from hqd.core.lessons.teaching import Case
from hqd.core.secret_scan import redact
from hqd.daemon.batch import Written
from hqd.daemon.draft import Draft
from hqd.daemon.lessons.proposing import Proposer
from hqd.daemon.lessons.reverts import Targets, records_of, taken_back
from hqd.daemon.rulebook import Rulebook
from hqd.errors import Expected
from hqd.model.change import Transition
from hqd.model.lesson import OPEN, Lesson, LessonEvidence, LessonStatus
from hqd.model.playbook import Playbook
from hqd.model.problem import Problem, ProblemLevel
from hqd.model.record import Cursor, Event, EventKind
from hqd.ports import Checkout, History, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from hqd.daemon.live import Live

MEMORY = "taught.json"
LOOK_BACK = 500
"""Commits that are looked at where nothing is remembered."""

MOST_SIGHTINGS = 2_000
SOON = timedelta(milliseconds=20)
KEEP_EVERY = timedelta(seconds=5)
_TELLING = {kind.value for kind in (EventKind.FEEDBACK, EventKind.PARKED, EventKind.FINISHED, EventKind.LANDED)}
_TELLING |= {EventKind.DONE.value}


@dataclass(frozen=True, slots=True)
class Correction:
    """Outputs of a task that were accepted in the end: step -> evidence."""

    task: str
    outputs: Mapping[str, LessonEvidence]


@dataclass(slots=True)
class Book:
    """The lessons of one tree, and what is to be written. `files`: path -> bytes as on main."""

    lessons: dict[str, Lesson]
    files: dict[str, bytes]
    changed: dict[str, tuple[bytes, str]] = field(default_factory=dict)  # path -> (bytes, what happened)


class Teaching:
    """An Outside (`daemon/outside.py`)."""

    def __init__(
        self,
        history: History,
        checkout: Checkout,
        rulebook: Rulebook,
        private: Path,
        proposer: Proposer,
        targets: Targets,
    ) -> None:
        self._targets = targets
        self._proposer = proposer
        self._history = history
        self._checkout = checkout
        self._rulebook = rulebook
        self._memory = private / MEMORY
        self._live: Live | None = None
        self._tip = ""
        self._sightings: dict[str, Case] = {}
        self._cases: list[Case] = []
        self._corrections: list[Correction] = []
        self._laid: tuple[list[Case], list[Correction]] = ([], [])
        self._mended: list[Lesson] = []  # by what is laid
        self._again: datetime | None = None
        self._saved: tuple[str, int, dict[str, str]] | None = None
        self._kept_at: datetime | None = None

    def open(self, live: Live, wake: Callable[[], None]) -> None:
        self._live = live
        self._proposer.wake = wake
        self._recall()
        self._look(live.tip)

    def before(self, now: datetime) -> None:
        """Moves nothing."""

    def gather(self, draft: Draft, now: datetime) -> None:
        live = self._live
        if live is None or live.tree is None or not self._rulebook.current.settings.lessons.record:
            self._cases, self._corrections = [], []
            return
        if live.tip != self._tip:
            self._look(live.tip)
        self._cases += self._targets.look(live.targets, live.tree, self._playbook)
        if not self._cases and not self._corrections:
            return
        self._mended = []
        lessons, _faults = read_lessons(live.tree)
        files = {path: live.tree.read(path) or b"" for path in lessons}
        book = Book(dict(lessons), files)
        laid: list[Case] = []
        for case in list(self._cases):
            if self._write_case(book, case, live.tree, draft, now):
                laid.append(case)
        done = [each for each in self._corrections if self._write_correction(book, each, live.tree)]
        self._laid = (laid, done)
        for path, (data, what) in book.changed.items():
            self._lay(draft, path, data, what, now)

    def committed(self, written: Sequence[Written], now: datetime) -> None:
        laid, done = self._laid
        self._laid = ([], [])
        self._propose()
        self._cases = [each for each in self._cases if each not in laid]
        self._corrections = [each for each in self._corrections if each not in done]
        before = len(self._cases) + len(self._corrections)
        for each in written:
            if each.after is not None and each.record is not None:
                self._learn(each.after.id, each.event, each.after.cursor)
        if self._live is not None:
            self._tip = self._live.tip
        fresh = len(self._cases) + len(self._corrections) > before
        self._again = now + SOON if fresh else None  # what waits for a person is looked at in any later turn
        self._keep(now)

    def alarm(self) -> datetime | None:
        return self._again

    def nudge(self) -> None:
        """Asks nobody."""

    @property
    def busy(self) -> bool:
        return self._again is not None or self._proposer.busy

    def said(self) -> str:
        return ""

    def close(self) -> None:
        self._proposer.close()
        self._saved = self._kept_at = None
        self._keep(None)

    # -- what happened ----------------------------------------------------------------------------------------

    def _learn(self, task: str, event: Event, cursor: Cursor) -> None:
        self._cases += teaching.cases(task, event, cursor, self._playbook(cursor))
        outputs = teaching.corrected(task, event, cursor)
        if outputs:
            self._corrections.append(Correction(task, outputs))
        for seen in teaching.sightings(task, event, cursor):
            first = self._sightings.setdefault(seen.signature, seen)
            if first.task != seen.task:
                self._cases += [first, seen]
        while len(self._sightings) > MOST_SIGHTINGS:
            del self._sightings[next(iter(self._sightings))]

    def _playbook(self, cursor: Cursor) -> Playbook | None:
        rules = self._rulebook.at(cursor.pin) if cursor.pin is not None else self._rulebook.current
        return rules.playbooks.get(cursor.playbook or "")

    def _look(self, tip: str) -> None:
        """Commits that this Teaching has not seen made: of an earlier run of hqd, of a person, of another clone."""
        live = self._live
        if live is None or live.tree is None:
            return
        tasks: dict[str, None] = {}
        for _commit, message in self._messages():
            found = trailers(message)
            if found.get("Hqd-Event") in _TELLING and "Hqd-Task" in found:
                tasks[found["Hqd-Task"]] = None
            elif "Hqd-Event" not in found:
                self._cases += taken_back(self._history, live.tree, message, self._playbook)
        for task in reversed(tasks):
            for record in records_of(live.tree, task):
                self._learn(task, record, record.cursor)
        self._tip = tip

    def _messages(self) -> Iterable[tuple[str, str]]:
        if self._tip:
            try:
                return list(self._history.messages(self._tip, limit=10 * LOOK_BACK))
            except (Expected, KeyError):
                pass  # that commit is gone: history was rewritten, or cut
        return list(self._history.messages(None, limit=LOOK_BACK))

    # -- what is written --------------------------------------------------------------------------------------

    def _write_case(self, book: Book, case: Case, tree: Tree, draft: Draft, now: datetime) -> bool:
        """True: it is in the draft, or there is nothing to write; False: it waits."""
        lessons = book.lessons.values()
        if teaching.known(lessons, case) or teaching.decided_one(lessons, case) is not None:
            return True
        if _audited(draft, case.task):
            return False  # a person is to judge that output without having heard what the gates say
        if teaching.pardoned(records_of(tree, case.task), case.path):
            return True
        case = self._whole(case, tree)
        if case.blob is None:
            return True
        found = teaching.open_one(lessons, case)
        if found is not None:
            return not teaching.has_room(found) or self._append(book, found, case)
        settings = self._rulebook.current.settings.lessons
        if teaching.made_on(lessons, now.date()) >= settings.most_a_day:
            return self._full(draft, f"{settings.most_a_day} lessons were recorded today", "lessons.most_a_day")
        if teaching.waiting(lessons) >= settings.most_open:
            return self._full(draft, f"{settings.most_open} lessons wait for a person", "lessons.most_open")
        made = teaching.lesson_of(replace(case, at=now), {each.id for each in lessons})
        path = f"{layout.LESSONS}/{teaching.file_name(made)}"
        book.lessons[path] = made
        book.changed[path] = (redact(write_lesson(made), ())[0], f"{made.id} recorded: {case.class_} at {case.born_at}")
        return True

    def _append(self, book: Book, lesson: Lesson, case: Case) -> bool:
        path = next(path for path, each in book.lessons.items() if each is lesson)
        before = book.changed[path][0] if path in book.changed else book.files[path]
        if path not in book.changed and not self._untouched(path, before):
            return False  # a person has the file in hand: later
        evidence = teaching.evidence_of(case)
        data = with_evidence(before, evidence)
        if data is None:
            return True
        book.lessons[path] = lesson.model_copy(update={"evidence": (evidence, *lesson.evidence)})
        book.changed[path] = (data, f"{lesson.id}: one more case, {case.task}")
        return True

    def _write_correction(self, book: Book, found: Correction, tree: Tree) -> bool:
        """Beside each case of the task: what was accepted in its place, and what it cost to get there."""
        for path, lesson in list(book.lessons.items()):
            if lesson.status not in OPEN or path in book.changed:
                continue
            better = found.outputs.get(lesson.born_at or "")
            rows = [_mended(each, found.task, better) for each in lesson.evidence]
            if better is None or tuple(rows) == lesson.evidence:
                continue
            before = book.files[path]
            made = lesson.model_copy(update={"evidence": tuple(rows)})
            if lesson.rework_usd is None:
                made = made.model_copy(update={"rework_usd": _rework(tree, found.task, lesson)})
            if write_lesson(lesson) != before:
                continue  # its author has a way of writing of his own
            if not self._untouched(path, before):
                return False
            book.lessons[path] = made
            self._mended.append(made)
            book.changed[path] = (write_lesson(made), f"{lesson.id}: corrected in {found.task}")
        return True

    def _untouched(self, path: str, data: bytes) -> bool:
        """Whether nobody is at work on the file just now."""
        try:
            return self._checkout.read(path, len(data)) == data
        except OSError:
            return False

    def _whole(self, case: Case, tree: Tree) -> Case:
        if case.blob is not None:
            return case
        entry = tree.entry(case.path)
        return replace(case, blob=entry.id) if entry is not None else case

    def _full(self, draft: Draft, why: str, key: str) -> bool:
        message = f"{why}: further failures are not written down"
        draft.problems[layout.LESSONS] = Problem(
            layout.LESSONS, 0, "", message, f"decide on some, or raise {key}", ProblemLevel.WARNING
        )
        return False

    def _lay(self, draft: Draft, path: str, data: bytes, what: str, now: datetime) -> None:
        subject = " ".join(f"hqd: lesson {what}".split())[:160]
        trailer = f"Hqd-Lesson: {layout.lesson_of(path)}"
        draft.batch.plain(Transition(message=f"{subject}\n\n{trailer}\n", at=now, writes=((path, data),)))

    def _propose(self) -> None:
        """Corrected recordings whose fault somebody's words name, or that are there twice: a gate may be found."""
        mended, self._mended = self._mended, []
        if self._rulebook.current.settings.lessons.propose:
            for lesson in mended:
                if lesson.status is LessonStatus.RECORDED and self._promising(lesson):
                    self._proposer.ask(lesson.id)
        self._proposer.begin()

    def _promising(self, lesson: Lesson) -> bool:
        case = next((each for each in lesson.evidence if each.blob and each.corrected_blob), None)
        if case is None or case.blob is None or case.corrected_blob is None:
            return False
        try:
            bad = self._history.blob(case.blob).decode("utf-8", "replace")
            good = self._history.blob(case.corrected_blob).decode("utf-8", "replace")
        except KeyError:
            return False
        named = any(meant(spec, lesson.account) for spec in guesses(bad, good, (), lesson.account))
        return named or lesson.gate is not None or len(lesson.evidence) > 1

    # -- memory -----------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        try:
            told = json.loads(self._memory.read_text())
            self._tip = str(told["tip"])
            self._sightings = {name: _case(row) for name, row in dict(told["sightings"]).items()}
            self._targets.seen = {str(repo): str(tip) for repo, tip in dict(told.get("targets", {})).items()}
        except (OSError, ValueError, KeyError, TypeError):
            self._tip, self._sightings = "", {}

    def _keep(self, now: datetime | None) -> None:
        """Now and then, and at the end. Where cases wait, the commit that they came with is not yet passed."""
        if now is not None and self._kept_at is not None and now - self._kept_at < KEEP_EVERY:
            return
        self._kept_at = now
        state = (self._tip, len(self._sightings), dict(self._targets.seen))
        if self._cases or self._corrections or state == self._saved or not self._tip:
            return
        rows = {name: {**asdict(case), "at": case.at.isoformat()} for name, case in self._sightings.items()}
        temporary = self._memory.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps({"tip": self._tip, "targets": state[2], "sightings": rows}))
            temporary.replace(self._memory)
        except OSError:
            return  # a full disk: the newest commits are looked at again
        self._saved = state


def _audited(draft: Draft, task: str) -> bool:
    known = draft.tasks.get(task)
    return known is not None and known.cursor.review is not None and known.cursor.review.audit


def _mended(each: LessonEvidence, task: str, better: LessonEvidence | None) -> LessonEvidence:
    if better is None or each.task != task or each.corrected_blob is not None or each.blob == better.blob:
        return each
    return each.model_copy(update={"corrected_blob": better.blob, "corrected_path": better.path})


def _rework(tree: Tree, task: str, lesson: Lesson) -> float:
    """Dollars that the task cost after the output that was wrong."""
    bad: Collection[str] = {each.path for each in lesson.evidence if each.task == task}
    spent, after = 0.0, False
    for record in records_of(tree, task):
        if record.event is EventKind.FINISHED and after and record.usage is not None:
            spent += record.usage.cost or 0.0
        after = after or record.output in bad
    return round(spent, 6)


def _case(row: Mapping[str, Any]) -> Case:
    return Case(**{**row, "at": datetime.fromisoformat(row["at"])})
