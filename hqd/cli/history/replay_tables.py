"""What a replay found, as text for people and as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqd.cli import terminal
from hqd.core.replay.bounds import Rest
from hqd.core.replay.reach import Rests
from hqd.core.replay.router import Routing
from hqd.core.replay.walk import Walked
from hqd.model.names import slug_of

MOST_SHOWN = 40
NOT_PLAYED = ("needs", "not_before", "holds", "concurrency", "the day's budgets", "schedules")
"""What says when a task goes on, and not how: each was waited for as recorded."""


@dataclass(slots=True)
class Replayed:
    """Everything that a replay found."""

    name: str
    routing: Routing
    walked: list[Story]
    remarks: tuple[str, ...]
    recorded: tuple[int, float]
    resting: tuple[Rests, ...] = ()
    unpriced: int = 0  # attempts of agents that told no cost

    @property
    def different(self) -> list[Story]:
        return [each for each in self.walked if each.way.differs is not None]

    @property
    def asked(self) -> list[Story]:
        """Tasks of which something else would have been asked, or a gate cannot be judged again: records stand in."""
        return [each for each in self.walked if each.way.asked is not None]


@dataclass(frozen=True, slots=True)
class Story:
    """One task followed. `bounds`: from its first difference on; `stand_in`: from its first other decision on."""

    way: Walked
    bounds: Rest | None
    stand_in: Rest | None


def _sum(ends: Sequence[Rest | None]) -> tuple[tuple[int, float], tuple[int, float]]:
    """(attempts, dollars) saved over all, at least and at most."""
    saved = [each.saved for each in ends if each is not None]
    least = sum(low[0] for low, _high in saved), round(sum(low[1] for low, _high in saved), 6)
    return least, (sum(high[0] for _low, high in saved), round(sum(high[1] for _low, high in saved), 6))


def facts_of(found: Replayed, since: str | None) -> dict[str, Any]:
    """For --json."""
    walked = [each.way for each in found.walked]
    return {
        "playbook": found.name,
        "from": since,
        "routing": {
            "tasks": found.routing.tasks,
            "unexplained": found.routing.unexplained,
            "moved": [
                {"task": each.task, "was": each.was, "would_be": each.would_be, "why": each.why}
                for each in found.routing.moved
            ],
        },
        "tasks": len(walked),
        "recorded": {"attempts": found.recorded[0], "cost_usd": found.recorded[1], "unpriced": found.unpriced},
        "decisions": {
            "same": sum(each.same for each in walked),
            "different": len(found.different),
            "outside": sum(each.outside for each in walked),
        },
        "asked_otherwise": len(found.asked),
        "gates": {
            "rerun": sum(each.rerun for each in walked),
            "unjudged": sorted({name for each in walked for name in each.unjudged}),
        },
        "saved": _saved(_sum([each.bounds for each in found.walked])),
        "saved_as_recorded": _saved(_sum([each.stand_in for each in found.walked])),
        "different": [_row(each) for each in found.different],
        "ends": [{"task": each.task, "why": each.ends} for each in walked if each.ends is not None],
        "resting": [{"task": each.task, "on": each.on, "by": each.by} for each in found.resting],
        "not_played": list(NOT_PLAYED),
        "remarks": list(found.remarks),
    }


def _saved(ends: tuple[tuple[int, float], tuple[int, float]]) -> dict[str, Any]:
    least, most = ends
    return {"attempts": [least[0], most[0]], "cost_usd": [least[1], most[1]]}


def _row(each: Story) -> dict[str, Any]:
    differs, asked, ends = each.way.differs, each.way.asked, each.stand_in
    assert differs is not None and ends is not None and each.bounds is not None  # noqa: S101, PT018 - only those
    return {
        "task": each.way.task,
        "n": differs.n,
        "at": differs.at.isoformat(),
        "step": differs.step,
        "was": differs.was,
        "would_be": differs.would_be,
        "why": differs.why,
        "exact": asked is None and ends.exact,
        "asked_otherwise": {"n": asked.n, "why": asked.why} if asked is not None else None,
        "recorded_after": {"attempts": ends.recorded[0], "cost_usd": ends.recorded[1]},
        "saved": _saved(each.bounds.saved),
        "saved_as_recorded": _saved(ends.saved),
    }


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def show(found: Replayed, since: str | None) -> None:
    """For people."""
    facts = facts_of(found, since)
    terminal.title(f"replay of {found.name}" + (f" from {since}" if since else ""))
    _show_counts(found, facts, since)
    _show_saved(found, facts)
    if found.different:
        terminal.say()
        terminal.title("The first decision that differs; exact up to it, bounds after it")
        heads = ("TASK", "RECORD", "WAS", "WOULD BE", "SAVED", "WHY")
        terminal.rows(heads, [_cells(each) for each in found.different[:MOST_SHOWN]], indent=2)
        _more(len(found.different))
    if found.routing.moved:
        terminal.say()
        terminal.title("Tasks that would have gone elsewhere")
        rows = [[slug_of(each.task), each.was, each.would_be, each.why] for each in found.routing.moved[:MOST_SHOWN]]
        terminal.rows(("TASK", "WAS", "WOULD BE", "WHY"), rows, indent=2)
        _more(len(found.routing.moved))
    if found.resting:
        terminal.say()
        terminal.title("Tasks that rest on one of these, taken as recorded: whether and when they begin is not known")
        shown = [[slug_of(each.task), each.by, slug_of(each.on)] for each in found.resting[:MOST_SHOWN]]
        terminal.rows(("TASK", "BY", "ON"), shown, indent=2)
        _more(len(found.resting))
    _show_limits(facts)


def _show_counts(found: Replayed, facts: Mapping[str, Any], since: str | None) -> None:
    decisions, gates = facts["decisions"], facts["gates"]
    terminal.say(
        f"{_tasks(found.routing.tasks)} routed again, {len(found.routing.moved)} would have gone elsewhere; "
        f"{_tasks(facts['tasks'])} of {found.name} decided again: {decisions['same']} decisions the same, "
        f"{_tasks(decisions['different'])} {'differs' if decisions['different'] == 1 else 'differ'}"
    )
    if not found.routing.tasks:
        terminal.say(f"no task {f'that was accepted after {since}' if since else 'of history'} was ever begun")
    elif not facts["tasks"]:
        terminal.say(f"{found.name} took none of them, and would take none")
    if decisions["outside"]:
        terminal.say(f"{decisions['outside']} recorded acts follow from no rule of then, and were taken as they were")
    if gates["rerun"] or gates["unjudged"]:
        unknown = f"; not known, taken as held: {', '.join(gates['unjudged'])}" if gates["unjudged"] else ""
        terminal.say(f"{gates['rerun']} verdicts made anew on recorded outputs{unknown}")


def _show_saved(found: Replayed, facts: Mapping[str, Any]) -> None:
    if found.different or found.asked:
        whole = f"of {found.recorded[0]} attempts and ${found.recorded[1]:.2f}"
        terminal.say(f"saved: {_words(facts['saved'])} {whole}")
    if found.unpriced and (found.different or found.asked):
        terminal.say(f"{found.unpriced} attempts told no cost: in dollars they count as nothing")
    if found.asked:
        said = f"in {_tasks(len(found.asked))} something else would have been asked, or a gate cannot be judged again"
        terminal.say(f"{said}; had it answered as recorded, saved: {_words(facts['saved_as_recorded'])}")


def _show_limits(facts: Mapping[str, Any]) -> None:
    for each in facts["ends"][:5]:
        terminal.say(f"not followed to its end: {slug_of(each['task'])}: {each['why']}")
    if len(facts["ends"]) > 5:
        terminal.say(f"  and {len(facts['ends']) - 5} more: --json has them all")
    if facts["different"] or facts["routing"]["moved"]:
        terminal.say(f"waited for as recorded: {', '.join(facts['not_played'])}")
    for remark in facts["remarks"]:
        terminal.say(f"missing: {remark}")


def _more(count: int) -> None:
    if count > MOST_SHOWN:
        terminal.say(f"  and {count - MOST_SHOWN} more: --json has them all")


def _cells(each: Story) -> list[str]:
    row = _row(each)
    asked = row["asked_otherwise"]
    why = row["why"] + (f" (from record {asked['n']} on, {asked['why']})" if asked else "")
    return [slug_of(row["task"]), str(row["n"]), row["was"], row["would_be"], _words(row["saved"]), why]


def _words(saved: dict[str, Any]) -> str:
    low, high = saved["attempts"]
    attempts = f"{low} attempt{'' if low == 1 else 's'}" if low == high else f"{low} to {high} attempts"
    least, most = saved["cost_usd"]
    return f"{attempts}, " + (_dollars(least) if least == most else f"{_dollars(least)} to {_dollars(most)}")


def _dollars(cost: float) -> str:
    return f"-${-cost:.2f}" if cost < 0 else f"${cost:.2f}"
