"""`evolve(task, event) -> task`: what follows from an event. Pure, total over the table, the only maker of cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hqd.core import decisions, transitions, trials
from hqd.core.limits import backoff
from hqd.core.reviews import audit
from hqd.core.reviews import state as review_state
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome
from hqd.model.record import Best, Cursor, Event, EventKind, OutputRef, Phase, Rungs
from hqd.model.task import State

DIED = "died"
"""`stop` of an attempt whose daemon ended unasked: nobody told it to stop."""

UNCOUNTED = frozenset({Failure.TRANSIENT, Failure.GATE_ERROR, Failure.INTERRUPTED})
"""Failures that are not the agent's: such attempts do not count towards limits or ladders."""

_MEMORY = 48
"""How many fingerprints, failures and prompt hashes of a round a cursor keeps: several turns of a long loop."""


def evolve(task: Task, event: Event) -> Task:
    """The task after `event`. Raises IllegalTransition; then nothing was changed."""
    transitions.check(task.state, task.cursor.phase, event)
    cursor = decisions.follow(task.cursor, _APPLY[event.event](task.cursor, event), event)
    if task.state is State.ACTIVE and task.cursor.since is not None and event.to is not State.ACTIVE:
        spent = max(0.0, (event.at - task.cursor.since).total_seconds())
        cursor = cursor.model_copy(update={"wall": round(task.cursor.wall + spent, 3)})
    if event.to is not task.state:
        cursor = cursor.model_copy(update={"since": event.at})
    return task.changed(state=event.to, cursor=cursor, n=task.n + 1, last=event)


def _with(cursor: Cursor, **fields: Any) -> Cursor:
    return cursor.model_copy(update=fields)


def _accepted(cursor: Cursor, event: Event) -> Cursor:
    return _with(
        cursor,
        source=event.source,
        playbook=event.playbook,
        parent=event.parent,
        phase=Phase.READY,
        since=event.at,
    )


def _claimed(cursor: Cursor, event: Event) -> Cursor:
    step, attempt = str(event.step), int(event.attempt or 0)
    moved_on = step != cursor.step or cursor.phase in (Phase.PASSED, Phase.READY)
    rungs = dict(cursor.rungs)
    if event.rung is not None:
        key = f"{step}:{event.ladder}" if event.ladder else step
        before = rungs.get(key, Rungs())
        used = before.used + 1 if before.rung == event.rung else 1
        rungs[key] = Rungs(rung=event.rung, used=used)
    return _with(
        cursor,
        step=step,
        phase=Phase.CLAIMED,
        mode=event.mode if event.mode != "again" else cursor.mode,
        agent=event.agent if event.mode == "agent" else (None if moved_on else cursor.agent),
        pin=event.pin,
        repo=event.work.repo if event.work else cursor.repo,
        base=event.work.base if event.work else cursor.base,
        attempts={**cursor.attempts, step: attempt},
        rungs=rungs,
        findings=cursor.findings if not (moved_on and cursor.phase is Phase.PASSED) else (),
        claim=event.claim,
        playbook=event.playbook or cursor.playbook,
        failure=None,
        not_before=None,
        since=event.at,
        patch=cursor.patch if step == cursor.step and event.mode != "fresh" else None,
    )


def _finished(cursor: Cursor, event: Event) -> Cursor:
    usage = event.usage
    cost = (usage.cost or 0.0) if usage else 0.0
    tokens, step = usage.tokens if usage else 0, str(event.step)
    cursor = _with(
        cursor,
        cost=round(cursor.cost + cost, 6),
        tokens=cursor.tokens + tokens,
        spent=round(cursor.spent + cost, 6),
        spent_tokens=cursor.spent_tokens + tokens,
        stalled=round(cursor.stalled + cost, 6),
        stalled_tokens=cursor.stalled_tokens + tokens,
        step_cost={**cursor.step_cost, step: round(cursor.step_cost.get(step, 0.0) + cost, 6)},
        step_tokens={**cursor.step_tokens, step: cursor.step_tokens.get(step, 0) + tokens},
        deaths=cursor.deaths + 1 if event.stop == DIED else 0,
        gates=_shown(event),
        claim=None,
    )
    if event.outcome is Outcome.PASSED:
        return _passed(cursor, event)
    if event.outcome is Outcome.INTERRUPTED or event.outcome is Outcome.REFUSED:
        crashed = event.failure is Failure.CRASHED
        return _with(
            cursor,
            phase=Phase.AGAIN,
            failure=event.failure or Failure.INTERRUPTED,
            crashes=cursor.crashes + (1 if crashed else 0),
            pin=None if event.outcome is Outcome.REFUSED else cursor.pin,
        )
    if event.failure is Failure.TRANSIENT or event.failure is Failure.GATE_ERROR:
        tries = cursor.backoff + 1
        wait = backoff.delay(tries, event.retry_after, seed=f"{event.step}/{event.attempt}/{cursor.source}")
        return _with(
            cursor,
            phase=Phase.AGAIN,
            failure=event.failure,
            backoff=tries,
            not_before=event.at + wait,
            missing=event.message,
        )
    return audit.shown(_failed(cursor, event), event)


def _shown(event: Event) -> dict[str, str]:
    """Verdicts that expressions, and so prompts and routes, may rest on: those of lessons in shadow are not among."""
    return {result.name: result.status.value for result in event.gates if not result.hidden}


def _passed(cursor: Cursor, event: Event) -> Cursor:
    step = str(event.step)
    outputs, last = dict(cursor.outputs), dict(cursor.last)
    if event.output is not None and event.output_blob is not None:
        outputs[step] = OutputRef(
            path=event.output,
            blob=event.output_blob,
            attempt=int(event.attempt or 0),
            n=_number(event.output),
            data=event.output_data,
        )
        last[step] = event.output
    again = step in cursor.reached
    return _with(
        cursor,
        phase=Phase.PASSED,
        outputs=outputs,
        last=last,
        rungs={key: rungs for key, rungs in cursor.rungs.items() if key.partition(":")[0] != step},
        trials={name: tries for name, tries in cursor.trials.items() if name != step},
        counted=cursor.counted + 1,
        fingerprints=_remember(cursor.fingerprints, event.fingerprint),
        findings=(),
        failure=None,
        backoff=0,
        crashes=0,
        stalled=cursor.stalled if again else 0.0,
        stalled_tokens=cursor.stalled_tokens if again else 0,
        reached=cursor.reached if again else (*cursor.reached, step),
        repeats=cursor.repeats + 1 if again else 0,
        mode="first",
        patch=None,
        children={**cursor.children, step: event.children} if event.spawned is not None else cursor.children,
        spawned={**cursor.spawned, step: tuple(event.spawned.split())} if event.spawned is not None else cursor.spawned,
        head=event.work.head if event.work and event.work.head else cursor.head,
        merge=cursor.merge if event.work is None or event.work.head is None else None,
        sample=event.sample,
        base=cursor.base or (event.work.base if event.work else None),
        files=tuple(dict.fromkeys([*cursor.files, *(event.work.files if event.work else ())])),
    )


def _failed(cursor: Cursor, event: Event) -> Cursor:
    step = str(event.step)
    passed = sum(1 for result in event.gates if result.status.value == "pass" and not result.hidden)
    best = dict(cursor.best)
    if event.gates and (step not in best or passed >= best[step].passed):  # of equals the later: it knew the findings
        best[step] = Best(
            attempt=int(event.attempt or 0), n=_number(event.output or ""), passed=passed, output=event.output
        )
    last = {**cursor.last, step: event.output} if event.output else dict(cursor.last)
    return _with(
        cursor,
        phase=Phase.FAILED,
        failure=event.failure,
        failures=_remember(cursor.failures, f"{step}:{event.failure.value if event.failure else 'failed'}"),
        counted=cursor.counted + (0 if event.failure in UNCOUNTED else 1),
        prompts=_remember(cursor.prompts, event.prompt_hash),
        fingerprints=_remember(cursor.fingerprints, event.fingerprint),
        findings=event.findings or cursor.findings,
        best=best,
        last=last,
        trials=trials.after(cursor, event, step),
        backoff=0,
        missing=event.message,
        **review_state.brought(cursor, event.work),
    )


def _routed(cursor: Cursor, event: Event) -> Cursor:
    target, key = str(event.step), str(event.route)
    return _with(
        cursor,
        step=target,
        phase=Phase.READY,
        mode="retry" if event.findings else "first",
        agent=None,
        routes={**cursor.routes, key: cursor.routes.get(key, 0) + 1},
        outputs=stale_from(cursor, event.items),
        findings=event.findings,
        failure=None,
        patch=None,
        **review_state.merged(event.work),
    )


def stale_from(cursor: Cursor, steps: tuple[str, ...]) -> dict[str, OutputRef]:
    """The outputs, with those of `steps` (the target of a way back and all after it) marked stale."""
    return {
        name: ref.model_copy(update={"stale": True}) if name in steps else ref for name, ref in cursor.outputs.items()
    }


def _parked(cursor: Cursor, event: Event) -> Cursor:
    return _with(
        cursor,
        phase=Phase.PARKED,
        reason=event.reason,
        missing=event.missing,
        not_before=None,
        findings=event.findings or cursor.findings,
    )


def _resumed(cursor: Cursor, event: Event) -> Cursor:
    """A new round: counts, ladders and rules begin anew; numbers of attempts go on."""
    step = event.step or cursor.step
    back = event.step is not None and event.step != cursor.step
    return _with(
        cursor,
        step=step,
        phase=Phase.READY,
        mode="retry" if event.findings or cursor.findings else "first",
        agent=None,
        round=cursor.round + 1,
        pin=None,
        counted=0,
        rungs={},
        trials={},
        reached=(),
        repeats=0,
        step_cost={},
        step_tokens={},
        deaths=0,
        routes={},
        failures=(),
        prompts=(),
        fingerprints=(),
        best={},
        failure=None,
        findings=event.findings or tuple(f for f in cursor.findings if not back or f.source.startswith("human:")),
        outputs=stale_from(cursor, event.items) if event.items else cursor.outputs,
        reason=None,
        missing=None,
        backoff=0,
        crashes=0,
        spent=0.0,
        spent_tokens=0,
        stalled=0.0,
        stalled_tokens=0,
        borne=event.borne if event.borne is not None else cursor.borne,
        wall=0.0,
        review=review_state.anew(cursor.review),
        playbook=event.playbook or cursor.playbook,
        patch=cursor.patch if not back else None,
    )


def _asked(cursor: Cursor, event: Event) -> Cursor:
    return _with(cursor, phase=Phase.ASKED, missing=event.missing, reason=event.reason, claim=None)


def _answered(cursor: Cursor, event: Event) -> Cursor:
    """An answer resumes the same round; to an agent's own question it is a finding of its step."""
    answers = {**cursor.answers, str(event.step): str(event.answer)}
    cursor = _moved(cursor)
    if cursor.phase is Phase.ASKED:
        return _with(cursor, phase=Phase.PASSED, answers=answers, missing=None, reason=None)
    return _with(
        cursor, phase=Phase.READY, mode="retry", answers=answers, findings=event.findings, missing=None, reason=None
    )


def _review_opened(cursor: Cursor, event: Event) -> Cursor:
    gates = _shown(event) or cursor.gates
    review = review_state.opened(cursor.review, event.review)
    return _with(cursor, phase=Phase.REVIEW, gates=gates, claim=None, **review_state.stands(cursor, review))


def _feedback(cursor: Cursor, event: Event) -> Cursor:
    """A person's word on the review: approval, changes requested, or news of the branch (stays in review)."""
    if cursor.review is not None and cursor.review.audit and event.label is not None:
        return audit.judged(cursor, event)
    review = review_state.heard(cursor.review, event)
    if event.to in (State.REVIEW, State.BLOCKED):
        return _with(cursor, review=review, **review_state.followed(cursor, event))
    if event.outcome is Outcome.PASSED:
        return _with(_moved(cursor), phase=Phase.PASSED, review=review_state.kept(review))
    return _with(
        _moved(cursor),
        step=event.step,
        phase=Phase.READY,
        mode="retry",
        agent=None,
        rungs={},
        trials={},
        outputs=stale_from(cursor, event.children),
        findings=event.findings,
        review=review_state.kept(review),
        head=review.head if review else cursor.head,
    )


def _landed(cursor: Cursor, event: Event) -> Cursor:
    return _with(
        _moved(cursor),
        phase=Phase.PASSED,
        reason=None,
        missing=None,
        landed=event.landed,
        **review_state.NO_WORK,
    )


def _ended(cursor: Cursor, event: Event) -> Cursor:
    return _with(cursor, phase=Phase.ENDED, reason=None, missing=None, not_before=None, claim=None)


def _edited(cursor: Cursor, event: Event) -> Cursor:
    return _with(cursor, edits=cursor.edits + 1, source=event.source or cursor.source)


def _moved(cursor: Cursor) -> Cursor:
    """A person spoke, or the work landed: an accepted change of state, from which stalled spend counts anew."""
    return _with(cursor, stalled=0.0, stalled_tokens=0, reached=(), repeats=0)


def _remember(known: tuple[str, ...], new: str | None) -> tuple[str, ...]:
    return (*known, new)[-_MEMORY:] if new else known


def _number(path: str) -> int:
    digits = path.rsplit("/", 1)[-1].split("-", 1)[0]
    return int(digits) if digits.isdigit() else 0


_APPLY: dict[EventKind, Callable[[Cursor, Event], Cursor]] = {
    EventKind.ACCEPTED: _accepted,
    EventKind.CLAIMED: _claimed,
    EventKind.FINISHED: _finished,
    EventKind.ROUTED: _routed,
    EventKind.PARKED: _parked,
    EventKind.RESUMED: _resumed,
    EventKind.ASKED: _asked,
    EventKind.ANSWERED: _answered,
    EventKind.REVIEW_OPENED: _review_opened,
    EventKind.FEEDBACK: _feedback,
    EventKind.LANDED: _landed,
    EventKind.DONE: _ended,
    EventKind.DROPPED: _ended,
    EventKind.EDITED: _edited,
}
