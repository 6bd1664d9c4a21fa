"""The last good version of each lesson in force: what stays where a file is edited into nonsense."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hqd.codec import layout
from hqd.codec.lesson import read_lesson
from hqd.core.lessons.conflict import contradictions
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
        before = set(self._blobs.values())
        faulty = {each.path for each in problems if each.stops and each.path in self._blobs}
        told: list[Problem] = []
        kept: dict[str, str] = {}
        for path in sorted(faulty):
            lesson = self._last(path, tree, history)
            if lesson is None or (lesson.id in found and found[lesson.id][0] in before):
                continue
            blob = kept[path] = self._blobs[path]
            found[lesson.id] = (blob, lesson)
            message = f"{lesson.id} stays in force ({lesson.status.value}) as it was before, in blob {blob[:12]}"
            told.append(Problem(path, 0, "", message, "mend the file, or retire the lesson", ProblemLevel.WARNING))
            for later, why in _against(lesson, found, before):
                gone, _lesson = found.pop(later)
                name = next((each.name for each in tree.entries(layout.LESSONS) if each.id == gone), f"{later}.md")
                there = f"{layout.LESSONS}/{name}"
                message = f"{later} stays out of force: {lesson.id} was there before it, and {why}"
                remedy = "retire one of them, or narrow their scopes"
                told.append(Problem(there, 0, "", message, remedy, ProblemLevel.WARNING))
                was = self._last(there, tree, history)
                if was is not None:
                    found[was.id], kept[there] = (self._blobs[there], was), self._blobs[there]
        self._remember({blob for blob, _lesson in found.values()}, tree, kept)
        if not kept:
            return rules, ()
        both = [found[name] for name in sorted(found)]
        pin = rules.pin.model_copy(update={"lessons": tuple(blob for blob, _lesson in both)})
        return replace(rules, pin=pin, lessons=tuple(lesson for _blob, lesson in both)), tuple(told)

    def _last(self, path: str, tree: Tree, history: History) -> Lesson | None:
        """What was in force of a file that is still there; None: nothing, or git has thrown it away."""
        if path not in self._blobs or tree.entry(path) is None:
            return None
        try:
            return lesson_of(history, self._blobs[path])
        except KeyError:
            return None

    def _remember(self, good: Collection[str], tree: Tree, kept: dict[str, str]) -> None:
        now = {f"{layout.LESSONS}/{each.name}": each.id for each in tree.entries(layout.LESSONS) if each.id in good}
        now |= kept
        if now == self._blobs:
            return
        self._blobs = now
        temporary = self._memory.with_suffix(".tmp")
        temporary.write_text(json.dumps(now))
        temporary.replace(self._memory)


def _against(kept: Lesson, found: Mapping[str, tuple[str, Lesson]], before: Collection[str]) -> list[tuple[str, str]]:
    """(id, why) of what contradicts a lesson that was in force and was not so itself: whoever comes later gives way."""
    new = [lesson for blob, lesson in found.values() if blob not in before]
    new = [each for each in new if each.id not in kept.supersedes and kept.id not in each.supersedes]
    return [(other.id, why) for each in new for _kept, other, why in contradictions([kept, each])]


def lesson_of(history: History, blob: str) -> Lesson | None:
    """A lesson that was in force once, and so was good. Raises KeyError where it is gone."""
    return read_lesson(history.blob(blob), layout.LESSONS, named=False)[0]
