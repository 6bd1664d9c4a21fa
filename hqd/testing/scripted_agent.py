"""An agent that answers from a script, in the same process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hqd.model.attempt import Answer, Question
from hqd.model.failure import Failure
from hqd.model.record import Usage

Line = str | Answer | Callable[[Question], "str | Answer"]


class ScriptedAgent:
    """Answers the questions in turn from a sequence, or each by a function; remembers them all.

    A line is an answer, its text, or a function of the question. A used-up script is an AGENT_ERROR, not an
    exception, as the port demands. `hold` is an event to wait for before answering: how a test keeps it busy.
    """

    def __init__(
        self, script: Sequence[Line] | Callable[[Question], str | Answer], hold: threading.Event | None = None
    ) -> None:
        self._script = script
        self._hold = hold
        self._lock = threading.Lock()
        self.questions: list[Question] = []

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        """The next line of the script; INTERRUPTED when stopped while held, TIMEOUT after the question's time."""
        with self._lock:
            turn = len(self.questions)
            self.questions.append(question)
        progress("scripted")
        failure = self._wait(question.timeout, stop)
        if failure is not None:
            return _failed(failure)
        if callable(self._script):
            return _answer(self._script(question))
        if turn >= len(self._script):
            return _failed(Failure.AGENT_ERROR, f"the script has {len(self._script)} lines; asked once more")
        line = self._script[turn]
        return _answer(line(question) if callable(line) else line)

    def _wait(self, timeout: float, stop: threading.Event) -> Failure | None:
        waited = 0.0
        while True:
            if stop.is_set():
                return Failure.INTERRUPTED
            if self._hold is None or self._hold.wait(0.02):
                return None
            waited += 0.02
            if waited >= timeout:
                return Failure.TIMEOUT


def _answer(line: str | Answer) -> Answer:
    if isinstance(line, Answer):
        return line
    failure = None if line.strip() else Failure.EMPTY
    usage = Usage(in_=1, out=max(1, len(line) // 4), requests=1)
    return Answer(
        text=line, raw=line.encode(), usage=usage, model="scripted", failure=failure, message="empty" if failure else ""
    )


def _failed(failure: Failure, message: str = "") -> Answer:
    return Answer(text="", raw=b"", failure=failure, message=message or f"scripted: {failure}")
