"""The last good version of each lesson in force: what stays where a file is edited into nonsense."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hqd.codec import layout
from hqd.codec.lesson import read_lesson
from hqd.model.board import Rules
from hqd.model.lesson import Lesson
from hqd.model.problem import Problem, ProblemLevel
from hqd.ports import History, Tree


class GoodLessons:
    """Blobs by path, kept in a file of this clone: a restart does not forget what was in force."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._blobs: dict[str, str] = {}
        with suppress(OSError, ValueError, TypeError, AttributeError):
            self._blobs = {str(path): str(blob) for path, blob in json.loads(memory.read_text()).items()}

    def complete(
        self,
        rules: Rules,
        tree: Tree,
        problems: Collection[Problem],
        history: History,
    ) -> tuple[Rules, tuple[Problem, ...]]:
        """The rules with the last good version of each faulty file that is still there, and what people are told."""
        found = {lesson.id: (blob, lesson) for blob, lesson in zip(rules.pin.lessons, rules.lessons, strict=True)}
        told: list[Problem] = []
        kept: dict[str, str] = {}
        for path in sorted({each.path for each in problems if each.stops and each.path in self._blobs}):
            blob = self._blobs[path]
            try:
                lesson = lesson_of(history, blob)
            except KeyError:
                continue  # thrown away by git: nobody can have it any more
            if tree.entry(path) is None or lesson is None or lesson.id in found:
                continue
            found[lesson.id], kept[path] = (blob, lesson), blob
            message = f"{lesson.id} stays in force ({lesson.status.value}) as it was before, in blob {blob[:12]}"
            told.append(Problem(path, 0, "", message, "mend the file, or retire the lesson", ProblemLevel.WARNING))
        self._remember(rules, tree, kept)
        if not kept:
            return rules, ()
        both = [found[name] for name in sorted(found)]
        pin = rules.pin.model_copy(update={"lessons": tuple(blob for blob, _lesson in both)})
        return replace(rules, pin=pin, lessons=tuple(lesson for _blob, lesson in both)), tuple(told)

    def _remember(self, rules: Rules, tree: Tree, kept: dict[str, str]) -> None:
        good = set(rules.pin.lessons)
        now = {f"{layout.LESSONS}/{each.name}": each.id for each in tree.entries(layout.LESSONS) if each.id in good}
        now |= kept
        if now == self._blobs:
            return
        self._blobs = now
        temporary = self._memory.with_suffix(".tmp")
        temporary.write_text(json.dumps(now))
        temporary.replace(self._memory)


def lesson_of(history: History, blob: str) -> Lesson | None:
    """A lesson that was in force once, and so was good. Raises KeyError where it is gone."""
    return read_lesson(history.blob(blob), layout.LESSONS, named=False)[0]
