"""Failure classes, outcomes and park reasons: the vocabulary of what goes wrong (design section 5)."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended. `refused`: the provider never looked at it, so it is not counted as an attempt."""

    PASSED = "passed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"


class Failure(StrEnum):
    """The class of a failed attempt; each has its own default path in `core/recovery.py`."""

    GATE = "gate"  # an enforcing gate failed
    GATE_ERROR = "gate_error"  # an enforcing gate could not judge: infrastructure, not the agent
    EMPTY = "empty"
    TRUNCATED = "truncated"  # the answer was cut at a token or byte limit
    REFUSAL = "refusal"  # the model declined
    MALFORMED = "malformed"  # typed output that does not fit its schema
    AGENT_ERROR = "agent_error"  # the agent said or showed that it failed (exit code, is_error)
    TIMEOUT = "timeout"
    TRANSIENT = "transient"  # 429, 5xx, connection: retried with backoff, does not count
    CREDENTIALS = "credentials"  # 401, 403: a hold
    ACCESS = "access"  # the forge, or its remote, keeps hqd from one target repository: a hold of its reviews
    PROVIDER = "provider"  # 402, spend limit, open circuit, unknown model: a hold
    DAY_BUDGET = "day_budget"  # a hold
    DISK = "disk"  # a hold
    SETUP = "setup"  # what makes a copy of a target repository ready fails: a hold of that repository
    NO_PROGRESS = "no_progress"
    REPLAN = "replan"
    NEEDS_HUMAN = "needs_human"
    POLICY = "policy"  # touched what an agent may not touch: human at once
    BUDGET = "budget"
    INTERRUPTED = "interrupted"
    REJECTED = "rejected"  # by a human
    EXPRESSION = "expression"
    SECRET = "secret"  # noqa: S105 - a class name
    CONTEXT = "context"  # something required is missing or does not fit
    CRASHED = "crashed"  # the worker itself broke: a bug, or a task that kills workers
    CONFLICT = "conflict"
    FORGE = "forge"  # the forge refuses this very work
    CHILD = "child"  # too many children of a spawn step were dropped


class ParkReason(StrEnum):
    """Why a task waits for a human. Each is documented in docs/operations.md."""

    GATE_FAILED = "gate_failed"
    LADDER_EXHAUSTED = "ladder_exhausted"
    ROUTE_EXHAUSTED = "route_exhausted"
    NO_PROGRESS = "no_progress"
    BUDGET = "budget"
    POLICY = "policy"
    NEEDS_HUMAN = "needs_human"
    REPLAN = "replan"
    BAD_TASK = "bad_task"
    NO_PLAYBOOK = "no_playbook"
    AMBIGUOUS_PLAYBOOK = "ambiguous_playbook"
    MISSING_NEED = "missing_need"
    CHILD_BLOCKED = "child_blocked"
    EXPRESSION = "expression"
    REVIEW_REJECTED = "review_rejected"
    CONFLICT = "conflict"
    CRASHED = "crashed"
    SECRET = "secret"  # noqa: S105 - a reason code
    ROUTED = "routed"  # a route says `human`
    GATE_ERROR = "gate_error"  # an enforcing gate could not judge, again and again
    ASKED = "asked"  # not a park: an `ask` step waits for its answer
    CONTEXT = "context"  # a required document is missing
    LANDING = "landing"  # the delivered path is taken, or landing is refused
    ONCE = "once"  # a `once` program was begun and did not pass: it may have acted
    SPAWN = "spawn"  # a spawn step has no list, one that is too long, or children too deep
    DECISION = "decision"  # what it settled contradicts a decision in force
    NOT_IN_FORCE = "not_in_force"  # the playbook uses something this version does not do yet


HOLD_FAILURES = frozenset(
    {Failure.CREDENTIALS, Failure.ACCESS, Failure.PROVIDER, Failure.DAY_BUDGET, Failure.DISK, Failure.SETUP}
)
"""Failures that are not the task's own: they become holds, never parks."""
