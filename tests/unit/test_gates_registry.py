"""The registry: order, levels, templates, `not`, faults of gates, plug-ins."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import pytest

from hqd.gates.kind import CannotJudge, Cost, GateKind, Params, Piece, Verdict, View, each
from hqd.gates.plugins import Plugin
from hqd.gates.registry import Registry
from hqd.model.gate import GateResult, GateSpec, Level, Subject
from tests.unit.gate_cases import ERROR, FAIL, PASS, SKIP, judge, spec


class Word(Params):
    word: str = "x"


def kinds(log: list[str]) -> tuple[GateKind, ...]:
    """A cheap, a dear and a judging kind that write down when they run, and two that break."""

    def has(params: Word, piece: Piece) -> Verdict:
        return Verdict(params.word in piece.text, "seen")

    def noted(name: str) -> Any:
        def evaluate(params: Word, view: View) -> Verdict:
            log.append(name)
            return each(has)(params, view)

        return evaluate

    def breaks(_: Word, __: View) -> Verdict:
        raise ZeroDivisionError("oh")

    def gives_up(_: Word, __: View) -> Verdict:
        raise CannotJudge("no idea", cost=0.5)

    return (
        GateKind("cheap", "test", Word, noted("cheap"), pure=False),
        GateKind("dear", "test", Word, noted("dear"), cost=Cost.DEAR, pure=False),
        GateKind("asks", "test", Word, noted("asks"), cost=Cost.JUDGE, pure=False),
        GateKind("counts_runs", "test", Word, noted("counts_runs")),
        GateKind("breaks", "test", Word, breaks),
        GateKind("gives_up", "test", Word, gives_up),
    )


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def registry(log: list[str]) -> Registry:
    return Registry(plugins=(Plugin("test", lambda: kinds(log)),))


def statuses(results: tuple[GateResult, ...]) -> list[str]:
    return [result.status.value for result in results]


def test_cheap_gates_run_first_and_results_keep_the_order_given(registry: Registry, log: list[str]) -> None:
    results = registry.run((spec("asks"), spec("dear"), spec("cheap")), Subject(output="x"))
    assert log == ["cheap", "dear", "asks"]
    assert [result.kind for result in results] == ["asks", "dear", "cheap"]


def test_nothing_is_paid_after_an_enforcing_cheap_failure_but_all_cheap_gates_run(
    registry: Registry, log: list[str]
) -> None:
    specs = (spec("asks"), spec("dear"), spec("cheap", "one", word="y"), spec("cheap", "two", word="z"))
    results = registry.run(specs, Subject(output="x"))
    assert statuses(results) == ["skip", "skip", "fail", "fail"]
    assert log == ["cheap", "cheap"]
    assert "one" in results[0].message


def test_a_failing_program_spares_the_judge_but_not_other_programs(registry: Registry, log: list[str]) -> None:
    specs = (spec("dear", "a", word="y"), spec("dear", "b"), spec("asks"))
    assert statuses(registry.run(specs, Subject(output="x"))) == ["fail", "pass", "skip"]


@pytest.mark.parametrize("level", ["shadow", "warn"])
def test_only_enforcing_failures_stop(registry: Registry, level: str) -> None:
    results = registry.run((spec("cheap", word="y", level=level), spec("dear")), Subject(output="x"))
    assert statuses(results) == ["fail", "pass"]
    assert not results[0].stops


def test_a_gate_that_raises_is_an_error_and_the_others_go_on(registry: Registry) -> None:
    results = registry.run((spec("breaks"), spec("cheap")), Subject(output="x"))
    assert statuses(results) == ["error", "pass"]
    assert "ZeroDivisionError: oh" in results[0].message
    assert results[0].stops


def test_a_gate_without_an_answer_is_an_error_with_its_cost(registry: Registry) -> None:
    (result,) = registry.run((spec("gives_up"),), Subject())
    assert (result.status, result.message, result.cost) == (ERROR, "no idea", 0.5)


def test_not_turns_pass_and_fail_around_but_never_an_error(registry: Registry) -> None:
    results = registry.run(
        (spec("cheap", "a", not_=True), spec("cheap", "b", word="y", not_=True), spec("breaks", not_=True)),
        Subject(output="x"),
    )
    assert statuses(results) == ["fail", "pass", "error"]
    assert "must not be so" in results[0].message


def test_not_does_not_pass_a_target_that_is_missing() -> None:
    from tests.unit.gate_cases import Tree

    subject = Subject(files=Tree({}))
    result = judge("must_include", subject, values=["x"], target="file:a.md", not_=True)
    assert result.status is FAIL
    assert "no file a.md" in result.message


def test_when_false_skips_and_when_broken_errs(registry: Registry) -> None:
    subject = Subject(output="x", facts={"task": {"tags": ["a"]}})
    results = registry.run(
        (spec("cheap", "1", when="'b' in task.tags"), spec("cheap", "2", when="inputs.n > 1"), spec("cheap", "3")),
        subject,
    )
    assert statuses(results) == ["skip", "error", "pass"]
    assert "inputs" in results[1].message


def test_the_authors_message_stands_in_place_of_the_gates_and_keeps_its_evidence() -> None:
    subject = Subject(output="a refund", facts={"inputs": {"who": "Ann"}})
    result = judge("must_not_include", subject, values=["refund"], message="No refunds for {{ inputs.who }}")
    assert result.message == "No refunds for Ann"
    assert result.evidence[0].excerpt == "a refund"


def test_parameters_are_templates_over_the_facts_and_part_of_the_version() -> None:
    def run(limit: int) -> GateResult:
        subject = Subject(output="one two three", facts={"inputs": {"n": limit}})
        return judge("word_count", subject, min="{{ inputs.n }}")

    assert (run(3).status, run(4).status) == (PASS, FAIL)
    assert run(3).version != run(4).version
    assert len(run(3).version) == 12


def test_a_template_over_what_is_not_there_is_an_error_that_names_the_parameter() -> None:
    result = judge("word_count", "x", min="{{ inputs.n }}")
    assert result.status is ERROR
    assert result.message.startswith("min: ")


def test_a_rendered_parameter_of_the_wrong_type_is_an_error() -> None:
    result = judge("word_count", Subject(facts={"inputs": {"n": "many"}}), min="{{ inputs.n }}")
    assert (result.status, result.message) == (ERROR, "wrong parameters: min: must be a whole number")


def test_an_unknown_kind_is_an_error_with_the_likely_one() -> None:
    result = judge("wordcount", "x", min=1)
    assert result.status is ERROR
    assert "did you mean word_count?" in result.message


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (spec("word_count"), "give min or max"),
        (spec("word_count", min=3, max=2), "nothing can pass"),
        (spec("word_count", min="many"), "min: must be a whole number"),
        (spec("word_count", minn=3), "minn: is no parameter of word_count; did you mean min?"),
        (spec("word_count", min="{{ 1 + }}"), "min: "),
        (spec("word_count", min="{{ inptus.n }}"), "min: inptus is not known here; did you mean inputs?"),
        (spec("word_count", min=1, target="outputs"), "target: must be output, task"),
        (spec("word_count", min=1, target="file:../x"), "target: file:GLOB must stay inside"),
        (spec("word_count", min=1, target="key:"), "target: key:PATH needs a path"),
        (spec("word_count", min=1, when="tasks.title"), "when: tasks is not known here"),
        (spec("word_count", min=1, message="{{ x"), "message: "),
        (spec("word_count", min=1, on_fail=["human"]), "on_fail: belongs to the step"),
        (spec("file_exists", paths=["a"], target="task"), "target: file_exists looks at the attempt as a whole"),
        (spec("must_include"), "values: is missing; must_include needs it"),
        (spec("must_include", values=[""]), "values: an empty text is in everything"),
        (spec("nope"), "kind: there is no gate kind 'nope'"),
    ],
    ids=lambda value: value.kind if isinstance(value, GateSpec) else None,
)
def test_check_names_what_is_wrong(written: GateSpec, fault: str) -> None:
    assert any(fault in message for message in Registry().check(written)), Registry().check(written)


@pytest.mark.parametrize(
    "written",
    [
        spec("word_count", min="{{ inputs.n }}", when="'a' in task.tags", target="key:a.b", message="{{ task.title }}"),
        spec("must_include", values=["{{ inputs.name }}", "x"], not_=True),
        spec("all_of", gates=[{"kind": "word_count", "min": 1}, "non_empty"]),
    ],
    ids=lambda written: written.kind,
)
def test_check_is_silent_on_what_is_right(written: GateSpec) -> None:
    assert Registry().check(written) == ()


def test_every_kind_of_the_catalogue_is_there_under_its_name() -> None:
    catalogue = """non_empty file_exists json yaml toml csv json_schema front_matter has_sections headings table
    must_include must_not_include regex occurs starts_with ends_with equals conditional word_count char_count list_items
    line_length token_count language links_resolve anchors_resolve paths_exist citations quotes_verbatim similar
    not_similar not_duplicate command diff_limits allowed_paths protected_paths no_conflict_markers no_binary
    max_file_size tests_not_weakened secrets hidden_unicode prompt_injection judge human all_of any_of at_least
    forge_checks"""
    assert set(catalogue.split()) == set(Registry().kinds)


def test_a_verdict_is_given_once_for_the_same_text_and_parameters(registry: Registry, log: list[str]) -> None:
    for text in ("x", "x", "y", "x"):
        registry.run((spec("counts_runs"),), Subject(output=text))
    registry.run((spec("counts_runs", word="z"),), Subject(output="x"))
    assert log == ["counts_runs"] * 3


def test_dear_gates_do_not_start_once_the_attempt_is_to_stop(registry: Registry, log: list[str]) -> None:
    stop = threading.Event()
    stop.set()
    results = registry.run((spec("cheap"), spec("dear")), Subject(output="x", stop=stop))
    assert statuses(results) == ["pass", "error"]
    assert log == ["cheap"]


def test_faulty_plugins_are_named_and_the_good_ones_serve() -> None:
    def explodes() -> object:
        raise ImportError("no module named gone")

    module = ModuleType("empty")
    taken = GateKind("word_count", "test", Word, each(lambda _, __: Verdict(True)))
    good = GateKind("good", "test", Word, each(lambda _, __: Verdict(True)))
    plugins = (
        Plugin("gone", explodes),
        Plugin("empty", lambda: module),
        Plugin("odd", lambda: [good, "bad"]),
        Plugin("taken", lambda: taken),
        Plugin("callable", lambda: lambda: [good]),
        Plugin("twice", lambda: good),
    )
    registry = Registry(plugins=plugins)
    assert judge("good", "x", registry).status is PASS
    assert judge("word_count", "x", registry, min=5).status is FAIL
    problems = "\n".join(registry.problems)
    for said in ("gone: ImportError", "empty: TypeError", "odd: TypeError", "taken: there is", "twice: there is"):
        assert said in problems
    assert "no module named gone" in registry.check(spec("from_gone"))[0]


def test_the_level_of_a_judge_is_shadow_unless_written() -> None:
    registry = Registry()
    assert registry.level(spec("judge", rubric="r", agent="a")) is Level.SHADOW
    assert registry.level(spec("judge", rubric="r", agent="a", level="warn")) is Level.WARN
    assert registry.level(spec("prompt_injection")) is Level.WARN
    assert registry.level(spec("word_count", min=1)) is Level.ENFORCE


@pytest.mark.parametrize("kind", ["judge", "prompt_injection"])
def test_what_needs_a_calibration_neither_checks_nor_enforces_without_one(kind: str) -> None:
    params = {"rubric": "r", "agent": "a"} if kind == "judge" else {}
    written = spec(kind, level="enforce", **params)
    assert any("may not enforce without a calibration" in fault for fault in Registry().check(written))
    assert Registry().level(written) is not Level.ENFORCE


def test_gates_may_not_stand_inside_each_other_for_ever() -> None:
    named = {"loop": spec("all_of", "loop", gates=["loop"])}
    registry = Registry(named=named)
    assert "gates inside each other" in str(registry.check(named["loop"]))
    assert registry.run((named["loop"],), Subject())[0].status is ERROR


def test_skipped_is_said_with_a_reason() -> None:
    result = judge("word_count", "x", min=1, when="false")
    assert (result.status, result.message) == (SKIP, "not asked for here: `false` does not hold")


def test_a_negated_gate_that_holds_does_not_speak_as_if_it_were_red() -> None:
    result = judge("regex", "all done", pattern="TODO", not_=True)
    assert result.status is PASS
    assert result.message == "as asked, this does not hold: `TODO` must match at least once; it matches 0 times."
