"""The desk at which lessons are judged: their evidence read from git, their gates run on it and on all accepted work.

For commands and for the daemon alike. Reads only; what it finds is turned into findings by `core/lessons/check.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from hqd.codec.lesson import flat_gate
from hqd.core.batch import blob_id
from hqd.core.history.admission import admit
from hqd.core.history.backtest import Backtest
from hqd.core.language.facts import facts
from hqd.core.lessons.check import Evidence, Exhibit, Finding, check
from hqd.core.lessons.suggest import guesses, meant
from hqd.model.board import Task
from hqd.model.corpus import Case, Corpus, Label
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject
from hqd.model.lesson import Lesson, LessonEvidence
from hqd.model.record import Cursor
from hqd.model.settings import LessonSettings
from hqd.model.task import State, TaskDocument, TaskHeader
from hqd.ports import Gates

MAX_TEXT = 2_000_000
MOST_TESTED = 8
"""Guesses that go on history, of those that tell the bad text from the good one."""

MOST_ACCEPTED = 200
"""Accepted texts that a guess, a mutant or a literal is compared with; the newest."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A guess that is red on the bad text and green on the good one. `passes`: nothing on history speaks against it;
    `tested`: it has fired on a labelled output beside its evidence."""

    spec: GateSpec
    test: Backtest | None
    passes: bool
    why: str
    tested: bool = False

    @property
    def written(self) -> str:
        """The gate as `--kind K --set k=v` would give it."""
        flat = {key: value for key, value in flat_gate(self.spec).items() if key not in ("name", "kind")}
        words = [f"--set {key}={json.dumps(value, ensure_ascii=False)}" for key, value in flat.items()]
        return " ".join([f"--kind {self.spec.kind}", *words])


class History(Protocol):
    """All past outputs with their labels, and a place to try gates on them."""

    @property
    def corpus(self) -> Corpus: ...

    def texts(self, blobs: Sequence[str]) -> Iterable[tuple[str, bytes | None]]: ...

    def test(self, lesson: Lesson) -> Backtest | None:
        """The backtest of a lesson's gate; None for one that may not run on all of history (programs, judges)."""


class LessonDesk:
    """`blob` gives an object of git, `read` a file by its path where a blob is not in git yet; `lab` None: there is no
    history here; `cut`: this clone is shallow. `blob` raises KeyError."""

    def __init__(
        self,
        gates: Gates,
        settings: LessonSettings,
        blob: Callable[[str], bytes],
        read: Callable[[str], bytes | None],
        lab: History | None,
        cut: bool = False,
    ) -> None:
        self._gates = gates
        self._settings = settings
        self._blob = blob
        self._read = read
        self._lab = lab
        self._why_gone = (
            "not in this shallow clone: git fetch --unshallow" if cut else "gone from git: redacted, or history was cut"
        )
        self._verdicts: dict[tuple[str, str], GateResult] = {}
        self._texts: dict[str, str] = {}

    def exhibits(self, lesson: Lesson) -> tuple[Exhibit, ...]:
        return tuple(self._exhibit(number, each) for number, each in enumerate(lesson.evidence, 1))

    def result(self, spec: GateSpec, text: str) -> GateResult:
        """What a gate says of a text, as if it were a step's output."""
        key = (json.dumps(flat_gate(spec), sort_keys=True, default=str), text)
        found = self._verdicts.get(key)
        if found is None:
            found = self._verdicts[key] = self._gates.run([spec], subject_of(text))[0]
        return found

    def verdict(self, spec: GateSpec, text: str) -> bool | None:
        """True: green (or not asked for here); False: red; None: it cannot judge."""
        status = self.result(spec, text).status
        return None if status is GateStatus.ERROR else status is not GateStatus.FAIL

    def check(self, lesson: Lesson, book: Sequence[Lesson]) -> tuple[tuple[Finding, ...], Backtest | None]:
        test = self.backtest(lesson, lesson.gate) if lesson.gate is not None else None
        evidence = Evidence(self.exhibits(lesson), self.accepted(lesson), self.rejected(lesson), test)
        settings = self._settings
        found = check(
            lesson,
            evidence,
            book,
            self.verdict,
            max_fpr=settings.max_false_positive_rate,
            cap=settings.context_tokens,
        )
        return found, test

    def refused(self, test: Backtest | None) -> tuple[str, ...]:
        """Why `hqd backtest` would not let the gate in; empty: it would, or there is nothing yet to ask."""
        if test is None or test.figures.counts.decided == 0:
            return ()
        said = admit(test, max_fpr=self._settings.max_false_positive_rate)
        return () if said.admitted else said.reasons

    def backtest(self, lesson: Lesson, spec: GateSpec) -> Backtest | None:
        """The gate on every decided output in the lesson's scope; its own evidence with all its cluster left out."""
        if self._lab is None:
            return None
        scope = lesson.scope
        if lesson.born_at is not None:
            scope = scope.model_copy(update={"steps": (lesson.born_at,)})
        gate = spec.model_copy(update={"name": lesson.gate_name})
        return self._lab.test(lesson.model_copy(update={"gate": gate, "scope": scope}))

    def accepted(self, lesson: Lesson) -> list[str]:
        """Texts of accepted outputs in the lesson's scope, newest first, its own corrections aside."""
        return self._labelled(lesson, (Label.ACCEPTED, Label.EDITED))

    def rejected(self, lesson: Lesson) -> list[str]:
        return self._labelled(lesson, (Label.REJECTED, Label.GATED))

    def suggest(self, lesson: Lesson, bad: str, good: str) -> tuple[int, list[Tried]]:
        """How many gates were tried, and those that tell the two texts apart, the best first."""
        accepted = self.accepted(lesson)
        specs = [each for each in guesses(bad, good, accepted, lesson.account) if not self._gates.check(each)]
        telling = [each for each in specs if self.verdict(each, bad) is False and self.verdict(each, good) is True]
        tried = [self._tried(lesson, each) for each in telling[:MOST_TESTED]]
        return len(specs), sorted(tried, key=lambda each: (not each.passes, not each.tested))

    def _tried(self, lesson: Lesson, spec: GateSpec) -> Tried:
        test = self.backtest(lesson, spec)
        if test is None or test.figures.counts.decided == 0:
            named = meant(spec, lesson.account) > 0
            why = "a person's words name it; " if named else ""
            return Tried(spec, test, named, f"{why}no decided output to test it on")
        said = admit(test, max_fpr=self._settings.max_false_positive_rate, untested=True)
        why = "; ".join(said.reasons) or f"false positives {test.figures.strict_fpr}"
        return Tried(spec, test, said.admitted, why, said.tested)

    def _in_scope(self, lesson: Lesson) -> Iterable[Case]:
        scope = lesson.scope
        steps = (lesson.born_at,) if lesson.born_at is not None else scope.steps
        for case in self._lab.corpus.cases if self._lab is not None else ():
            fits = (not scope.playbooks or case.playbook in scope.playbooks) and (not steps or case.step in steps)
            if fits and (not scope.agents or case.agent in scope.agents):
                yield case

    def _labelled(self, lesson: Lesson, labels: tuple[Label, ...]) -> list[str]:
        mine = {each.blob for each in lesson.evidence} | {each.corrected_blob for each in lesson.evidence}
        cases = [case for case in self._in_scope(lesson) if case.label in labels and case.blob not in mine]
        newest = {case.cluster: case for case in cases}  # one of each cluster
        chosen = sorted(newest.values(), key=lambda case: -case.order)[:MOST_ACCEPTED]
        texts = self.texts([case.blob for case in chosen])
        return [texts[case.blob] for case in chosen if case.blob in texts]

    def texts(self, blobs: Sequence[str]) -> dict[str, str]:
        missing = [blob for blob in dict.fromkeys(blobs) if blob not in self._texts]
        if missing and self._lab is not None:
            for blob, data in self._lab.texts(missing):
                if data is not None:
                    self._texts[blob] = data[:MAX_TEXT].decode("utf-8", "replace")
        return self._texts

    def _exhibit(self, number: int, each: LessonEvidence) -> Exhibit:
        name = f"{each.task} attempt {each.attempt}" if each.task else each.path or f"case {number}"
        bad = self._text(each.blob, each.path)
        good = self._text(each.corrected_blob, each.corrected_path) if self._has_correction(each) else None
        gone = ""
        if bad is None:
            gone = f"its output {each.path} is {self._why_gone}"
        elif good is None and self._has_correction(each):
            gone = f"its correction is {self._why_gone}"
        return Exhibit(name, bad, good, gone)

    def _has_correction(self, each: LessonEvidence) -> bool:
        return each.corrected_blob is not None or each.corrected_path is not None

    def _text(self, blob: str | None, path: str | None) -> str | None:
        """By blob, which never lies; by path only where no blob is named, or git does not have it yet."""
        data = None
        if blob is not None:
            try:
                data = self._blob(blob)
            except (KeyError, ValueError):
                data = self._same(blob, path)
        elif path is not None:
            data = self._read(path)
        return data[:MAX_TEXT].decode("utf-8", "replace") if data is not None else None

    def _same(self, blob: str, path: str | None) -> bytes | None:
        data = self._read(path) if path is not None else None
        return data if data is not None and blob_id(data) == blob else None


def subject_of(text: str) -> Subject:
    """A text alone, as a step's output."""
    document = TaskDocument(header=TaskHeader(), title="", text="")
    task = Task("20000101-lesson-000000", State.ACTIVE, document, "", Cursor())
    known = facts(task, {}, datetime(2000, 1, 1, tzinfo=UTC))
    known["output"] = text
    return Subject(output=text, data=_data(text), facts=known)


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
