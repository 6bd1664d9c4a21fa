"""What a forge's or a remote's refusal means for the work: once for all forges."""

from __future__ import annotations

from dataclasses import dataclass

from hqd.errors import (
    BranchMoved,
    ForgeRefused,
    ForgeUnavailable,
    HqdError,
    Misconfigured,
    RemoteRefused,
    RemoteUnavailable,
    joined,
)
from hqd.model.failure import Failure, Outcome

HOLDING = frozenset({"credentials", "rights", "missing", "moved"})
"""Causes of ForgeRefused that are nobody's work: all reviews wait until a person has seen to it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """`outcome` REFUSED: a hold of the forge, nothing is counted. `wait`: seconds that were asked for."""

    outcome: Outcome
    failure: Failure
    message: str
    wait: float | None = None

    @property
    def holds(self) -> bool:
        return self.outcome is Outcome.REFUSED


def meaning(fault: HqdError) -> Meaning:
    """Of a fault that kept a review from being opened or landed."""
    said = joined(fault.message, fault.remedy)
    if isinstance(fault, ForgeUnavailable):
        return Meaning(Outcome.REFUSED, Failure.PROVIDER, said, fault.wait)
    if isinstance(fault, RemoteUnavailable):
        return Meaning(Outcome.REFUSED, Failure.PROVIDER, said)
    if isinstance(fault, Misconfigured) or (isinstance(fault, ForgeRefused) and fault.cause in HOLDING):
        return Meaning(Outcome.REFUSED, Failure.CREDENTIALS, said)
    if isinstance(fault, RemoteRefused):
        failure = Failure.POLICY if fault.cause == "policy" else Failure.CREDENTIALS
        return Meaning(Outcome.REFUSED, failure, said)
    if isinstance(fault, BranchMoved) or (isinstance(fault, ForgeRefused) and fault.cause == "conflict"):
        return Meaning(Outcome.FAILED, Failure.CONFLICT, said)
    if isinstance(fault, ForgeRefused):
        return Meaning(Outcome.FAILED, Failure.FORGE, said)
    return Meaning(Outcome.FAILED, Failure.TRANSIENT, said)
