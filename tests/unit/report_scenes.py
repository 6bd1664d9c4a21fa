"""Small stories for the tests of figures: facts of a task, told by hand, one minute after the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.core.report.facts import Fact, Verdict
from hqd.core.report.story import Story, story
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateStatus, Level
from hqd.model.record import EventKind, Via
from hqd.model.task import State

BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)  # the Monday of 2026-W45


def red(name: str, level: Level = Level.ENFORCE) -> Verdict:
    return Verdict(name, "regex", level, GateStatus.FAIL)


def green(name: str) -> Verdict:
    return Verdict(name, "regex", Level.ENFORCE, GateStatus.PASS)


class Scene:
    """Builds the facts of one task; each step of the story takes one minute."""

    def __init__(self, task: str = "20261102-a-000001", playbook: str = "brief", begin: datetime = BEGIN) -> None:
        self.task, self.playbook, self.now = task, playbook, begin
        self.facts: list[Fact] = []
        self._attempts: dict[str, int] = {}
        self._add(EventKind.ACCEPTED, State.QUEUE)

    def _add(self, kind: EventKind, to: State, **fields: Any) -> Scene:
        if self.facts:
            self.now += timedelta(minutes=1)
        self.facts.append(Fact(self.task, len(self.facts) + 1, kind, to, self.now, **fields))
        return self

    def wait(self, **span: float) -> Scene:
        self.now += timedelta(**span)
        return self

    def attempt(
        self,
        failure: Failure | None = None,
        *,
        step: str = "write",
        mode: str = "first",
        agent: str | None = "small",
        cost: float | None = 0.10,
        gates: Sequence[Verdict] = (),
        outcome: Outcome | None = None,
        to: State = State.QUEUE,
        **fields: Any,
    ) -> Scene:
        number = self._attempts[step] = self._attempts.get(step, 0) + 1
        self._add(
            EventKind.CLAIMED,
            State.ACTIVE,
            step=step,
            attempt=number,
            mode=mode,
            agent=agent,
            playbook=self.playbook,
        )
        return self._add(
            EventKind.FINISHED,
            to,
            step=step,
            attempt=number,
            agent=agent,
            outcome=outcome or (Outcome.PASSED if failure is None else Outcome.FAILED),
            failure=failure,
            cost=cost,
            wall=60.0,
            gates=tuple(gates),
            **fields,
        )

    def review(self, step: str = "approve") -> Scene:
        self._add(EventKind.CLAIMED, State.ACTIVE, step=step, attempt=1, mode="first", playbook=self.playbook)
        return self._add(EventKind.REVIEW_OPENED, State.REVIEW, step=step)

    def landed(self, via: Via | None = Via.CLI) -> Scene:
        return self._add(EventKind.LANDED, State.QUEUE, via=via, by="Ada" if via else "hqd")

    def changes(self, step: str = "write") -> Scene:
        return self._add(EventKind.FEEDBACK, State.QUEUE, step=step, via=Via.CLI, by="Ada")

    def rejected(self) -> Scene:
        return self._add(
            EventKind.PARKED, State.BLOCKED, reason=ParkReason.REVIEW_REJECTED, via=Via.CLI, by="Ada", step="approve"
        )

    def parked(self, reason: ParkReason = ParkReason.LADDER_EXHAUSTED) -> Scene:
        return self._add(EventKind.PARKED, State.BLOCKED, reason=reason)

    def resumed(self) -> Scene:
        return self._add(EventKind.RESUMED, State.QUEUE, via=Via.CLI, by="Ada")

    def routed(self, step: str) -> Scene:
        return self._add(EventKind.ROUTED, State.QUEUE, step=step, route="critique#0")

    def label(self, word: str) -> Scene:
        return self._add(EventKind.FEEDBACK, State.QUEUE, step="write", via=Via.CLI, by="Ada", label=word)

    def done(self) -> Scene:
        return self._add(EventKind.DONE, State.DONE)

    def dropped(self, via: Via | None = None) -> Scene:
        return self._add(EventKind.DROPPED, State.DROPPED, via=via)

    def told(self) -> Story:
        return story(self.task, self.facts)
