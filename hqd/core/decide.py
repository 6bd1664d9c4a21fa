"""`decide(board, now) -> actions`: everything that is to happen next, for all tasks. Pure.

The loop appends the events, evolves the board, and asks again until nothing is left to decide; only then it
acts. A claim is an event like any other: work starts after its commit.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hqd.core import targets
from hqd.core.evolve import DIED
from hqd.core.flow import group_of, next_move
from hqd.core.lessons.scope import scoped
from hqd.core.limits.probes import tried
from hqd.core.limits.rate import opens
from hqd.core.moves import ClaimStep, End, FailStep, GoTo, Land, Move, Park
from hqd.core.place import repo_of
from hqd.core.recovery import DEFAULTS
from hqd.core.reviews import autonomy, holds
from hqd.core.routing import choose
from hqd.core.steps.ask import question
from hqd.core.steps.spawn import Child, orphaned, plan
from hqd.core.steps.spawn_events import failed, spawned
from hqd.errors import ExpressionFault
from hqd.model.board import Board, Rules, Task
from hqd.model.duration import seconds
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Claim, Event, EventKind, Hold, Phase
from hqd.model.task import State

CLAIM_MARGIN = timedelta(minutes=5)
"""What a claim's deadline grants beyond the attempt's own: gates, copies, commits."""

DAY_BUDGET = "day-budget"


@dataclass(frozen=True, slots=True)
class Happen:
    """An event to append."""

    task: str
    event: Event


@dataclass(frozen=True, slots=True)
class Start:
    """A claim to append; when it is durable, the work begins. `group`: the concurrency group that it counts in."""

    task: str
    event: Event
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LandWork:
    """The task's accepted work is to be merged into main."""

    task: str
    head: str


@dataclass(frozen=True, slots=True)
class HoldUp:
    hold: Hold


@dataclass(frozen=True, slots=True)
class LiftHold:
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class SpawnTasks:
    """Children to accept between a claim and its end, all in one batch. Those that have an id are there already."""

    task: str
    claim: Event
    children: tuple[Child, ...]
    finished: Event


WITHOUT_WORKER = frozenset({StepKind.ASK, StepKind.SPAWN})
"""Kinds of steps that are done by the decision itself."""

Action = SpawnTasks | Happen | Start | LandWork | HoldUp | LiftHold


def decide(board: Board, now: datetime) -> tuple[Action, ...]:
    """Recoveries first, then holds, then every move that needs no slot, then claims in order of priority and age."""
    actions: list[Action] = []
    claims: list[tuple[Task, ClaimStep]] = []
    for task in board.tasks.values():
        orphan = orphaned(task, board)
        if orphan is not None and task.id not in board.waiting:
            actions.append(Happen(task.id, Event(event=EventKind.DROPPED, to=State.DROPPED, at=now, message=orphan)))
        elif task.state is State.ACTIVE:
            actions.extend(_recover(task, board, now))
        elif task.state is State.QUEUE:
            move = next_move(task, board, now)
            if isinstance(move, ClaimStep):
                claims.append((task, move))
            elif isinstance(move, FailStep):
                actions.extend(_fail(task, move, board, now))
            else:
                actions.extend(_act(task, move, now))
    budget = tuple(_day_budget(board, bool(claims), now))
    actions.extend(budget)
    if not (budget or board.paused or board.stopping):
        actions.extend(_claims(claims, board, now))
    return tuple(actions)


def _recover(task: Task, board: Board, now: datetime) -> Iterable[Action]:
    """A claim of this host that no worker holds: the daemon died under it. The same once more."""
    if task.id in board.slots.running or task.cursor.phase is not Phase.CLAIMED:
        return ()
    claim = task.cursor.claim
    if claim is not None and claim.host != board.host and now < claim.until:
        return ()
    event = Event(
        event=EventKind.FINISHED,
        to=State.QUEUE,
        at=now,
        step=task.cursor.step,
        attempt=task.cursor.attempts.get(task.cursor.step or "", 1),
        outcome=Outcome.INTERRUPTED,
        failure=Failure.INTERRUPTED,
        message="hqd ended while it was being worked on",
        stop=DIED,
    )
    return (Happen(task.id, event),)


def _act(task: Task, move: Move, now: datetime) -> Iterable[Action]:
    if isinstance(move, Park):
        return (Happen(task.id, park(move.reason, move.missing, now, task)),)
    if isinstance(move, GoTo):
        event = Event(
            event=EventKind.ROUTED,
            to=State.QUEUE,
            at=now,
            step=move.step,
            route=move.key,
            findings=move.findings,
            items=move.stale,
        )
        return (Happen(task.id, event),)
    if isinstance(move, Land):
        return (LandWork(task.id, move.head),)
    if isinstance(move, End):
        kind, to = (EventKind.DROPPED, State.DROPPED) if move.dropped else (EventKind.DONE, State.DONE)
        return (Happen(task.id, Event(event=kind, to=to, at=now, message=move.why or None, landed=task.cursor.landed)),)
    return ()


def park(reason: ParkReason, missing: str, now: datetime, task: Task) -> Event:
    """The event that parks a task, with the one line that says what is missing."""
    return Event(
        event=EventKind.PARKED,
        to=State.BLOCKED,
        at=now,
        step=task.cursor.step,
        reason=reason,
        missing=missing,
        failure=task.cursor.failure,
    )


def _day_budget(board: Board, wanted: bool, now: datetime) -> Iterable[Action]:
    limits = board.current.settings.limits
    hold = board.holds.get(DAY_BUDGET)
    tokens = limits.tokens_per_day
    spent = board.spent_today >= limits.cost_usd_per_day and (board.spent_today > 0 or limits.cost_usd_per_day == 0)
    spent = spent or (tokens is not None and board.tokens_today >= tokens)
    if hold is not None and not spent:
        return (LiftHold(DAY_BUDGET, "a new day, or a higher limit"),)
    if hold is None and spent and wanted and _priced(board):
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        missing = f"${board.spent_today:.2f} of ${limits.cost_usd_per_day:.2f} spent today (UTC)"
        return (
            HoldUp(
                Hold(
                    name=DAY_BUDGET,
                    on="hq",
                    reason=Failure.DAY_BUDGET.value,
                    since=now,
                    missing=f"{missing}; lifts at midnight UTC or with a higher limits.cost_usd_per_day",
                    probe=tomorrow,
                )
            ),
        )
    return ()


def _priced(board: Board) -> bool:
    return bool(board.current.settings.agents)


def _claims(claims: list[tuple[Task, ClaimStep]], board: Board, now: datetime) -> Iterable[Action]:
    free = board.current.settings.limits.concurrency - len(board.slots.running)
    agents, groups = Counter(board.slots.agents), Counter(board.slots.groups)
    begun = {agent: list(moments) for agent, moments in board.started.items()}
    probed: set[str] = set()
    actions: list[Action] = []
    for task, move in sorted(claims, key=_order):
        if place_of(task, move, board, now)[2].kind in WITHOUT_WORKER:
            actions.extend(_at_once(task, move, board, now))
            continue
        if free <= 0:
            continue
        verdict = _startable(task, move, board, agents, groups, begun, probed, now)
        if isinstance(verdict, Park):
            actions.append(Happen(task.id, park(verdict.reason, verdict.missing, now, task)))
        elif verdict is not None:
            actions.append(verdict)
            free -= 1
    return actions


def _at_once(task: Task, move: ClaimStep, board: Board, now: datetime) -> Iterable[Action]:
    """Steps that need no worker and no slot: claimed and finished in the same batch, so that no crash comes between."""
    rules, playbook, step = place_of(task, move, board, now)
    if any(hold.name not in board.probing for hold in holds_on(board, task, rules, playbook, step, None)):
        return ()
    claim = _claim_event(task, move, board, rules, playbook, step, None, now)
    try:
        if step.kind is StepKind.ASK:
            return (Happen(task.id, claim), Happen(task.id, question(task, step, board, now)))
        children = plan(task, step, board, now)
        if isinstance(children, Park):
            return (Happen(task.id, park(children.reason, children.missing, now, task)),)
        return (SpawnTasks(task.id, claim, children, spawned(claim, children)),)
    except ExpressionFault as fault:
        return (Happen(task.id, park(ParkReason.EXPRESSION, f"step {step.name}: {fault.message}", now, task)),)


def _fail(task: Task, move: FailStep, board: Board, now: datetime) -> Iterable[Action]:
    """A spawn step whose children were dropped: one more attempt, which looks at them and fails."""
    rules, playbook, step = place_of(task, ClaimStep(move.step, "again"), board, now)
    claim = _claim_event(task, ClaimStep(step.name, "again"), board, rules, playbook, step, None, now)
    return (Happen(task.id, claim), Happen(task.id, failed(claim, move)))


def _order(item: tuple[Task, ClaimStep]) -> tuple[int, bool, str]:
    """Priority, then what has begun already, then age (ids begin with their day), then id."""
    task, _move = item
    return (-task.document.header.priority, task.cursor.step is None, task.id)


def _startable(
    task: Task,
    move: ClaimStep,
    board: Board,
    agents: Counter[str],
    groups: Counter[str],
    begun: dict[str, list[datetime]],
    probed: set[str],
    now: datetime,
) -> Start | Park | None:
    """The claim, if agent, group and holds let it begin now; counts it in."""
    rules, playbook, step = place_of(task, move, board, now)
    agent = move.agent or step.agent
    try:
        group = group_of(task, playbook, board, now)
    except ExpressionFault as fault:
        return Park(ParkReason.EXPRESSION, f"concurrency.group: {fault.message}")
    held = holds_on(board, task, rules, playbook, step, agent)
    if any(hold.name not in board.probing or hold.name in probed or tried(hold, board, rules, agents) for hold in held):
        return None
    limit = rules.settings.agents[agent].max_concurrent if agent in rules.settings.agents else None
    if agent is not None and limit is not None and agents[agent] >= limit:
        return None
    if opens(agent, rules.settings.agents, begun.get(agent or "", ()), now) > now:
        return None
    if group is not None and playbook.concurrency is not None and groups[group] >= playbook.concurrency.max:
        return None
    probed.update(hold.name for hold in held)
    if agent is not None:
        agents[agent] += 1
        begun.setdefault(agent, []).append(now)
    if group is not None:
        groups[group] += 1
    return Start(task.id, _claim_event(task, move, board, rules, playbook, step, agent, now), group)


def throttled(board: Board, now: datetime) -> datetime | None:
    """When the first task may begin that waits for nothing but its agent's rate; None: there is none."""
    if board.paused or board.stopping or not board.started or not _rated(board):
        return None
    moments = []
    for task in board.tasks.values():
        move = next_move(task, board, now) if task.state is State.QUEUE else None
        if isinstance(move, ClaimStep):
            rules, _playbook, step = place_of(task, move, board, now)
            agent = move.agent or step.agent
            at = opens(agent, rules.settings.agents, board.started.get(agent or "", ()), now)
            moments += [at] if at > now else []
    return min(moments, default=None)


def _rated(board: Board) -> bool:
    rules = (board.current, *board.rules.values())
    return any(agent.requests_per_minute for each in rules for agent in each.settings.agents.values())


def place_of(task: Task, move: ClaimStep, board: Board, now: datetime) -> tuple[Rules, Playbook, Step]:
    """Rules, playbook and step of a move that `next_move` made for this very board."""
    rules = board.rules_of(task)
    playbook = rules.playbooks.get(task.cursor.playbook or "") if task.cursor.step is not None else None
    if playbook is None:
        chosen = choose(task, rules)
        if isinstance(chosen, Park):
            raise KeyError(f"{task.id}: no playbook takes it")
        playbook = chosen
    return rules, playbook, playbook.step(move.step)


def holds_on(board: Board, task: Task, rules: Rules, playbook: Playbook, step: Step, agent: str | None) -> list[Hold]:
    """The holds that keep this step of this playbook from beginning."""
    names = {"hq", f"playbook:{playbook.name}"}
    if agent is not None:
        names.add(f"agent:{agent}")
        if agent in rules.settings.agents:
            names.add(f"provider:{rules.settings.agents[agent].provider}")
    if step.review is not None:
        names |= {holds.hold_on(None), holds.hold_on(repo_of(task, playbook))}
    return [hold for hold in board.holds.values() if hold.on in names or targets.held(hold, task, playbook, step)]


def _claim_event(
    task: Task,
    move: ClaimStep,
    board: Board,
    rules: Rules,
    playbook: Playbook,
    step: Step,
    agent: str | None,
    now: datetime,
) -> Event:
    nonce = hashlib.sha256(f"{board.seed}/{task.id}/{task.n}".encode()).hexdigest()[:16]
    until = now + timedelta(seconds=attempt_seconds(rules, playbook, step, agent)) + CLAIM_MARGIN
    return Event(
        event=EventKind.CLAIMED,
        to=State.ACTIVE,
        at=now,
        playbook=playbook.name,
        step=step.name,
        attempt=task.cursor.attempts.get(step.name, 0) + 1,
        mode=move.mode,
        rung=move.rung,
        ladder=move.ladder,
        agent=agent,
        pin=scoped(rules, playbook.name, task.document.header.tags).pin,
        snapshot=board.snapshot,
        work=targets.begins(task, playbook, step, board),
        sample=autonomy.skipped(task, playbook, step, board.restored),
        claim=Claim(nonce=nonce, host=board.host, until=until),
    )


def attempt_seconds(rules: Rules, playbook: Playbook, step: Step, agent: str | None) -> float:
    """How long one attempt may take: the shortest of step, playbook, agent and HQ."""
    settings = rules.settings.agents.get(agent or "")
    given = [step.limits.attempt, playbook.limits.attempt, settings.timeout if settings else None]
    return min(seconds(text) for text in (*given, rules.settings.limits.attempt) if text is not None)


def hold_for(task: Task, event: Event, rules: Rules, now: datetime) -> Hold | None:
    """The hold that a refused attempt calls for; None where the failure is the task's own."""
    failure = event.failure
    if failure is Failure.SETUP:
        return targets.setup_hold(task, event, now)
    if event.outcome is not Outcome.REFUSED or failure not in (Failure.CREDENTIALS, Failure.PROVIDER):
        return None
    agent = event.agent or "unknown"
    message = event.message or DEFAULTS[failure].tell
    settings = rules.settings.agents.get(agent)
    if failure is Failure.CREDENTIALS and settings is not None and settings.provider == "anthropic":
        message += f"; put the right key where {settings.api_key} is found, and start hqd again"
    return Hold(
        name=f"agent-{agent}",
        on=f"agent:{agent}",
        reason=failure.value,
        since=now,
        missing=f"agent {agent}: {message}",
        probe=now + timedelta(minutes=5),
    )
