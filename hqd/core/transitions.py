"""The table of legal transitions, and what each event must carry.

Law: this file is data. `evolve` applies it, the state diagram in docs/design.md is generated from it, and an
event that it does not name is one loud error that changes nothing.
"""

from __future__ import annotations

from hqd.errors import IllegalTransition
from hqd.model.record import Event, EventKind, Phase
from hqd.model.task import State

_Q, _A, _R, _B = State.QUEUE, State.ACTIVE, State.REVIEW, State.BLOCKED

TRANSITIONS: dict[EventKind, dict[State, frozenset[State]]] = {
    EventKind.ACCEPTED: {State.INBOX: frozenset({_Q})},
    EventKind.CLAIMED: {_Q: frozenset({_A})},
    EventKind.FINISHED: {_A: frozenset({_Q, _R})},  # to review: its output is audited
    EventKind.ROUTED: {_Q: frozenset({_Q})},
    EventKind.PARKED: {_Q: frozenset({_B}), _R: frozenset({_B})},
    EventKind.RESUMED: {_B: frozenset({_Q})},
    EventKind.ASKED: {_A: frozenset({_B})},
    EventKind.ANSWERED: {_B: frozenset({_Q})},
    EventKind.REVIEW_OPENED: {_A: frozenset({_R})},
    EventKind.FEEDBACK: {_R: frozenset({_Q, _R}), _B: frozenset({_B})},  # a word on a blocked task is kept as heard
    EventKind.LANDED: {
        _Q: frozenset({_Q}),
        _R: frozenset({_Q}),
        _B: frozenset({_Q}),  # a later landing overrides a rejection
    },
    EventKind.DONE: {_Q: frozenset({State.DONE})},
    EventKind.DROPPED: {state: frozenset({State.DROPPED}) for state in (_Q, _A, _R, _B)},
    EventKind.EDITED: {state: frozenset({state}) for state in (_Q, _A, _R, _B)},
    EventKind.HELD: {},  # happens to an agent, a playbook or the HQ, not to a task
    EventKind.LIFTED: {},
}

REQUIRED: dict[EventKind, tuple[str, ...]] = {
    EventKind.ACCEPTED: (),
    EventKind.CLAIMED: ("step", "attempt", "claim", "pin", "snapshot", "mode"),
    EventKind.FINISHED: ("step", "attempt", "outcome"),
    EventKind.ROUTED: ("step", "route"),
    EventKind.PARKED: ("reason", "missing"),
    EventKind.RESUMED: (),
    EventKind.ASKED: ("step", "missing"),
    EventKind.ANSWERED: ("step", "answer"),
    EventKind.REVIEW_OPENED: ("step", "review"),
    EventKind.FEEDBACK: ("step",),
    EventKind.LANDED: ("landed",),
    EventKind.DONE: (),
    EventKind.DROPPED: (),
    EventKind.EDITED: (),
    EventKind.HELD: (),
    EventKind.LIFTED: (),
}

PHASES: dict[EventKind, frozenset[Phase]] = {
    EventKind.CLAIMED: frozenset({Phase.READY, Phase.PASSED, Phase.FAILED, Phase.AGAIN}),
    EventKind.FINISHED: frozenset({Phase.CLAIMED}),
    EventKind.ROUTED: frozenset({Phase.PASSED, Phase.FAILED, Phase.AGAIN}),
    EventKind.ASKED: frozenset({Phase.CLAIMED}),
    EventKind.ANSWERED: frozenset({Phase.ASKED, Phase.PARKED}),
    EventKind.RESUMED: frozenset({Phase.PARKED, Phase.ASKED}),
    EventKind.REVIEW_OPENED: frozenset({Phase.CLAIMED}),
    EventKind.FEEDBACK: frozenset({Phase.REVIEW, Phase.PARKED, Phase.ASKED}),
    EventKind.DONE: frozenset({Phase.READY, Phase.PASSED}),
}
"""Phases in which an event may come; kinds that are not here may come in any."""


def check(state: State, phase: Phase, event: Event) -> None:
    """Raises IllegalTransition unless the tables allow `event` for a task in `state` and `phase`."""
    allowed = TRANSITIONS[event.event].get(state)
    if allowed is None or event.to not in allowed:
        raise IllegalTransition(f"{event.event.value}: {state.value} -> {event.to.value} is not in the table")
    phases = PHASES.get(event.event)
    if phases is not None and phase not in phases:
        raise IllegalTransition(f"{event.event.value} cannot come in phase {phase.value}")
    lacking = [name for name in REQUIRED[event.event] if getattr(event, name) is None]
    if lacking:
        raise IllegalTransition(f"{event.event.value} lacks {', '.join(lacking)}")


def diagram() -> str:
    """The state diagram in Mermaid, as docs/design.md shows it."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for kind, sources in TRANSITIONS.items():
        for source, targets in sources.items():
            for target in sorted(targets):
                arrows.setdefault((source, target), []).append(kind.value)
    lines = ["stateDiagram-v2", "    [*] --> inbox: a person drops a file"]
    lines += [
        f"    {source.value} --> {target.value}: {', '.join(kinds)}"
        for (source, target), kinds in arrows.items()
        if kinds != [EventKind.EDITED.value]
    ]
    lines += ["    done --> [*]", "    dropped --> [*]"]
    return "\n".join(lines) + "\n"
