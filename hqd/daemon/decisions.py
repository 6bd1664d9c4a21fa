"""Decisions as a tree has them, read once and kept by id: for the loop, for workers, and for whoever looks on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from hqd.codec.decision import place_of, read_decision
from hqd.codec.document import read_document
from hqd.codec.layout import DECISIONS
from hqd.core.decisions import Filed, Settled, settle
from hqd.daemon.rulebook import Reader
from hqd.model.decision import Decision
from hqd.model.gate import GateSpec
from hqd.model.problem import Problem
from hqd.ports import History, Tree

MAX_BYTES = 100_000
"""Of one decision's file."""

MOST = 10_000
"""Files that are read; no HQ settles more that still matter."""

_KEPT = 64
_FILES = 20_000

CheckGate = Callable[[GateSpec], tuple[str, ...]]


class Decisions:
    """One for each process; safe to use from many threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._settled: OrderedDict[str, Settled] = OrderedDict()
        self._files: OrderedDict[tuple[str, str], tuple[Decision | None, tuple[Problem, ...]]] = OrderedDict()

    def of(self, tree: Tree) -> Settled:
        """What is settled by this tree. Files that cannot be read are problems, and stop nobody."""
        folder = tree.entry(DECISIONS)
        if folder is None or not folder.is_folder:
            return Settled()
        with self._lock:
            known = self._settled.get(folder.id)
        if known is None:
            known = self._read(tree)
            with self._lock:
                self._settled[folder.id] = known
                while len(self._settled) > _KEPT:
                    self._settled.popitem(last=False)
        return known

    def _read(self, tree: Tree) -> Settled:
        found: list[Filed] = []
        problems: list[Problem] = []
        for entry in tree.entries(DECISIONS)[:MOST]:
            path = f"{DECISIONS}/{entry.name}"
            if not place_of(path):
                continue
            decision, wrong = self._file(tree, path, entry.id, entry.mode)
            problems += wrong
            if decision is not None:
                found.append(Filed(decision, path, entry.id))
        return _with(settle(found), problems, tree)

    def _file(self, tree: Tree, path: str, blob: str, mode: str) -> tuple[Decision | None, tuple[Problem, ...]]:
        with self._lock:
            known = self._files.get((path, blob))
        if known is None:
            known = self._parsed(tree, path, blob, mode)
            with self._lock:
                self._files[path, blob] = known
                while len(self._files) > _FILES:
                    self._files.popitem(last=False)
        return known

    def _parsed(self, tree: Tree, path: str, blob: str, mode: str) -> tuple[Decision | None, tuple[Problem, ...]]:
        if not mode.startswith("100"):
            return None, (Problem(path, 0, "", "no regular file: not a decision", "write a plain markdown file"),)
        size = self._history.size(blob)
        if size > MAX_BYTES:
            return None, (_too_large(path, size),)
        return read_decision(tree.read(path) or b"", path)


def on_disk(reader: Reader) -> Settled:
    """The decisions of a working tree, as they would count if they were committed."""
    found: list[Filed] = []
    problems: list[Problem] = []
    for entry in reader.entries(DECISIONS)[:MOST]:
        path = f"{DECISIONS}/{entry.name}"
        data = reader.read(path) if place_of(path) else None
        if data is None:
            continue
        decision, wrong = (
            read_decision(data, path) if len(data) <= MAX_BYTES else (None, (_too_large(path, len(data)),))
        )
        problems += wrong
        if decision is not None:
            found.append(Filed(decision, path, entry.id))
    return _with(settle(found), problems, reader)


def _with(settled: Settled, problems: list[Problem], reader: Reader) -> Settled:
    """With the problems of single files too; all of them with the line of their key."""
    return replace(settled, problems=(*problems, *(_placed(each, reader) for each in settled.problems)))


def _placed(problem: Problem, reader: Reader) -> Problem:
    document = read_document(reader.read(problem.path) or b"", problem.path)
    return problem.at(document.line(problem.place))


def problems_of(settled: Settled, check_gate: CheckGate) -> tuple[Problem, ...]:
    """What is wrong with decisions, checks that cannot run among it: those gate nothing, and stop nobody."""
    found = list(settled.problems)
    for each in settled.active:
        if each.decision.check is not None:
            remedy = "mend it: until then this decision is checked by nobody"
            faults = [f"this check cannot run: {wrong}" for wrong in check_gate(each.decision.check)]
            found += [Problem(each.path, 0, "check", fault, remedy, place=("check",)) for fault in faults]
    return tuple(found)


def _too_large(path: str, size: int) -> Problem:
    return Problem(path, 0, "", f"has {size} bytes, more than {MAX_BYTES}", "say it in fewer words")
