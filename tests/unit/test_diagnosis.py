"""The diagnosis before a third try: what failed twice, and what changed."""

from __future__ import annotations

from hqd.core.diagnosis import diagnose
from hqd.model.failure import Failure
from hqd.model.record import Trial


def trial(message: str = "", failure: Failure = Failure.GATE, print_: str | None = None, **failed: str) -> Trial:
    return Trial(attempt=1, failure=failure, message=message, fingerprint=print_, failed=failed)


def test_one_failure_of_a_class_needs_no_diagnosis() -> None:
    assert diagnose([]) is None
    assert diagnose([trial(length="too short")]) is None
    assert diagnose([trial("nothing", Failure.EMPTY), trial(length="too short")]) is None


def test_it_tells_both_messages_of_a_gate_that_failed_twice() -> None:
    said = diagnose([trial(length="120 words; at least 300 wanted."), trial(length="130 words; at least 300 wanted.")])
    assert said is not None
    assert "length failed both times. First: 120 words; at least 300 wanted. Then: 130 words" in said


def test_it_tells_the_trend_where_a_gate_gives_figures() -> None:
    scored = [
        Trial(attempt=1, failure=Failure.GATE, failed={"judge": "weak"}, scores={"judge": (score, 4.0)})
        for score in (1.0, 3.0, 2.0)
    ]
    closer, further = diagnose(scored[:2]), diagnose(scored)
    assert closer is not None
    assert "judge failed both times: 1, then 3, where 4 is asked for: closer" in closer
    assert further is not None
    assert "3, then 2, where 4 is asked for: further away" in further


def test_it_tells_what_was_mended_and_what_was_broken() -> None:
    said = diagnose([trial(length="short", tone="rude"), trial(length="short", sources="none")])
    assert said is not None
    assert "length failed both times. Both times: short" in said
    assert "sources held before and fails now: none" in said
    assert "tone failed before and holds now" in said


def test_it_says_that_the_same_answer_came_again() -> None:
    said = diagnose([trial(print_="x", length="short"), trial(print_="x", length="short")])
    assert said is not None
    assert "the same as the one before" in said


def test_failures_without_gates_are_told_by_their_messages() -> None:
    said = diagnose([trial("exit 1: no file a", Failure.AGENT_ERROR), trial("exit 1: no file b", Failure.AGENT_ERROR)])
    assert said is not None
    assert "First: exit 1: no file a Then: exit 1: no file b" in said


def test_tries_that_change_nothing_are_told_in_the_same_words() -> None:
    """Else a prompt would differ by its count alone, and never be refused as the same."""
    row = [trial(print_="x", length="short") for _ in range(3)]
    assert diagnose(row[:2]) == diagnose(row)
