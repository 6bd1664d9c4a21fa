"""`next_move(task, board, now)`: what comes next for one task, from its file, its cursor and its pinned rules.

Pure. Each phase has one function; the table at the end is the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time

from hqd.core import recovery
from hqd.core.decisions import contradicted
from hqd.core.language.expressions import compile_expression, compile_text
from hqd.core.language.facts import facts
from hqd.core.limits.budget import stalled
from hqd.core.moves import ClaimStep, End, GoTo, Land, Move, Park, Wait
from hqd.core.needs import unmet
from hqd.core.place import repo_of
from hqd.core.recovery import after_failure, go_back, over_budget
from hqd.core.reviews.autonomy import to_land
from hqd.core.routing import choose
from hqd.core.steps.program import acted, may_have_acted
from hqd.core.steps.spawn import over_family_budget, standing
from hqd.core.targets import unready
from hqd.errors import ExpressionFault
from hqd.model.board import Board, Rules, Task
from hqd.model.failure import ParkReason
from hqd.model.playbook import Playbook, Route, Step, StepKind
from hqd.model.record import Event, Finding, Phase
from hqd.model.task import State

_At = tuple[Rules, Playbook, Step]
"""Where a task stands: its pinned rules, its playbook, its step."""


def next_move(task: Task, board: Board, now: datetime) -> Move:
    """What comes next. Never raises for what a task, a playbook or an expression says: that is a Park."""
    if task.id in board.slots.running:
        return Wait("a worker is on it", "worker")
    if task.id in board.waiting:
        return Wait(board.waiting[task.id], "human")
    try:
        step = board.step_of(task)
        early = may_have_acted(task, step) or standing(task, board.playbook_of(task), step, board)
        early = early or contradicted(task, board)
        move = early or _BY_PHASE[task.cursor.phase](task, board, now)
        over = over_family_budget(task, board) if isinstance(move, ClaimStep) else None
        return over or move
    except ExpressionFault as fault:
        return Park(ParkReason.EXPRESSION, fault.message)
    except KeyError as lost:
        return Park(ParkReason.EXPRESSION, f"an output is not to be had any more: {lost}")


def _ready(task: Task, board: Board, now: datetime) -> Move:
    waits = _not_yet(task, board, now)
    if waits is not None:
        return waits
    rules, found = _place(task, board, now)
    if isinstance(found, Park):
        return found
    playbook, step = found
    if step is None or task.cursor.step is None:
        step = _step_from(task, board, playbook, 0, now)
    elif not _wanted(step, task, board, now):
        step = _step_from(task, board, playbook, playbook.position(step.name) + 1, now)
    if step is None:
        return _end(task, playbook)
    mode = task.cursor.mode if task.cursor.step == step.name else "first"
    return _claim(task, board, rules, playbook, step, ClaimStep(step.name, mode, task.cursor.agent))


def _passed(task: Task, board: Board, now: datetime, at: _At) -> Move:
    rules, playbook, step = at
    if recovery.no_progress(task.cursor):
        return Park(
            ParkReason.NO_PROGRESS,
            f"step {step.name} passed {recovery.SAME_FINGERPRINT} times in this round with the same output",
        )
    unseen = to_land(task, step)
    if unseen is not None:
        return Land(unseen)
    taken = _routes(task, board, playbook, step, now)
    if taken is not None:
        return taken
    following = _step_from(task, board, playbook, playbook.position(step.name) + 1, now)
    if following is None:
        return _end(task, playbook)
    first = ClaimStep(following.name, "first")
    return _unless_early(first, task, board, now, (rules, playbook, following))


def _failed(task: Task, board: Board, now: datetime, at: _At) -> Move:
    return _unless_early(after_failure(task, *at), task, board, now, at)


def _again(task: Task, board: Board, now: datetime, at: _At) -> Move:
    step = at[2]
    move = recovery.too_often(task, *at) or ClaimStep(step.name, "again", task.cursor.agent)
    return _unless_early(move, task, board, now, at)


def _unless_early(move: Move, task: Task, board: Board, now: datetime, at: _At) -> Move:
    """The move; a claim only when nothing keeps the task waiting and no cap forbids it."""
    if not isinstance(move, ClaimStep):
        return move
    rules, playbook, step = at
    return _not_yet(task, board, now) or _claim(task, board, rules, playbook, step, move)


def _claimed(task: Task, board: Board, now: datetime) -> Move:
    return Wait("another host works on it", "worker")


def _review(task: Task, board: Board, now: datetime) -> Move:
    return Wait("a human's word on the review", "human")


def _asked(task: Task, board: Board, now: datetime) -> Move:
    return Wait(task.cursor.missing or "an answer", "human")


def _parked(task: Task, board: Board, now: datetime) -> Move:
    return Wait(task.cursor.missing or "a human", "human")


def _at_step(follow: Callable[[Task, Board, datetime, _At], Move]) -> Callable[[Task, Board, datetime], Move]:
    """A phase that stands at a step: what `follow` says, unless playbook or step are not there any more."""

    def move(task: Task, board: Board, now: datetime) -> Move:
        rules, found = _place(task, board, now)
        if isinstance(found, Park):
            return found
        playbook, step = found
        return _lost_step(task) if step is None else follow(task, board, now, (rules, playbook, step))

    return move


_BY_PHASE: dict[Phase, Callable[[Task, Board, datetime], Move]] = {
    Phase.READY: _ready,
    Phase.CLAIMED: _claimed,
    Phase.PASSED: _at_step(_passed),
    Phase.FAILED: _at_step(_failed),
    Phase.AGAIN: _at_step(_again),
    Phase.REVIEW: _review,
    Phase.ASKED: _asked,
    Phase.PARKED: _parked,
    Phase.ENDED: lambda task, board, now: Wait("nothing: it has ended", "human"),
}


def _place(task: Task, board: Board, now: datetime) -> tuple[Rules, tuple[Playbook, Step | None] | Park]:
    """The rules, playbook and step that a task stands at; the playbook is chosen anew until a step has begun."""
    rules = board.rules_of(task)
    name = task.cursor.playbook
    if task.cursor.step is None:
        chosen = choose(task, rules)
        return rules, chosen if isinstance(chosen, Park) else (chosen, None)
    playbook = rules.playbooks.get(name or "")
    if playbook is None:
        return rules, Park(ParkReason.NO_PLAYBOOK, f"its playbook {name!r} is not there any more")
    step = next((step for step in playbook.steps if step.name == task.cursor.step), None)
    if step is None:
        return rules, _lost_step(task)
    return rules, (playbook, step)


def _lost_step(task: Task) -> Park:
    return Park(
        ParkReason.NO_PLAYBOOK,
        f"playbook {task.cursor.playbook!r} has no step {task.cursor.step!r} any more; retry with --from STEP",
    )


def _not_yet(task: Task, board: Board, now: datetime) -> Wait | Park | None:
    """What keeps an otherwise ready task in queue/: the author's wish, a date, backoff, other tasks."""
    header = task.document.header
    needs = unmet(task, board)
    if isinstance(needs, Park):
        return needs
    if header.suspend:
        return Wait("suspended by `suspend: true` in its front matter", "human")
    begins = _moment(header.not_before)
    if begins is not None and now < begins:
        return Wait(f"not before {begins:%Y-%m-%d %H:%M} UTC", "time")
    if task.cursor.not_before is not None and now < task.cursor.not_before:
        return Wait(f"backing off until {task.cursor.not_before:%H:%M:%S} UTC", "time")
    return needs


def _moment(value: datetime | date | None) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _wanted(step: Step, task: Task, board: Board, now: datetime) -> bool:
    if acted(task, step):
        return False
    if step.when is None:
        return True
    return bool(compile_expression(step.when).evaluate(facts(task, board.values, now, kin=board.known)))


def _step_from(task: Task, board: Board, playbook: Playbook, place: int, now: datetime) -> Step | None:
    return next((step for step in playbook.steps[place:] if _wanted(step, task, board, now)), None)


def _claim(task: Task, board: Board, rules: Rules, playbook: Playbook, step: Step, claim: ClaimStep) -> Move:
    early = unready(task, playbook, step, board)
    if early is not None:
        return early
    over = over_budget(task, rules, playbook, step)
    if over is not None:
        return Park(ParkReason.BUDGET, over + "; `hqd retry` begins a new round")
    idle = stalled(task, rules, playbook) if step.kind is StepKind.AGENT else None
    return Park(ParkReason.NO_PROGRESS, f"step {step.name}: {idle}") if idle is not None else claim


def _end(task: Task, playbook: Playbook) -> Move:
    if playbook.land == "auto" and task.cursor.head is not None and task.cursor.head != task.cursor.base:
        return Land(task.cursor.head)
    return End()


def _routes(task: Task, board: Board, playbook: Playbook, step: Step, now: datetime) -> Move | None:
    if not step.routes:
        return None
    known = facts(task, board.values, now, output_of=step.name, kin=board.known)
    for index, route in enumerate(step.routes):
        if route.when is None or compile_expression(route.when).evaluate(known):
            key = f"{step.name}#{index}"
            findings = _feedback(route, step, known, task)
            if route.max is not None and task.cursor.routes.get(key, 0) >= route.max:
                return _target(route.then, f"{key}#then", findings, task, playbook, step, exhausted=route)
            return _target(route.to, key, findings, task, playbook, step)
    return None


def _target(
    target: str,
    key: str,
    findings: tuple[Finding, ...],
    task: Task,
    playbook: Playbook,
    step: Step,
    *,
    exhausted: Route | None = None,
) -> Move:
    said = f": {findings[0].text}" if findings else ""
    if target == "done":
        return _end(task, playbook)
    if target == "drop":
        return End(dropped=True, why=f"step {step.name} routes to drop{said}")
    if target == "human":
        if exhausted is not None:
            times = f"the way back to {exhausted.to} is used up ({exhausted.max} times)"
            return Park(ParkReason.ROUTE_EXHAUSTED, f"step {step.name}: {times}{said}")
        return Park(ParkReason.ROUTED, f"step {step.name} asks for a human{said}")
    if exhausted is not None and task.cursor.routes.get(key, 0) >= max(1, exhausted.max or 1):
        return Park(ParkReason.ROUTE_EXHAUSTED, f"step {step.name}: both ways of its route are used up{said}")
    if playbook.position(target) <= playbook.position(step.name):
        return go_back(task.cursor, playbook, target, key, findings)
    return GoTo(target, key, findings)


def _feedback(route: Route, step: Step, known: dict[str, object], task: Task) -> tuple[Finding, ...]:
    if route.feedback is None:
        return ()
    said = compile_expression(route.feedback).evaluate(known)
    texts = [str(item) for item in said] if isinstance(said, list | tuple) else [str(said)]
    attempt = task.cursor.attempts.get(step.name)
    return tuple(
        Finding(source=f"route:{step.name}", text=text, step=step.name, attempt=attempt)
        for text in texts
        if text.strip()
    )


def group_of(task: Task, playbook: Playbook, board: Board, now: datetime) -> str | None:
    """The concurrency group of a task, rendered. Raises ExpressionFault."""
    if playbook.concurrency is None:
        return None
    known = facts(task, board.values, now, kin=board.known)
    known["task"] = {**known["task"], "repo": repo_of(task, playbook)}
    return compile_text(playbook.concurrency.group).render(known)


def next_label(task: Task, event: Event, board: Board, now: datetime) -> str:
    """What a commit's subject says comes next: a step, a folder, or `landing`. `task` is as after the event."""
    if event.to is not State.QUEUE:
        return event.to.value
    move = next_move(task, board, now)
    if isinstance(move, ClaimStep | GoTo):
        return move.step
    if isinstance(move, Park):
        return State.BLOCKED.value
    if isinstance(move, Land):
        return "landing"
    if isinstance(move, End):
        return (State.DROPPED if move.dropped else State.DONE).value
    return event.to.value
