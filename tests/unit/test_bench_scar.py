"""What an escape teaches in the scar-tissue benchmark, and how its figures come about."""

from __future__ import annotations

from bench.lessons_scar import Answer, course

COMMA, TITLE = "punctuation:no_comma", "detectable_format:title"


def answer(*, broken: tuple[str, ...] = (), fires: tuple[str, ...] = (), kinds: tuple[str, ...] = ()) -> Answer:
    return Answer(frozenset(kinds or (*broken, *fires)), frozenset(broken), frozenset(fires))


def test_the_first_of_a_kind_escapes_and_the_second_is_stopped() -> None:
    bad = answer(broken=(COMMA,), fires=(COMMA,))
    found = course([bad, bad], applied=True)
    assert found.escaped == (True, False)
    assert found.unseen == (True, False)


def test_an_escape_teaches_only_the_kinds_that_it_broke() -> None:
    both = answer(broken=(COMMA,), fires=(COMMA,), kinds=(COMMA, TITLE))
    found = course([both, answer(broken=(TITLE,), fires=(TITLE,))], applied=True)
    assert found.escaped == (True, True)
    assert found.unseen == (True, True)
    assert found.taught == 2


def test_what_a_gate_in_force_misses_is_an_escape_that_is_not_first_of_its_kind() -> None:
    found = course([answer(broken=(COMMA,), fires=(COMMA,)), answer(broken=(COMMA,))], applied=True)
    assert found.escaped == (True, True)
    assert found.unseen == (True, False)


def test_good_work_that_a_lesson_stops_counts_as_false_positive_only_once_it_is_taught() -> None:
    good = answer(fires=(COMMA,))
    found = course([good, answer(broken=(COMMA,), fires=(COMMA,)), good], applied=True)
    assert (found.stopped_good, found.good) == (1, 2)


def test_the_control_learns_the_same_and_stops_nothing() -> None:
    bad = answer(broken=(COMMA,), fires=(COMMA,))
    found = course([bad, bad, answer(fires=(COMMA,))], applied=False)
    assert found.escaped == (True, True, False)
    assert (found.stopped_good, found.taught) == (0, 1)
