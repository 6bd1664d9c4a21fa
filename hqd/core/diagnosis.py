"""What two failed tries have in common and what changed between them: told to the agent before the third. Pure.

The figures come from gates and fingerprints, never from what an agent says of itself. No attempt is numbered and
nothing is counted on, so that tries which change nothing lead to the same words, and so to a prompt that is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hqd.model.record import Trial

TRIES = 2
"""So many failures of one class at a step call for a diagnosis before the next try."""


def diagnose(trials: Sequence[Trial]) -> str | None:
    """The diagnosis in words; None while the newest failure's class has come fewer than two times at the step."""
    if not trials:
        return None
    newest = trials[-1]
    alike = [trial for trial in trials if trial.failure is newest.failure]
    if len(alike) < TRIES:
        return None
    before = alike[-2]
    points = list(_points(before, newest))
    intro = (
        f"More than one try at this has failed in the same way ({newest.failure.value})."
        " Find out why before you answer; another answer of the same kind will fail again."
    )
    return "\n".join([intro, "", *(f"- {point}" for point in points)]) if points else intro


def _points(before: Trial, newest: Trial) -> Iterator[str]:
    if newest.fingerprint is not None and newest.fingerprint == before.fingerprint:
        yield "The last answer was the same as the one before it. Answer differently."
    for name, message in newest.failed.items():
        if name in before.failed:
            yield _still(name, before, newest, message)
        else:
            yield f"{name} held before and fails now: {message}"
    for name in before.failed:
        if name not in newest.failed:
            yield f"{name} failed before and holds now: keep what mended it."
    if not newest.failed and newest.message:
        yield _messages(before.message, newest.message)


def _still(name: str, before: Trial, newest: Trial, message: str) -> str:
    """A gate that fails both times, with the way its figure went."""
    if name in before.scores and name in newest.scores:
        (old, _), (new, wanted) = before.scores[name], newest.scores[name]
        if old != new:
            closer = "closer, but not enough" if abs(new - wanted) < abs(old - wanted) else "further away"
            return f"{name} failed both times: {old:g}, then {new:g}, where {wanted:g} is asked for: {closer}."
    return f"{name} failed both times. {_messages(before.failed[name], message)}"


def _messages(old: str, new: str) -> str:
    return f"Both times: {new}" if old == new else f"First: {old} Then: {new}"
