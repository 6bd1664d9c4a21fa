"""What one attempt may still spend, and the breaker on spend that moves nothing. Pure.

Caps stand at five places: the attempt, the step, the task, the playbook, the day. The smallest rest is what an attempt
is given, so that an agent that can hold a cap holds all of them while it runs.
"""

from __future__ import annotations

from hqd.core.recovery import cost_cap, token_cap
from hqd.model.board import Rules, Task
from hqd.model.playbook import Playbook, Step

STALLED_SHARE = 0.5
"""So much of the round's cap may be spent while steps pass again and nothing new is accepted (docs/decisions.md)."""


def attempt_dollars(task: Task, rules: Rules, playbook: Playbook, step: Step, today: float) -> float:
    """Dollars that the next attempt may cost at most. `today`: what the day has cost so far."""
    cursor, general = task.cursor, rules.settings.limits
    left = [cost_cap(task, rules, playbook) - cursor.spent, general.cost_usd_per_day - today]
    if step.limits.cost_usd is not None:
        left.append(step.limits.cost_usd - cursor.step_cost.get(step.name, 0.0))
    caps = (step.limits.attempt_usd, playbook.limits.attempt_usd, general.cost_usd_per_attempt)
    return max(0.0, min([*left, *(cap for cap in caps if cap is not None)]))


def attempt_tokens(task: Task, rules: Rules, playbook: Playbook, step: Step, today: int) -> int | None:
    """Tokens that the next attempt may use at most; None: no cap in tokens."""
    cursor, general = task.cursor, rules.settings.limits
    left: list[int | None] = [step.limits.attempt_tokens, playbook.limits.attempt_tokens, general.tokens_per_attempt]
    cap = token_cap(task, rules, playbook)
    left.append(cap - cursor.spent_tokens if cap is not None else None)
    if step.limits.tokens is not None:
        left.append(step.limits.tokens - cursor.step_tokens.get(step.name, 0))
    if general.tokens_per_day is not None:
        left.append(general.tokens_per_day - today)
    known = [value for value in left if value is not None]
    return max(0, min(known)) if known else None


def stalled(task: Task, rules: Rules, playbook: Playbook) -> str | None:
    """The second breaker: spend since the last accepted change of state, though attempts say `success`.

    It counts only where a step has passed again: before that, ladders and caps bound what fails. In words, or None.
    """
    cursor = task.cursor
    if not cursor.repeats:
        return None
    dollars, tokens = cost_cap(task, rules, playbook), token_cap(task, rules, playbook)
    times = f"{cursor.repeats} pass{'' if cursor.repeats == 1 else 'es'} of steps that had passed before"
    if cursor.stalled > 0 and cursor.stalled >= STALLED_SHARE * dollars:
        return f"${cursor.stalled:.2f} of the round's ${dollars:.2f} went into {times}, and nothing new was accepted"
    if tokens is not None and cursor.stalled_tokens and cursor.stalled_tokens >= STALLED_SHARE * tokens:
        return f"{cursor.stalled_tokens} of the round's {tokens} tokens went into {times}, and nothing new was accepted"
    return None
