"""What people's acts come to under other rules: where their changes go, whether an approval lands, whom a share asks.

The word is a person's, and is taken as it was said; what follows from it the rules decide. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from hqd.core.moves import End, GoTo, Move
from hqd.core.recovery import steps_from
from hqd.core.reviews.audit import drawn
from hqd.core.reviews.autonomy import skipped
from hqd.model.board import Rules, Task
from hqd.model.failure import Outcome, ParkReason
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, EventKind, Via
from hqd.model.task import State


@dataclass(frozen=True, slots=True)
class Otherwise:
    """An act that comes to something else. `move`: where the task goes on, None: nobody can tell how far."""

    was: str
    would_be: str
    why: str
    move: Move | None = None


def heard(event: Event, old: Task, new: Task, old_rules: Rules, new_rules: Rules) -> Event | Otherwise:
    """A person's act under the new rules. `old`, `new`: the task just before it, under either rules."""
    before, after = _place(old, old_rules), _place(new, new_rules)
    if before is None or after is None or event.via is None or event.label is not None:
        return event
    if _sends_back(event, old):
        return _sent_back(event, before, after)
    if event.event is EventKind.LANDED and event.via is Via.CLI and _lands(before) and not _lands(after):
        return Otherwise("land", "approved, and nothing lands", 'the review says land = "never"', _onward(after))
    passed = event.event is EventKind.FEEDBACK and event.outcome is Outcome.PASSED
    if passed and new.cursor.head != new.cursor.base and not _lands(before) and _lands(after):
        return Otherwise("approved, and nothing lands", "land", "the review lands what is approved", _onward(after))
    return event


def unasked(event: Event, old: Task, new: Task, old_rules: Rules, new_rules: Rules) -> Otherwise | None:
    """The claim of a review of which the new rules ask nobody, or of which they ask people after all."""
    was, would_be = _share(event, old, old_rules), _share(event, new, new_rules)
    if (was is None) != (event.sample is None) or (was is None) == (would_be is None):
        return None  # full review was restored then; or they agree
    if would_be is None:
        return Otherwise(f"{event.step} passed unseen", f"review {event.step}", "people are asked for this one")
    playbook = new_rules.playbooks[event.playbook or new.cursor.playbook or ""]
    onward = _onward((playbook, playbook.position(event.step or "")))
    why = f"people are asked for a share of {would_be:g} only"
    return Otherwise(f"review {event.step}", f"{event.step} passed unseen", why, onward)


def audited(ended: Event, was: Event, task: Task, rules: Rules, playbook: Playbook | None) -> Otherwise | None:
    """The end of an attempt that is shown to people by the new share of audits and was not, or the other way round."""
    plain = ended.model_copy(update={"audit": None, "to": State.QUEUE, "review": None})
    shown = drawn(task, plain, rules, playbook).to is State.REVIEW
    if shown == was.audited:
        return None
    if shown:
        return Otherwise(f"{was.step} {_outcome(was)}", "an audit", "people are asked about what gates have stopped")
    if ended.outcome is Outcome.PASSED:
        why = "it passes, so that nobody is asked whether its gates were right"
        return Otherwise("an audit", f"{was.step} passed", why)
    return Otherwise("an audit", f"{was.step} failed", "the share of audits does not draw it")


def _place(task: Task, rules: Rules) -> tuple[Playbook, int] | None:
    """The playbook of a task and the position of the step that it stands at."""
    playbook = rules.playbooks.get(task.cursor.playbook or "")
    if playbook is None:
        return None
    place = next((place for place, step in enumerate(playbook.steps) if step.name == task.cursor.step), None)
    return (playbook, place) if place is not None else None


def _sends_back(event: Event, task: Task) -> bool:
    """Whether the task goes back to an agent step by a person's word, or by a retry after one's rejection."""
    if event.event is EventKind.FEEDBACK:
        return event.to is State.QUEUE and event.outcome is not Outcome.PASSED
    rejected = task.cursor.reason is ParkReason.REVIEW_REJECTED
    return event.event is EventKind.RESUMED and rejected and event.step is not None


def _sent_back(event: Event, before: tuple[Playbook, int], after: tuple[Playbook, int]) -> Event | Otherwise:
    if event.step not in _agents(*before):
        return event  # not to an agent: to the review itself, which looks at other commits
    named = any(finding.step == event.step for finding in event.findings)  # `--to STEP`
    by_rule = not named and _mender(*before) == event.step
    playbook, place = after
    agents = _agents(playbook, place)
    target = _mender(playbook, place) if by_rule else event.step
    if target == event.step and target in agents:
        return _stale(event, playbook, target)
    if target is None or target not in agents:
        return Otherwise(f"back to {event.step}", "no step to go back to", f"{event.step} is no agent step before it")
    return Otherwise(
        f"back to {event.step}",
        f"back to {target}",
        "what people want changed goes to another step",
        GoTo(target, "on_changes", event.findings, steps_from(playbook, target)),
    )


def _stale(event: Event, playbook: Playbook, target: str) -> Event:
    """The same word; the outputs that it outdates are those of the new playbook's later steps."""
    stale = steps_from(playbook, target)
    update = {"children": stale} if event.event is EventKind.FEEDBACK else {"items": (target, *stale)}
    return event.model_copy(update=update)


def _agents(playbook: Playbook, place: int) -> list[str]:
    return [step.name for step in playbook.steps[:place] if step.kind is StepKind.AGENT]


def _mender(playbook: Playbook, place: int) -> str | None:
    """The agent step that answers people's words on the step at `place`."""
    agents, step = _agents(playbook, place), playbook.steps[place]
    named = step.review.on_changes if step.review is not None else None
    return named or (agents[-1] if agents else None)


def _lands(at: tuple[Playbook, int]) -> bool:
    review = at[0].steps[at[1]].review
    return review is not None and review.land != "never"


def _onward(at: tuple[Playbook, int]) -> End | None:
    """What follows a review that has passed: nothing after the last step; None: further steps, or routes."""
    playbook, place = at
    return End() if place == len(playbook.steps) - 1 and not playbook.steps[place].routes else None


def _share(event: Event, task: Task, rules: Rules) -> float | None:
    playbook = rules.playbooks.get(event.playbook or task.cursor.playbook or "")
    step: Step | None = None
    if playbook is not None:
        step = next((each for each in playbook.steps if each.name == event.step), None)
    return skipped(task, playbook, step, {}) if playbook is not None and step is not None else None


def _outcome(event: Event) -> str:
    return event.outcome.value if event.outcome is not None else "ends"
