"""What follows from a failed attempt: the classes with their defaults, the ladder, the breakers, the caps.

Law: every path is bounded, every bound ends at a human, and only a human starts a new round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from hqd.core.moves import ClaimStep, GoTo, Move, Park
from hqd.core.steps.program import is_once
from hqd.errors import unstopped
from hqd.model.board import Rules, Task
from hqd.model.duration import seconds
from hqd.model.failure import HOLD_FAILURES, Failure, ParkReason
from hqd.model.playbook import Playbook, Rung, Step, StepKind
from hqd.model.record import Cursor, Finding


class Path(StrEnum):
    """The kind of way out of a failure class."""

    LADDER = "ladder"  # the step's, the playbook's or the HQ's `on_fail`
    AGAIN = "again"  # the same inputs once more; backoff where it says so
    HOLD = "hold"  # not the task's own
    HUMAN = "human"  # at once
    OWNER = "owner"  # back to the agent step that owns the cause


@dataclass(frozen=True, slots=True)
class Default:
    path: Path
    reason: ParkReason
    tell: str


DEFAULTS: dict[Failure, Default] = {
    Failure.GATE: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the gates still fail"),
    Failure.EMPTY: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the agent answers with nothing"),
    Failure.TRUNCATED: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the answer is cut at the limit"),
    Failure.REFUSAL: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the model declines"),
    Failure.MALFORMED: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the output does not fit its schema"),
    Failure.AGENT_ERROR: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the agent fails"),
    Failure.TIMEOUT: Default(Path.LADDER, ParkReason.LADDER_EXHAUSTED, "the agent does not end in time"),
    Failure.TRANSIENT: Default(Path.AGAIN, ParkReason.LADDER_EXHAUSTED, "the provider keeps failing"),
    Failure.GATE_ERROR: Default(Path.AGAIN, ParkReason.GATE_ERROR, "a gate cannot judge"),
    Failure.INTERRUPTED: Default(Path.AGAIN, ParkReason.CRASHED, "interrupted"),
    Failure.CRASHED: Default(Path.AGAIN, ParkReason.CRASHED, "the worker breaks on this task"),
    Failure.CREDENTIALS: Default(Path.HOLD, ParkReason.CRASHED, "credentials"),
    Failure.ACCESS: Default(Path.HOLD, ParkReason.CRASHED, "access to a repository on the forge"),
    Failure.PROVIDER: Default(Path.HOLD, ParkReason.CRASHED, "provider"),
    Failure.DAY_BUDGET: Default(Path.HOLD, ParkReason.BUDGET, "the day's budget"),
    Failure.DISK: Default(Path.HOLD, ParkReason.CRASHED, "disk"),
    Failure.SETUP: Default(Path.HOLD, ParkReason.CRASHED, "the set-up of a repository"),
    Failure.NO_PROGRESS: Default(Path.LADDER, ParkReason.NO_PROGRESS, "nothing changes from attempt to attempt"),
    Failure.REPLAN: Default(Path.OWNER, ParkReason.REPLAN, "the agent says that the plan is wrong"),
    Failure.NEEDS_HUMAN: Default(Path.HUMAN, ParkReason.NEEDS_HUMAN, "the agent asks"),
    Failure.POLICY: Default(Path.HUMAN, ParkReason.POLICY, "the agent touched what it may not touch"),
    Failure.BUDGET: Default(Path.HUMAN, ParkReason.BUDGET, "the budget is spent"),
    Failure.REJECTED: Default(Path.HUMAN, ParkReason.REVIEW_REJECTED, "a person rejected it"),
    Failure.EXPRESSION: Default(Path.HUMAN, ParkReason.EXPRESSION, "an expression or template fails"),
    Failure.SECRET: Default(Path.HUMAN, ParkReason.SECRET, "a secret stands in it"),
    Failure.CONTEXT: Default(Path.HUMAN, ParkReason.CONTEXT, "required context is missing or does not fit"),
    Failure.CONFLICT: Default(
        Path.HUMAN, ParkReason.CONFLICT, "main, or people on its branch, have moved against it, after three tries"
    ),
    Failure.FORGE: Default(Path.HUMAN, ParkReason.LANDING, "the forge refuses it"),
    Failure.CHILD: Default(Path.LADDER, ParkReason.CHILD_BLOCKED, "children were dropped"),
}
"""Each class's own way (the table in docs/operations.md is generated from this one)."""

FIXED = frozenset({Failure.POLICY, Failure.SECRET})
"""Classes that no playbook can give another way: a breach is a human's at once, whatever the ladder says."""

UNMOVED = HOLD_FAILURES | FIXED | {Failure.INTERRUPTED, Failure.REJECTED, Failure.CONFLICT}
"""Classes for which a ladder in `on` has no effect; `check` says so."""

GATE_ERROR_TRIES = 3
TRANSIENT_TRIES = 8
MAIN_TRIES = 3
"""How often in a round an agent is asked to bring its work together with a main that has moved."""

MAIN = "main"
"""Source of findings that say how main has moved against the work."""

PEOPLE = "people"
"""Source of findings that say what people have pushed beside the work."""

SAME_FINGERPRINT = 3
"""So many times the same step, output and failing gates: no progress, whatever `success` says."""


def ladder(rules: Rules, playbook: Playbook, step: Step, failure: Failure | None) -> tuple[Rung, ...]:
    """The rungs for a failure: by class, then the step's, the playbook's, the HQ's. Always ends at a human."""
    rungs = playbook.on.get(failure.value) if failure is not None and overridden(playbook, failure) else None
    if rungs is None:
        rungs = step.on_fail if step.on_fail is not None else playbook.on_fail
    if rungs is None:
        rungs = rules.settings.defaults.on_fail
    cut = next((place for place, rung in enumerate(rungs) if rung.human), len(rungs))
    return (*rungs[:cut], Rung(human=True))


def after_failure(task: Task, rules: Rules, playbook: Playbook, step: Step) -> Move:
    """What follows now that the attempt at `step` has failed (phase FAILED, or AGAIN when again was too often)."""
    cursor = task.cursor
    failure = cursor.failure or Failure.AGENT_ERROR
    default = DEFAULTS[failure]
    if not overridden(playbook, failure):
        if failure is Failure.CONFLICT and cursor.findings and cursor.findings[0].source in (MAIN, PEOPLE):
            place, named = playbook.position(step.name), step.review.on_changes if step.review is not None else None
            return to_mender(cursor, playbook, place, named, f"{step.name}#main", cursor.missing or default.tell)
        if default.path is Path.HUMAN:
            return Park(default.reason, cursor.missing or default.tell)
        if default.path is Path.OWNER:
            return _to_owner(cursor, playbook, step)
    return _climb(cursor, rules, playbook, step)


def too_often(task: Task, rules: Rules, playbook: Playbook, step: Step) -> Move | None:
    """In phase AGAIN: what follows where the same once more has been tried too often; None: once more."""
    cursor, limits = task.cursor, rules.settings.limits
    failure, said = cursor.failure, _line(cursor.missing or "")
    if failure is Failure.CRASHED and cursor.crashes >= limits.crashes:
        move: Move = Park(ParkReason.CRASHED, f"step {step.name} broke its worker {cursor.crashes} times; see hqd show")
    elif failure is Failure.INTERRUPTED and cursor.deaths >= limits.deaths:
        times = f"hqd itself ended {cursor.deaths} times in a row while this was being worked on"
        return Park(ParkReason.CRASHED, f"step {step.name}: {times}; see the journal before you retry")
    elif failure is Failure.GATE_ERROR and cursor.backoff >= GATE_ERROR_TRIES:
        move = Park(ParkReason.GATE_ERROR, f"step {step.name}: a gate cannot judge: {said}".rstrip(": "))
    elif failure is Failure.TRANSIENT and cursor.backoff >= TRANSIENT_TRIES:
        times = f"the provider failed {cursor.backoff} times running"
        move = Park(ParkReason.LADDER_EXHAUSTED, f"step {step.name}: {times}: {said}".rstrip(": "))
    else:
        return None
    return after_failure(task, rules, playbook, step) if failure is not None and overridden(playbook, failure) else move


def overridden(playbook: Playbook, failure: Failure) -> bool:
    """Whether the playbook gives this class a ladder of its own, and may."""
    return failure.value in playbook.on and failure not in FIXED


def _climb(cursor: Cursor, rules: Rules, playbook: Playbook, step: Step) -> Move:
    failure = _class_of_ladder(cursor, playbook, step)
    rungs = ladder(rules, playbook, step, failure)
    own = failure.value if overridden(playbook, failure) else None
    stand = cursor.rungs.get(f"{step.name}:{own}" if own else step.name)
    place, used = (stand.rung, stand.used) if stand is not None and stand.rung >= 0 else (0, 0)
    stuck = no_progress(cursor)
    if stuck or (used and _spent(cursor, step)):
        better = _beyond(rungs, place, used, others=stuck)
        if better is not None:
            place, used = better, 0
        elif stuck:
            return _stuck(cursor, step)
        elif cursor.failure is Failure.NO_PROGRESS:
            place, used = place + 1, 0
    for index in range(place, len(rungs)):
        rung, spent = rungs[index], used if index == place else 0
        move = _try_rung(rung, index, spent, cursor, playbook, step)
        if isinstance(move, ClaimStep) and own is not None:
            move = replace(move, ladder=own)
        if move is not None:
            return move
    return _exhausted(cursor, rungs, step)


def _class_of_ladder(cursor: Cursor, playbook: Playbook, step: Step) -> Failure:
    """A prompt that was refused unsent stays on the ladder of the failure before it."""
    failure = cursor.failure or Failure.AGENT_ERROR
    trials = cursor.trials.get(step.name)
    if failure is Failure.NO_PROGRESS and trials and not overridden(playbook, failure):
        return trials[-1].failure
    return failure


def _spent(cursor: Cursor, step: Step) -> bool:
    """Whether the rung that was just tried is shown to be of no use: the same again, or something else broken."""
    if cursor.failure is Failure.NO_PROGRESS:
        return True
    trials = cursor.trials.get(step.name, ())
    if len(trials) < 2:
        return False
    before, newest = trials[-2:]
    same = newest.fingerprint is not None and newest.fingerprint == before.fingerprint
    return same or newest.worse


def _beyond(rungs: tuple[Rung, ...], place: int, used: int, *, others: bool) -> int | None:
    """The next rung that is not the human; with `others`, one that brings another agent or step. None: there is none.

    A rung is skipped for a better one only: a person is not called sooner than the ladder says.
    """
    start = place + 1 if used else place
    for index in range(start, len(rungs)):
        rung = rungs[index]
        if not rung.human and (not others or rung.agent is not None or rung.route is not None):
            return index
    return None


def _stuck(cursor: Cursor, step: Step) -> Park:
    why = f": {unstopped(_line(cursor.findings[0].text))}" if cursor.findings else ""
    return Park(
        ParkReason.NO_PROGRESS,
        f"step {step.name}: {SAME_FINGERPRINT} attempts gave the same output with the same failing gates{why};"
        " change the task, the prompt or the gate, then retry",
    )


def _try_rung(rung: Rung, index: int, spent: int, cursor: Cursor, playbook: Playbook, step: Step) -> Move | None:
    if rung.retry is not None and spent < rung.retry:
        return ClaimStep(step.name, "retry", cursor.agent, index)
    if rung.fresh is not None and spent < rung.fresh:
        return ClaimStep(step.name, "fresh", cursor.agent, index)
    if rung.agent is not None and spent < rung.times:
        return ClaimStep(step.name, "agent", rung.agent, index)
    if rung.route is not None and cursor.routes.get(f"{step.name}#ladder{index}", 0) < rung.times:
        return go_back(cursor, playbook, rung.route, f"{step.name}#ladder{index}", cursor.findings)
    return None


def _exhausted(cursor: Cursor, rungs: tuple[Rung, ...], step: Step) -> Park:
    failure = cursor.failure or Failure.AGENT_ERROR
    reason = DEFAULTS[failure].reason
    if len(rungs) == 1 and failure is Failure.GATE:
        reason = ParkReason.GATE_FAILED
    why = cursor.findings[0].text if cursor.findings else (cursor.missing or DEFAULTS[failure].tell)
    tries = sum(1 for entry in cursor.failures if entry.startswith(f"{step.name}:"))
    times = f"{tries} failed attempts: " if tries > 1 else ""
    return Park(reason, f"step {step.name}: {times}{_line(why)}")


def _to_owner(cursor: Cursor, playbook: Playbook, step: Step) -> Move:
    """`replan`: back to the nearest agent step before this one, once a round for each step."""
    key = f"{step.name}#replan"
    before = playbook.steps[: playbook.position(step.name)]
    owners = [each for each in before if each.kind is StepKind.AGENT]
    if not owners or cursor.routes.get(key, 0) >= 1:
        return Park(ParkReason.REPLAN, f"step {step.name}: the agent asks to replan: {_line(cursor.missing or '')}")
    return go_back(cursor, playbook, owners[-1].name, key, cursor.findings)


def to_mender(cursor: Cursor, playbook: Playbook, place: int, named: str | None, key: str, said: str) -> GoTo | Park:
    """Main has moved against a task's work: to the agent who answers reviews, bounded, then to a human.

    `place`: only steps before it count; `named`: the step of `on_changes`.
    """
    agents = [each.name for each in playbook.steps[:place] if each.kind is StepKind.AGENT]
    target = named if named in agents else agents[-1] if agents else None
    if target is None or cursor.routes.get(key, 0) >= MAIN_TRIES:
        return Park(ParkReason.CONFLICT, f"it does not go together: {_line(said)}")
    return go_back(cursor, playbook, target, key, cursor.findings)


def go_back(cursor: Cursor, playbook: Playbook, target: str, key: str, findings: tuple[Finding, ...]) -> GoTo:
    """To `target`, making its output and those of all later steps stale."""
    return GoTo(target, key, findings, steps_from(playbook, target))


def steps_from(playbook: Playbook, name: str) -> tuple[str, ...]:
    """The names of `name` and of all steps after it, but for programs that may act once only."""
    return tuple(step.name for step in playbook.steps[playbook.position(name) :] if not is_once(step))


def no_progress(cursor: Cursor) -> bool:
    """The same fingerprint three times in a round, in a row or not: a loop, whatever it says of itself."""
    newest = cursor.fingerprints[-1] if cursor.fingerprints else None
    return newest is not None and cursor.fingerprints.count(newest) >= SAME_FINGERPRINT


def over_budget(task: Task, rules: Rules, playbook: Playbook, step: Step) -> str | None:
    """Which cap of the round forbids another attempt, in words; None: none does, or the step costs nothing."""
    if step.kind in (StepKind.REVIEW, StepKind.ASK):
        return None
    cursor, general = task.cursor, rules.settings.limits
    own = task.document.header.budget
    attempts = min(
        value
        for value in (playbook.limits.attempts, own.attempts if own else None, general.attempts)
        if value is not None
    )
    if cursor.counted >= attempts:
        return f"{cursor.counted} attempts in this round, the limit is {attempts}"
    in_step = step.limits.attempts
    if in_step is not None and sum(1 for f in cursor.failures if f.startswith(f"{step.name}:")) >= in_step:
        return f"step {step.name} has used its {in_step} attempts"
    dollars = cost_cap(task, rules, playbook)
    if cursor.spent >= dollars and (cursor.spent > 0 or dollars == 0):
        return f"${cursor.spent:.2f} spent in this round, the limit is ${dollars:.2f}"
    tokens = token_cap(task, rules, playbook)
    if tokens is not None and cursor.spent_tokens >= tokens:
        return f"{cursor.spent_tokens} tokens spent in this round, the limit is {tokens}"
    return _over_step(cursor, step) or _over_wall(task, playbook)


def _over_step(cursor: Cursor, step: Step) -> str | None:
    dollars, tokens = cursor.step_cost.get(step.name, 0.0), cursor.step_tokens.get(step.name, 0)
    if step.limits.cost_usd is not None and dollars >= step.limits.cost_usd:
        return f"${dollars:.2f} spent on step {step.name} in this round, its limit is ${step.limits.cost_usd:.2f}"
    if step.limits.tokens is not None and tokens >= step.limits.tokens:
        return f"{tokens} tokens spent on step {step.name} in this round, its limit is {step.limits.tokens}"
    return None


def _over_wall(task: Task, playbook: Playbook) -> str | None:
    own = task.document.header.budget
    walls = [text for text in (playbook.limits.wall, own.wall if own else None) if text]
    if walls:
        longest = min(walls, key=seconds)
        if task.cursor.wall >= seconds(longest):
            return f"{task.cursor.wall:.0f} s of work in this round, the limit is {longest}"
    return None


def cost_cap(task: Task, rules: Rules, playbook: Playbook) -> float:
    """Dollars that one round of this task may cost: the smallest of playbook, task and HQ."""
    own = task.document.header.budget
    caps = (playbook.limits.cost_usd, own.cost_usd if own else None, rules.settings.limits.cost_usd_per_task)
    return min(value for value in caps if value is not None)


def token_cap(task: Task, rules: Rules, playbook: Playbook) -> int | None:
    """Tokens that one round of this task may use; None: no such cap."""
    own = task.document.header.budget
    caps = (playbook.limits.tokens, own.tokens if own else None, rules.settings.limits.tokens_per_task)
    return min((value for value in caps if value is not None), default=None)


def _line(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
