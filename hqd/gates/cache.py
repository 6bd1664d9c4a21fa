"""Verdicts already given, by everything that they follow from.

The key is the hash of the gate's version (kind, kind version, rendered parameters) and the ids of everything read.
Errors and skips are never kept: they say something of the moment. In memory bounded by count; dear verdicts (judges)
may also be kept in a folder that can be thrown away at any time (`.hqd/gates`).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hqd.gates.kind import Verdict
from hqd.model.gate import Evidence

_PRUNE_EVERY = 200  # writes


class Verdicts:
    """A bounded cache, safe to use from many threads. `make` makes a folder of the cache; may raise OSError."""

    def __init__(
        self,
        limit: int = 5_000,
        folder: Path | None = None,
        folder_limit: int = 20_000,
        make: Callable[[Path], object] = lambda path: path.mkdir(parents=True, exist_ok=True),
    ) -> None:
        self._limit = limit
        self._make = make
        self._folder = folder
        self._folder_limit = folder_limit
        self._kept: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()
        self._writes = 0

    def get(self, key: str, *, dear: bool) -> Verdict | None:
        """The verdict, or None. Only `dear` ones are looked for in the folder."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        if not dear or self._folder is None:
            return None
        found = _load(self._path(self._folder, key))
        if found is not None:
            self._remember(key, found)
        return found

    def put(self, key: str, verdict: Verdict, *, dear: bool) -> None:
        if verdict.passed is None:
            return
        free = Verdict(
            verdict.passed, verdict.message, verdict.evidence, verdict.score, verdict.threshold, 0.0, verdict.settled
        )
        self._remember(key, free)  # what was paid once costs nothing the second time
        if dear and self._folder is not None:
            self._save(self._folder, key, free)

    def _remember(self, key: str, verdict: Verdict) -> None:
        with self._lock:
            self._kept[key] = verdict
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"

    def _save(self, folder: Path, key: str, verdict: Verdict) -> None:
        path = self._path(folder, key)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        with contextlib.suppress(OSError):  # a cache that cannot be written is only slower
            self._make(path.parent)
            draft.write_text(json.dumps(_dump(verdict)), encoding="utf-8")
            draft.replace(path)
        with self._lock:
            self._writes += 1
            due = self._writes % _PRUNE_EVERY == 0
        if due:
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            files = sorted(folder.glob("*/*.json"), key=lambda file: file.stat().st_mtime)
            for file in files[: max(0, len(files) - self._folder_limit)]:
                file.unlink(missing_ok=True)


def _dump(verdict: Verdict) -> dict[str, Any]:
    return {
        "passed": verdict.passed,
        "message": verdict.message,
        "evidence": [item.model_dump() for item in verdict.evidence],
        "score": verdict.score,
        "threshold": verdict.threshold,
        "settled": verdict.settled,
    }


def _load(path: Path) -> Verdict | None:
    """A kept verdict; None where there is none, or the file is not what was written."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Verdict(
            passed=bool(kept["passed"]),
            message=str(kept["message"]),
            evidence=tuple(Evidence.model_validate(item) for item in kept["evidence"]),
            score=kept["score"],
            threshold=kept["threshold"],
            settled=bool(kept["settled"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
