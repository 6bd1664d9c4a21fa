"""The kinds of the bench plug-in, and the table from constraints to gates."""

from __future__ import annotations

from typing import Any

import pytest

from bench import gates_truth, ifeval
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.gate import GateStatus, Subject
from tests.unit.gate_cases import FAIL, PASS, judge

REGISTRY = Registry(plugins=(module(ifeval.PLUGIN),))
PARAGRAPHS = "One here.\n\n“Two” there.\n \nThree."

ARGUMENTS: dict[str, dict[str, Any]] = {
    "change_case:capital_word_frequency": {"capital_relation": "less than", "capital_frequency": 2},
    "combination:repeat_prompt": {"prompt_to_repeat": "Say hi."},
    "detectable_content:number_placeholders": {"num_placeholders": 2},
    "detectable_content:postscript": {"postscript_marker": "P.P.S"},
    "detectable_format:multiple_sections": {"section_spliter": "Day", "num_sections": 2},
    "detectable_format:number_bullet_lists": {"num_bullets": 2},
    "detectable_format:number_highlighted_sections": {"num_highlights": 2},
    "keywords:existence": {"keywords": ["sun", "moon"]},
    "keywords:forbidden_words": {"forbidden_words": ["rain"]},
    "keywords:frequency": {"keyword": "sun", "relation": "at least", "frequency": 2},
    "keywords:letter_frequency": {"letter": "q", "let_relation": "less than", "let_frequency": 1},
    "language:response_language": {"language": "de"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 3, "nth_paragraph": 2, "first_word": "two"},
    "length_constraints:number_paragraphs": {"num_paragraphs": 2},
    "length_constraints:number_sentences": {"relation": "less than", "num_sentences": 3},
    "length_constraints:number_words": {"relation": "at least", "num_words": 3},
    "startend:end_checker": {"end_phrase": "The end."},
}
# constraint, a text that follows it, one that breaks it
EXAMPLES = [
    ("change_case:capital_word_frequency", "ONE word", "TWO WORDS"),
    (
        "change_case:english_capital",
        "THIS IS WHAT WE HAVE, AND IT IS FOR YOU.",
        "THIS IS WHAT WE HAVE, and it is for you",
    ),
    ("change_case:english_lowercase", "this is what we have, and it is for you.", "This is what we have."),
    ("combination:repeat_prompt", "Say hi. Hi!", "Sure. Say hi. Hi!"),
    ("combination:two_responses", "**A** one\n******\nB two", "Same\n******\nSame"),
    ("combination:two_responses", "A\n******\nB\n", "A\n******\nB\n******\nC"),
    ("detectable_content:number_placeholders", "[name] at [address]", "[name] at [home](x.md)"),
    ("detectable_content:postscript", "Bye.\n\n**P.P.S.** More", "Bye.\n\nP.S. More"),
    ("detectable_format:constrained_response", "My answer is maybe.", "Maybe."),
    ("detectable_format:json_format", '```json\n{"a": 1}\n```', "Here: {}"),
    ("detectable_format:multiple_sections", "**Day 1**\nx\nDay 2\ny", "Day 1\nx\nThe next Day\ny"),
    ("detectable_format:number_bullet_lists", "* a\n* b", "* a\n* b\n* c"),
    ("detectable_format:number_highlighted_sections", "*one* and **two words**", "*one* and 2 * 3 * 4"),
    ("detectable_format:title", "<<A title>>\nx", "<< >>\nx"),
    ("keywords:existence", "Sun and MOON", "sun only"),
    ("keywords:forbidden_words", "a rainbow", "the Rain"),
    ("keywords:frequency", "sun, Sun", "sun"),
    ("keywords:letter_frequency", "nothing", "Quiet"),
    ("language:response_language", "Das ist ein Satz, der auf Deutsch ist.", "This is a sentence that is not."),
    ("length_constraints:nth_paragraph_first_word", PARAGRAPHS, PARAGRAPHS.replace("“Two”", "**Two**")),
    ("length_constraints:number_paragraphs", "a\n***\nb ***bold*** c", "a\n***\nb\n***\nc"),
    ("length_constraints:number_sentences", "Dr. A. Smith came at 5 p.m. yesterday. Why?!", "One. Two. Three."),
    ("length_constraints:number_sentences", "Costs 3.50 etc. and more.", "First:\n1. a\n2. b"),
    ("length_constraints:number_words", "well-known thing", "two words"),
    ("punctuation:no_comma", "a b", "a, b"),
    ("startend:end_checker", '"And so. The end."', "The end. Not."),
    ("startend:quotation", '"quoted "inside" too"\n', '"half'),
]


def test_every_constraint_has_an_example() -> None:
    assert set(ifeval.TABLE) == {constraint for constraint, _, _ in EXAMPLES}


@pytest.mark.parametrize(("constraint", "good", "bad"), EXAMPLES, ids=[example[0] for example in EXAMPLES])
def test_a_constraint_becomes_a_gate_that_tells_good_from_bad(constraint: str, good: str, bad: str) -> None:
    gate = ifeval.gate(constraint, ARGUMENTS.get(constraint, {}), "c1")
    assert REGISTRY.check(gate) == ()
    results = [REGISTRY.run((gate,), Subject(output=text))[0] for text in (good, bad)]
    assert [result.status for result in results] == [PASS, FAIL], [result.message for result in results]
    assert results[1].message


@pytest.mark.parametrize(
    ("kind", "params", "fault"),
    [
        ("sentence_count", {}, "give min or max"),
        ("paragraph_count", {"min": 1, "nth": 2}, "nth and first_word go together"),
        ("paragraph_count", {"min": 1, "separator": "---"}, "separator"),
        ("case", {"is": "title"}, "is: "),
        ("letter_count", {"letter": "ab", "min": 1}, "letter"),
    ],
)
def test_wrong_parameters_are_named(kind: str, params: dict[str, Any], fault: str) -> None:
    assert judge(kind, "x", REGISTRY, **params).status is GateStatus.ERROR
    assert fault in judge(kind, "x", REGISTRY, **params).message


def test_without_the_data_the_benchmark_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HQD_BENCH_DATA", "/nowhere")
    assert list(gates_truth.run(quick=True)) == ["skipped"]


def test_figures_come_from_the_counts() -> None:
    counts = gates_truth.Counts()
    for rejected, bad in ((True, True), (True, False), (False, True), (False, False), (True, True)):
        counts.add(rejected, bad)
    figures = counts.figures()
    assert figures["counts"] == {"tp": 2, "fp": 1, "fn": 1, "tn": 1}
    assert (figures["precision"]["value"], figures["fpr"]["value"]) == (0.6667, 0.5)


@pytest.mark.bench
def test_a_short_run_over_the_data() -> None:
    result = gates_truth.run(quick=True)
    if "skipped" in result:
        pytest.skip(result["skipped"])
    odd = result["responses"]["odd"]["counts"]
    assert sum(odd.values()) > 50
    assert odd["tp"] > 0
    assert odd["tn"] > 0
