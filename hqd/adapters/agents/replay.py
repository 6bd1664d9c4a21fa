"""Recorded answers from a JSONL file: the agent of demos, tests, benchmarks and dry runs.

A row is a JSON object. Its answer stands under `answer`, `text`, `response` or `output`; it may also carry `usage`
(`input_tokens, output_tokens, cached_tokens, cost_usd`), `model`, `failure` (a class) with `message`, `delay` (a
duration), `files` (path to text, or null for a deletion), `needs_human`, `replan`, `decisions`, `stop`.
The row is picked by the agent's `pick`, an expression over the task's facts and `step, attempt, agent, row`: the
first for which it holds. Without one: the first of whose keys `task, slug, step, attempt, agent` each one that is
there fits the question.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from hqd.adapters.agents.conjuncts import equalities
from hqd.adapters.agents.prices import priced
from hqd.adapters.agents.workdir import OutsideOfCopy, Workdir
from hqd.codec import layout
from hqd.codec.own_words import own_words
from hqd.errors import ExpressionFault
from hqd.model.attempt import Answer, Question
from hqd.model.duration import seconds
from hqd.model.failure import Failure
from hqd.model.record import Usage
from hqd.model.settings import Price

_TEXT_KEYS = ("answer", "text", "response", "output")
_MATCHED = ("task", "slug", "step", "attempt", "agent")


class Expression(Protocol):
    def evaluate(self, facts: Mapping[str, Any]) -> Any: ...


Row = Mapping[str, Any]


@dataclass(slots=True)
class _Recording:
    """One file as read, with an index of rows by the value under each key that was asked for."""

    stamp: tuple[int, int, int]
    rows: Sequence[Row]
    index: dict[str, dict[Any, list[int]]] = field(default_factory=dict)

    def with_value(self, key: str, value: Any) -> list[int]:
        """The numbers of the rows that have `value` under `key`, in order."""
        if key not in self.index:
            found: dict[Any, list[int]] = {}
            for number, row in enumerate(self.rows):
                if isinstance(row.get(key), str | int | float | bool):
                    found.setdefault(row[key], []).append(number)
            self.index[key] = found
        return self.index[key].get(value, [])


class ReplayAgent:
    """Answers from files; deterministic. `root` is where relative paths of `answers` start (the HQ)."""

    def __init__(
        self, root: Path, compile_expression: Callable[[str], Expression], prices: Mapping[str, Price] | None = None
    ) -> None:
        self._root = root
        self._prices = prices or {}
        self._compile = compile_expression
        self._recordings: dict[Path, _Recording] = {}
        self._lock = threading.Lock()

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """The recorded answer; AGENT_ERROR that says what was looked for where there is none."""
        try:
            row = self._find(question)
            answer = self._play(row, question, stop)
        except (OSError, ValueError, ExpressionFault, OutsideOfCopy) as error:
            return _failed(Failure.AGENT_ERROR, str(error))
        usage = priced(answer.usage, answer.model, question.settings, self._prices)
        return replace(answer, usage=usage, model=answer.model or question.settings.model)

    def _find(self, question: Question) -> Row:
        """Raises OSError, ValueError (unreadable, no such row), ExpressionFault."""
        if question.settings.answers is None:
            raise ValueError(f"agent {question.agent} has no file of answers")
        path = self._root / question.settings.answers
        recording = self._recording(path)
        facts = _facts(question)
        if question.settings.pick is None:
            found = _first_fitting(recording, question)
        else:
            found = self._first_picked(recording, question.settings.pick, facts)
        if found is None:
            looked = {"task": question.task, "step": question.step, "attempt": question.attempt}
            by = f" by `{question.settings.pick}`" if question.settings.pick else ""
            raise ValueError(
                f"no recorded answer in {question.settings.answers} ({len(recording.rows)} rows){by} for "
                + ", ".join(f"{name} {value}" for name, value in looked.items())
                + f", agent {question.agent}"
            )
        return found

    def _recording(self, path: Path) -> _Recording:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        with self._lock:
            known = self._recordings.get(path)
            if known is None or known.stamp != stamp:
                known = self._recordings[path] = _Recording(stamp, tuple(_rows(path)))
            return known

    def _first_picked(self, recording: _Recording, pick: str, facts: Mapping[str, Any]) -> Row | None:
        expression = self._compile(pick)
        fault: ExpressionFault | None = None
        for number in self._candidates(recording, pick, facts):
            row = recording.rows[number]
            try:
                if expression.evaluate({**facts, "row": row}):
                    return row
            except ExpressionFault as error:  # rows need not all have the same keys
                fault = fault or error
        if fault is not None:
            raise fault
        return None

    def _candidates(self, recording: _Recording, pick: str, facts: Mapping[str, Any]) -> Sequence[int]:
        """The rows that can be meant: those that fit an equality which the whole expression needs, else all."""
        best: Sequence[int] = range(len(recording.rows))
        for key, source in equalities(pick):
            try:
                value = self._compile(source).evaluate(facts)
            except ExpressionFault:
                continue
            if isinstance(value, str | int | float | bool):
                with self._lock:
                    rows = recording.with_value(key, value)
                best = rows if len(rows) < len(best) else best
        return best

    def _play(self, row: Row, question: Question, stop: threading.Event) -> Answer:
        delay = max(seconds(question.settings.delay), _delay(row))
        if delay and stop.wait(min(delay, question.timeout)):
            return _failed(Failure.INTERRUPTED, "stopped")
        if delay > question.timeout:
            return _failed(Failure.TIMEOUT, f"no answer within {question.timeout:g} s")
        if question.cwd is not None and isinstance(row.get("files"), dict):
            _lay_down(Workdir(question.cwd), row["files"])
        return _answer(row)


def _delay(row: Row) -> float:
    """Seconds: a duration, or a bare number of seconds. Raises ValueError."""
    value = row.get("delay", 0)
    return float(value) if isinstance(value, int | float) else seconds(str(value))


def _answer(row: Row) -> Answer:
    text = next((row[key] for key in _TEXT_KEYS if row.get(key) is not None), "")
    words = own_words(
        json.dumps(
            {**{key: row.get(key) for key in ("needs_human", "replan", "decisions", "model")}, "output": text}
        ).encode()
    )
    failure = Failure(row["failure"]) if row.get("failure") else words.failure
    if failure is None and not words.text.strip() and not row.get("files"):
        failure = Failure.EMPTY
    return Answer(
        text=words.text,
        raw=words.text.encode("utf-8", "surrogatepass"),
        usage=_usage(row.get("usage")),
        model=words.model,
        failure=failure,
        message=str(row.get("message") or words.message or (f"recorded as {failure}" if failure else "")),
        stop=row.get("stop"),
        retry_after=row.get("retry_after"),
        needs_human=words.needs_human,
        replan=words.replan,
        decisions=words.decisions,
    )


def _usage(row: object) -> Usage:
    if not isinstance(row, dict):
        return Usage(requests=1)
    return Usage(
        in_=row.get("input_tokens", 0),
        out=row.get("output_tokens", 0),
        cached=row.get("cached_tokens", 0),
        cost=row.get("cost_usd"),
        requests=1,
    )


def _failed(failure: Failure, message: str) -> Answer:
    return Answer(text="", raw=b"", failure=failure, message=message)


def _facts(question: Question) -> dict[str, Any]:
    own = {"step": question.step, "attempt": question.attempt, "agent": question.agent}
    task = {"id": question.task, "slug": layout.slug_of(question.task)}
    return {"task": task, **question.facts, **own}


def _first_fitting(recording: _Recording, question: Question) -> Row | None:
    wanted = {
        "task": question.task,
        "slug": layout.slug_of(question.task),
        "step": question.step,
        "attempt": question.attempt,
        "agent": question.agent,
    }
    fitting = (row for row in recording.rows if all(row[key] == wanted[key] for key in _MATCHED if key in row))
    return next(fitting, None)


def _lay_down(copy: Workdir, files: Mapping[str, Any]) -> None:
    for path, content in files.items():
        if content is None:
            copy.remove(path)
        else:
            copy.write(path, str(content).encode())


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL, gzipped or not. Raises OSError, ValueError with the line."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path.name}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}:{number}: not a JSON object")
            yield row
