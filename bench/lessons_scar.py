"""The scar-tissue curve: one agent, no gates at first; each escape teaches the kinds of check that it broke.

Real outputs of one model, each prompt once, in seeded random orders. A person finds every bad output that gets through
(the stored verdicts say which constraints it broke) and each broken kind becomes a lesson: from then on a task that
states a constraint of that kind is gated by it, with the task's own parameters and hqd's real gates. The control arm
meets the same outputs in the same order, records the same lessons and applies none.

An escape is a bad output that no gate stopped. It is `first of its kind` where none of the kinds that it broke had been
taught before: no lesson can catch those. What remains is what the gates missed. False positives are good outputs that
the lessons in force stopped, among all good outputs.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import ifeval
from hqd.core.history.wilson import interval
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.gate import GateStatus, Subject

AGENT = "Qwen2.5-7B"
ORDERS = 200
WINDOW = 100
TARGETS = {"last_window_below_control": 0.80, "false_positive_rate": 0.02}


@dataclass(frozen=True, slots=True)
class Answer:
    """One output: the kinds of its prompt's constraints, which of them it broke, and which a gate would stop."""

    kinds: frozenset[str]
    broken: frozenset[str]
    fires: frozenset[str]

    @property
    def bad(self) -> bool:
        return bool(self.broken)


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one order: per place, whether it escaped, was new, was stopped although good."""

    escaped: tuple[bool, ...]
    unseen: tuple[bool, ...]
    stopped_good: int
    good: int
    taught: int


def answers() -> tuple[Answer, ...] | None:
    """The agent's outputs with the verdicts of gates and truth; None where the data is not there."""
    where = ifeval.folder()
    if where is None:
        return None
    prompts = ifeval.prompts(where)
    registry = Registry(plugins=(module(ifeval.PLUGIN),))
    responses = list(ifeval.responses(where))
    model = _model(responses)
    found = []
    for response in responses:
        if response.model != model:
            continue
        prompt = prompts[response.key]
        results = registry.run(prompt.gates, Subject(output=response.text))[1:]
        found.append(
            Answer(
                kinds=frozenset(prompt.constraints),
                broken=frozenset(
                    kind for kind, follows in zip(prompt.constraints, response.follows, strict=True) if not follows
                ),
                fires=frozenset(
                    kind
                    for kind, result in zip(prompt.constraints, results, strict=True)
                    if result.status is GateStatus.FAIL
                ),
            )
        )
    return tuple(found)


def _model(responses: Sequence[ifeval.Response]) -> str:
    """The agent's name as the data spells it. Raises ValueError where none or several fit."""
    names = {each.model for each in responses}
    fits = sorted(name for name in names if AGENT.lower() in name.lower())
    if len(fits) != 1:
        raise ValueError(f"{AGENT}: {fits or sorted(names)}")
    return fits[0]


def course(order: Sequence[Answer], *, applied: bool) -> Course:
    """Goes through one order; `applied` False is the control, which learns the same and uses nothing."""
    taught: set[str] = set()
    escaped, unseen, stopped_good, good = [], [], 0, 0
    for answer in order:
        stopped = applied and bool(answer.fires & taught)
        good += not answer.bad
        stopped_good += stopped and not answer.bad
        escapes = answer.bad and not stopped
        escaped.append(escapes)
        unseen.append(escapes and not answer.broken & taught)
        if escapes:
            taught |= answer.broken
    return Course(tuple(escaped), tuple(unseen), stopped_good, good, len(taught))


def curve(quick: bool) -> dict[str, Any]:
    """Escapes in the first and in the last hundred outputs, lessons against control, over seeded orders."""
    pool = answers()
    if pool is None:
        return {"skipped": f"no data: set HQD_BENCH_DATA (default {ifeval.DEFAULT}) to a folder with ifeval-responses"}
    orders = 20 if quick else ORDERS
    lessons, control = [], []
    for seed in range(orders):
        order = list(pool)
        random.Random(seed).shuffle(order)
        lessons.append(course(order, applied=True))
        control.append(course(order, applied=False))
    return _figures(lessons, control, len(pool))


def _figures(lessons: Sequence[Course], control: Sequence[Course], outputs: int) -> dict[str, Any]:
    windows = {"first": slice(0, WINDOW), "last": slice(outputs - WINDOW, outputs)}
    table: dict[str, Any] = {}
    for name, window in windows.items():
        with_lessons = [sum(each.escaped[window]) for each in lessons]
        without = [sum(each.escaped[window]) for each in control]
        new = [sum(each.unseen[window]) for each in lessons]
        table[name] = {
            "lessons": _spread(with_lessons),
            "control": _spread(without),
            "first_of_their_kind": _spread(new),
            "missed_by_a_gate_in_force": _spread([all_ - first for all_, first in zip(with_lessons, new, strict=True)]),
            "below_control": round(1 - sum(with_lessons) / sum(without), 4),
        }
    stopped, good = sum(each.stopped_good for each in lessons), sum(each.good for each in lessons)
    low, high = interval(stopped // len(lessons), good // len(lessons))  # orders are no independent evidence
    return {
        "targets": TARGETS,
        "agent": AGENT,
        "outputs": outputs,
        "orders": len(lessons),
        "window": WINDOW,
        "windows": table,
        "mean_escapes_by_fifty": _by_fifty(lessons, control, outputs),
        "kinds_taught": _spread([each.taught for each in lessons]),
        "false_positives": {
            "value": round(stopped / good, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "stopped_per_order": round(stopped / len(lessons), 2),
            "good_per_order": good // len(lessons),
        },
    }


def _by_fifty(lessons: Sequence[Course], control: Sequence[Course], outputs: int) -> list[dict[str, Any]]:
    rows = []
    for start in range(0, outputs, 50):
        window = slice(start, min(start + 50, outputs))
        rows.append(
            {
                "outputs": f"{start + 1}-{window.stop}",
                "lessons": round(statistics.mean(sum(each.escaped[window]) for each in lessons), 2),
                "control": round(statistics.mean(sum(each.escaped[window]) for each in control), 2),
            }
        )
    return rows


def _spread(values: Sequence[int]) -> Mapping[str, float]:
    ordered = sorted(values)
    return {
        "mean": round(statistics.mean(ordered), 2),
        "low": ordered[int(len(ordered) * 0.025)],
        "high": ordered[min(len(ordered) - 1, int(len(ordered) * 0.975))],
    }


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(curve(quick=False), indent=1) + "\n")
