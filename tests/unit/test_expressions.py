"""The expression language: what it means, what it refuses, and that nobody can stop the daemon with it."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqd.core.language.expressions import compile_expression, compile_text
from hqd.errors import ExpressionFault

FACTS: dict[str, Any] = {
    "task": {"id": "20260501-x-abcdef", "title": "Weekly News", "tags": ["a", "b"], "repo": None, "text": "hello"},
    "inputs": {"items": [1, 2], "keys": "K", "n": 3},
    "output": {"score": 0.5, "issues": ["one", "two"]},
    "outputs": {"research": "facts"},
    "now": datetime(2026, 5, 1, 7, 0, tzinfo=UTC),
    "cost": 0.25,
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'weekly' in task.title|lower", True),
        ("output.score < 0.7", True),
        ("output.issues", ["one", "two"]),
        ("inputs.items", [1, 2]),
        ("inputs.keys", "K"),
        ("inputs['items'][1]", 2),
        ("inputs.get('missing', 5)", 5),
        ("inputs.values() | list | length", 3),
        ("inputs.missing | default('x')", "x"),
        ("inputs.missing is defined", False),
        ("task.tags | map('upper') | join('+')", "A+B"),
        ("task.title ~ '!' ~ 3", "Weekly News!3"),
        ("output | tojson", '{"score": 0.5, "issues": ["one", "two"]}'),
        ("now.strftime('%Y-%m')", "2026-05"),
        ("'{} of {:.2f}'.format(task.tags[0], cost)", "a of 0.25"),
        ("'%s' % cost", "0.25"),
        ("[1, 2, 3] | sum", 6),
        ("2 ** 10", 1024),
        ("task.repo is none", True),
        ("'a' if cost > 1 else 'b'", "b"),
        ("task.title.replace('News', 'Olds')", "Weekly Olds"),
        ("', '.join(task.tags)", "a, b"),
    ],
)
def test_an_expression_has_the_value_that_its_author_expects(source: str, value: object) -> None:
    assert value == compile_expression(source).evaluate(FACTS)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("inputs.nope", "`inputs.nope`: inputs.nope is not defined"),
        ("inputs['nope']", "inputs.nope is not defined"),
        ("nope", "`nope`: nope is not defined"),
        ("[inputs.nope]", "inputs.nope is not defined"),
        ("{'a': [inputs.nope]}", "inputs.nope is not defined"),
        ("inputs.nope == 3", "inputs.nope is not defined"),
        ("not inputs.nope", "inputs.nope is not defined"),
        ("inputs.nope or 1", "inputs.nope is not defined"),
        ("inputs.nope ~ 'x'", "inputs.nope is not defined"),
        ("inputs.nope | lower", "inputs.nope is not defined"),
        ("inputs.nope.deeper", "inputs.nope is not defined"),
    ],
)
def test_undefined_anywhere_is_a_fault_that_names_it(source: str, message: str) -> None:
    with pytest.raises(ExpressionFault) as fault:
        compile_expression(source).evaluate(FACTS)
    assert message in fault.value.message


def test_a_fault_shows_the_values_that_it_had() -> None:
    with pytest.raises(ExpressionFault) as fault:
        compile_expression("output.verdict == 'ok'").evaluate({"output": {"score": 1}})
    assert fault.value.message == "`output.verdict == 'ok'`: output.verdict is not defined (output = {'score': 1})"


@pytest.mark.parametrize(
    "source",
    [
        "''.__class__.__mro__",
        "task.__class__",
        "task['__class__']",
        "().__class__.__bases__",
        "'{0.__class__}'.format(task)",
        "inputs.items.__init__",
        "compile_expression",
        "self",
        "inputs.items.append(3)",
        "inputs.pop('n')",
        "inputs.update({'a': 1})",
        "range.__self__",
        "namespace().__init__",
        "now.__class__.now()",
        "lipsum()",
        "cycler('a')",
        "'x'.encode()",
        "task | attr('__class__')",
        "[1,2] | random",
    ],
)
def test_no_expression_leaves_its_facts(source: str) -> None:
    with pytest.raises(ExpressionFault):
        compile_expression(source).evaluate(FACTS)
    assert FACTS["inputs"]["items"] == [1, 2]


@pytest.mark.parametrize(
    "source",
    [
        "'a' * 10**9",
        "10**9 * 'a'",
        "[0] * 10**9",
        "9 ** (9 ** 9)",
        "10 ** 100000",
        "(10**3000) * (10**3000)",
        "'%1000000000d' % 1",
        "'%*d' % (1000000000, 1)",
        "'{:1000000000}'.format(1)",
        "'{:{}}'.format(1, 1000000000)",
        "'%1000000000d' | format(1)",
        "now.strftime('%1000000000d')",
        "range(10**9) | list",
        "'x'.ljust(10**9)",
        "'x'.zfill(10**9)",
        "'x' | center(10**9)",
        "'x' | indent(10**9)",
        "'x' | wordwrap(10**9)",
        "1.5 | round(10**9)",
        "[1] | batch(10**9, 'x') | list",
        "'a' | replace('a', 'b' * 1000000) | replace('b', 'c' * 1000000)",
        "('a' * 1000000).replace('a', 'b' * 1000000)",
        "range(10000) | join('x' * 1000000)",
        "('x' * 1000000).join(range(10000) | map('string') | list)",
        "[[1] * 10000] * 10000 | sum(start=[])",
        "output | tojson(indent=10**9)",
    ],
)
def test_a_bomb_is_refused_quickly(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionFault):
        compile_expression(source).evaluate(FACTS)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set x %}{% for i in range(10000) %}" + "y" * 10000 + "{% endfor %}{% endset %}",
        "{% for i in range(10000) %}" + "y" * 10000 + "{% endfor %}",
        "{% for i in range(10000) %}{{ 'y' * 10000 }}{% endfor %}",
        "{% for a in range(9999) recursive %}{{ loop(range(9999)) }}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
    ],
)
def test_a_template_bomb_is_refused_quickly(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionFault):
        compile_text(source).render(FACTS)
    assert time.perf_counter() - began < 4


@pytest.mark.parametrize(
    "source",
    [
        "",
        "  ",
        "(" * 3000,
        "-" * 3900 + "1",
        "a " * 10_000,
        "{{ task }}",
        "1 +",
        "a if b",
        "1 1",
        "'",
        "9" * 6000,
        "\0",
    ],
)
def test_what_is_no_expression_is_a_fault_when_compiled(source: str) -> None:
    with pytest.raises(ExpressionFault):
        compile_expression(source)


def test_braces_in_a_condition_come_with_the_remedy() -> None:
    with pytest.raises(ExpressionFault) as fault:
        compile_expression("{{ output.score }} < 1")
    assert fault.value.remedy == "write it without braces"


def test_typos_are_named_without_any_facts() -> None:
    expression = compile_expression("outptus.research or task.titel == 'x'")
    assert expression.unknown() == (
        (1, "outptus is not known here", "did you mean outputs?"),
        (1, "task.titel does not exist", "did you mean title?"),
    )
    assert frozenset({"outptus", "task"}) == expression.names()


def test_names_that_the_text_itself_sets_are_no_typos() -> None:
    text = compile_text("{% set x = 1 %}{% for tag in task.tags %}{{ tag }}{{ loop.index }}{{ x }}{% endfor %}")
    assert text.unknown() == ()
    assert frozenset({"task"}) == text.names()


def test_a_place_may_know_fewer_names() -> None:
    found = compile_expression("output.score").unknown({"task", "inputs"})
    assert [*found] == [(1, "output is not known here", "known: inputs, task")]


def test_references_say_whether_they_are_guarded() -> None:
    text = compile_text(
        "{{ outputs.a }}{% if outputs.b is defined %}{{ outputs.b.c }}{% endif %}{{ answers.c | d('') }}"
    )
    found = {(use.root, use.name): use.guarded for use in text.analysis.references}
    assert found == {("outputs", "a"): False, ("outputs", "b"): True, ("answers", "c"): True}


def test_a_fault_in_a_text_names_file_and_line() -> None:
    with pytest.raises(ExpressionFault) as fault:
        compile_text("one\ntwo {{ task.title }}\n{{ task.nope }}", "playbooks/x.md").render(FACTS)
    assert fault.value.message.startswith("playbooks/x.md:3: task.nope is not defined")
    assert fault.value.line == 3


def test_a_syntax_fault_in_a_text_names_file_and_line() -> None:
    with pytest.raises(ExpressionFault) as fault:
        compile_text("one\n{% if x %}\n", "playbooks/x.md")
    assert fault.value.message.startswith("playbooks/x.md:")
    assert fault.value.line >= 2


def test_a_text_shows_nothing_for_none_and_json_for_lists() -> None:
    assert compile_text("{{ task.repo }}-{{ task.tags }}-").render(FACTS) == '-["a", "b"]-'


def test_lines_of_statements_leave_no_blank_lines() -> None:
    source = "a\n{% if cost %}\n  b\n{% endif %}\nc\n"
    assert compile_text(source).render(FACTS) == "a\n  b\nc\n"


def test_a_method_is_no_value() -> None:
    with pytest.raises(ExpressionFault, match="is a method"):
        compile_text("{{ outputs.items }}").render(FACTS)


def test_compiling_the_same_source_again_costs_nothing() -> None:
    assert compile_expression("task.title == 'once'") is compile_expression("task.title == 'once'")


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=60))
def test_text_without_braces_is_rendered_as_it_is(text: str) -> None:
    plain = text.replace("{", "").replace("\r", "")
    assert plain == compile_text(plain).render({})


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="abtask.inputs()[]|'\"{}%~+-*/ 0123456789,:=<>_\n", max_size=40))
def test_any_source_gives_a_value_or_a_fault(source: str) -> None:
    for evaluate in (lambda: compile_expression(source).evaluate(FACTS), lambda: compile_text(source).render(FACTS)):
        with suppress(ExpressionFault):
            evaluate()
