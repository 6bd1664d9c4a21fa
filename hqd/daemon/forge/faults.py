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

_OF_ONE = frozenset({"rights", "missing", "moved"})
"""Causes of ForgeRefused that tell of the repository that was asked about, where all others may be in order."""
HOLDING = frozenset({"credentials"}) | _OF_ONE
"""Causes of ForgeRefused that are nobody's work: reviews wait until a person has seen to it."""


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


def meaning(fault: HqdError, repo: str | None) -> Meaning:
    """Of a fault that kept a review from being opened or landed. `repo`: the target repository; None: the HQ, whose
    own troubles hold all reviews."""
    if repo is not None and (isinstance(fault, RemoteRefused) or _is_of_one(fault)):
        return Meaning(Outcome.REFUSED, Failure.ACCESS, _of_one(fault, repo))
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


def _is_of_one(fault: HqdError) -> bool:
    return isinstance(fault, ForgeRefused) and fault.cause in _OF_ONE


def _of_one(fault: HqdError, repo: str) -> str:
    remedy = fault.remedy
    if _is_of_one(fault):  # the forge's own remedies are about `repo` in [forge]
        remedy = f"look at `url` and `forge_repo` in [repos.{repo}], and give the token of [forge] access to it"
    return joined(f"repository {repo}: {fault.message}", remedy)
