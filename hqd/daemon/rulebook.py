"""Which rules are in force: settings, playbooks and lessons as committed on main, the last good version where those
are faulty. A task keeps the rules of its pin; the newest good ones serve new claims.

A faulty lesson keeps nothing else out of force: its own last good version stays, alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from hqd.codec import layout
from hqd.daemon.lessons.good import GoodLessons, lesson_of
from hqd.errors import Misconfigured
from hqd.model.board import Rules
from hqd.model.change import Entry
from hqd.model.lesson import Lesson
from hqd.model.problem import Problem
from hqd.model.record import Pin
from hqd.ports import History, Tree


class Reader(Protocol):
    """The files that rules are read from."""

    def read(self, path: str) -> bytes | None: ...

    def entries(self, folder: str) -> tuple[Entry, ...]: ...


Load = Callable[[Reader, Pin], tuple[Rules | None, tuple[Problem, ...]]]
"""Reads and checks rules; None with problems that stop, else the rules with what else is to be said."""

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class PinnedFiles:
    """hqd.toml and playbooks/ as a pin names them, and, where a tree is given, its lessons/."""

    def __init__(self, history: History, pin: Pin, lessons: Reader | None = None) -> None:
        self._history = history
        self._pin = pin
        self._playbooks = history.tree(pin.playbooks)
        self._lessons = lessons

    def read(self, path: str) -> bytes | None:
        if path == layout.SETTINGS:
            return self._history.blob(self._pin.settings)
        if path.startswith(layout.PLAYBOOKS + "/"):
            return self._playbooks.read(path[len(layout.PLAYBOOKS) + 1 :])
        if path.startswith(layout.LESSONS + "/") and self._lessons is not None:
            return self._lessons.read(path)
        return None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        if folder == layout.PLAYBOOKS:
            return self._playbooks.entries("")
        if folder.startswith(layout.PLAYBOOKS + "/"):
            return self._playbooks.entries(folder[len(layout.PLAYBOOKS) + 1 :])
        if folder == layout.LESSONS and self._lessons is not None:
            return self._lessons.entries(folder)
        return ()


class Rulebook:
    """`refresh` looks at a tree; `current` is what is in force; `at` gives the rules of any pin."""

    def __init__(self, history: History, load: Load, memory: Path) -> None:
        self._history = history
        self._load = load
        self._memory = memory
        self._known: dict[Pin, Rules] = {}
        self._good = GoodLessons(memory.with_name("good-lessons.json"))
        self._looked_at: tuple[Pin, str] | None = None
        self._current: Rules | None = None
        self.problems: tuple[Problem, ...] = ()

    @property
    def current(self) -> Rules:
        if self._current is None:
            raise Misconfigured("no rules are in force")
        return self._current

    @property
    def known(self) -> dict[Pin, Rules]:
        return self._known

    def refresh(self, tree: Tree) -> bool:
        """Looks at hqd.toml, playbooks/ and lessons/ of a tree; True where other rules came into force.

        Raises Misconfigured where they are faulty and no good version is remembered.
        """
        pin, lessons = pin_of(tree), tree.entry(layout.LESSONS)
        looked_at = (pin, lessons.id if lessons is not None else "")
        if looked_at == self._looked_at:
            return False
        rules, self.problems = self._load(PinnedFiles(self._history, pin, tree), pin)
        self._looked_at = looked_at
        if rules is None:
            if self._current is None:
                self._current = self._last_good()
            return False
        rules, told = self._good.complete(rules, tree, self.problems, self._history)
        self.problems = (*self.problems, *told)
        self._known[rules.pin] = rules
        before, self._current = self._current, rules
        if before is not None and before.pin == rules.pin:
            return False
        self._remember(rules.pin)
        return before is not None

    def at(self, pin: Pin) -> Rules:
        """The rules of a pin, from git. Falls back to the ones in force where they cannot be read any more."""
        found = self._known.get(pin)
        if found is None:
            found = self._known[pin] = self._made(pin) or self.current
        return found

    def _made(self, pin: Pin) -> Rules | None:
        """The rules of a pin: of those that are known, where only the lessons differ; else from git."""
        alike = (each for each in self._known.values() if _bare(each.pin) == _bare(pin))
        try:
            base = next(alike, None) or self._load(PinnedFiles(self._history, _bare(pin)), _bare(pin))[0]
            lessons = pinned_lessons(self._history, pin)
        except KeyError:
            return None
        if base is None or len(lessons) != len(pin.lessons):
            return None
        return replace(base, pin=pin, lessons=lessons)

    def try_out(self, reader: Reader, pin: Pin) -> tuple[Problem, ...]:
        """What would keep these files from coming into force; empty: nothing."""
        _rules, problems = self._load(reader, pin)
        return tuple(problem for problem in problems if problem.stops)

    def forget(self, used: set[Pin]) -> None:
        """Keeps only the rules that some open task is pinned to."""
        keep = {*used, self.current.pin}
        for pin in [pin for pin in self._known if pin not in keep]:
            del self._known[pin]

    def _remember(self, pin: Pin) -> None:
        temporary = self._memory.with_suffix(".tmp")
        temporary.write_text(pin.model_dump_json())
        temporary.replace(self._memory)

    def _last_good(self) -> Rules:
        """The last good version that a daemon of this clone had in force. Raises Misconfigured."""
        first = next((problem for problem in self.problems if problem.stops), None)
        try:
            pin = Pin.model_validate(json.loads(self._memory.read_text()))
            rules = self._made(pin)
        except (OSError, ValueError):
            rules = None
        if rules is None:
            raise Misconfigured(str(first or "hqd.toml cannot be used"), remedy="run `hqd check`, mend it, commit it")
        self._known[rules.pin] = rules
        return rules


def pinned_lessons(history: History, pin: Pin) -> tuple[Lesson, ...]:
    """The lessons that a pin names, as they were; those that this hqd cannot read are left out. Raises KeyError."""
    found = (lesson_of(history, blob) for blob in pin.lessons)
    return tuple(lesson for lesson in found if lesson is not None)


def _bare(pin: Pin) -> Pin:
    return Pin(playbooks=pin.playbooks, settings=pin.settings)


def pin_of(tree: Tree) -> Pin:
    """The settings and playbooks of a tree; which lessons are in force is found by checking them.

    Raises Misconfigured where main has no hqd.toml.
    """
    settings = tree.entry(layout.SETTINGS)
    if settings is None:
        raise Misconfigured("main has no hqd.toml", remedy="commit hqd.toml, or run `hqd init`")
    playbooks = tree.entry(layout.PLAYBOOKS)
    return Pin(playbooks=playbooks.id if playbooks is not None else _EMPTY_TREE, settings=settings.id)
