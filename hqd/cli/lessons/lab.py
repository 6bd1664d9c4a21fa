"""History as lessons are tried on it: the laboratory of `hqd backtest`, behind what the lesson desk asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from hqd.adapters.archive import GitArchive
from hqd.cli.backtest.command import existing
from hqd.cli.backtest.gates import of_lesson
from hqd.cli.backtest.run import Laboratory, Trial
from hqd.cli.board.reading import View
from hqd.cli.history.past import label_days
from hqd.core.history.backtest import Backtest, Judged
from hqd.errors import Misconfigured, Usage
from hqd.gates.registry import Registry
from hqd.model.corpus import Corpus
from hqd.model.lesson import Lesson

if TYPE_CHECKING:
    from hqd.cli.lessons.book import Shelf


class Lab:
    def __init__(self, laboratory: Laboratory, book: Sequence[Lesson]) -> None:
        self.laboratory = laboratory
        self._book = tuple(book)
        self._there = existing(laboratory.seen, laboratory.registry)

    @property
    def corpus(self) -> Corpus:
        return self.laboratory.corpus

    def texts(self, blobs: Sequence[str]) -> Iterable[tuple[str, bytes | None]]:
        return self.laboratory.archive.texts(blobs)

    def test(self, lesson: Lesson) -> Backtest | None:
        trial = self.trial(lesson)
        return trial.found if trial is not None else None

    def trial(self, lesson: Lesson) -> Trial | None:
        """The backtest with the verdict on each output; None for a gate that may not run on all of history."""
        others = tuple(each for each in self._book if each.id != lesson.id)
        try:
            return self.laboratory.test(of_lesson(lesson, others), existing=self._there)
        except Usage:
            return None


def open_lab(shelf: Shelf) -> Lab | None:
    """None where there is no main to read."""
    registry = cast(Registry, shelf.gates)
    try:
        seen = View(shelf.repo, None)
        laboratory = Laboratory(seen, GitArchive(shelf.repo), registry, revision=None, label_days=label_days(seen))
        return Lab(laboratory, tuple(shelf.book.values()))
    except (KeyError, Misconfigured):
        return None


def flagged(found: Backtest, texts: dict[str, str]) -> list[tuple[Judged, str]]:
    """The outputs on which a gate fires, with their texts."""
    return [(judged, texts.get(judged.case.blob, "")) for judged in found.flagged]
