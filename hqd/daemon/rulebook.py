"""Which rules are in force: settings and playbooks as committed on main, the last good version where those are faulty.

A task keeps the rules of its pin; the newest good ones serve new claims.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hqd.codec import layout
from hqd.errors import Misconfigured
from hqd.model.board import Rules
from hqd.model.change import Entry
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
    """hqd.toml, playbooks/ and lessons/ as a pin names them."""

    def __init__(self, history: History, pin: Pin) -> None:
        self._history = history
        self._pin = pin
        self._playbooks = history.tree(pin.playbooks)

    def read(self, path: str) -> bytes | None:
        if path == layout.SETTINGS:
            return self._history.blob(self._pin.settings)
        if path.startswith(layout.PLAYBOOKS + "/"):
            return self._playbooks.read(path[len(layout.PLAYBOOKS) + 1 :])
        return None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        if folder == layout.PLAYBOOKS:
            return self._playbooks.entries("")
        if folder.startswith(layout.PLAYBOOKS + "/"):
            return self._playbooks.entries(folder[len(layout.PLAYBOOKS) + 1 :])
        return ()


class Rulebook:
    """`refresh` looks at a tree; `current` is what is in force; `at` gives the rules of any pin."""

    def __init__(self, history: History, load: Load, memory: Path) -> None:
        self._history = history
        self._load = load
        self._memory = memory
        self._known: dict[Pin, Rules] = {}
        self._looked_at: Pin | None = None
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
        """Looks at hqd.toml and playbooks/ of a tree; True where other rules came into force.

        Raises Misconfigured where they are faulty and no good version is remembered.
        """
        pin = pin_of(tree)
        if pin == self._looked_at:
            return False
        rules, self.problems = self._load(PinnedFiles(self._history, pin), pin)
        self._looked_at = pin
        if rules is None:
            if self._current is None:
                self._current = self._last_good()
            return False
        self._known[pin] = rules
        before, self._current = self._current, rules
        self._remember(pin)
        return before is not None

    def at(self, pin: Pin) -> Rules:
        """The rules of a pin, from git. Falls back to the ones in force where they cannot be read any more."""
        found = self._known.get(pin)
        if found is None:
            try:
                loaded, _problems = self._load(PinnedFiles(self._history, pin), pin)
            except KeyError:
                loaded = None
            found = self._known[pin] = loaded if loaded is not None else self.current
        return found

    def try_out(self, reader: Reader, pin: Pin) -> tuple[Problem, ...]:
        """What would keep these files from coming into force; empty: nothing."""
        rules, problems = self._load(reader, pin)
        return () if rules is not None else tuple(problem for problem in problems if problem.stops)

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
            rules, _problems = self._load(PinnedFiles(self._history, pin), pin)
        except (OSError, ValueError, KeyError):
            rules = None
        if rules is None:
            raise Misconfigured(str(first or "hqd.toml cannot be used"), remedy="run `hqd check`, mend it, commit it")
        self._known[rules.pin] = rules
        return rules


def pin_of(tree: Tree) -> Pin:
    """What a task claimed now is pinned to. Raises Misconfigured where main has no hqd.toml."""
    settings = tree.entry(layout.SETTINGS)
    if settings is None:
        raise Misconfigured("main has no hqd.toml", remedy="commit hqd.toml, or run `hqd init`")
    playbooks = tree.entry(layout.PLAYBOOKS)
    return Pin(playbooks=playbooks.id if playbooks is not None else _EMPTY_TREE, settings=settings.id)
