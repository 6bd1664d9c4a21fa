"""Task files: what people write, what is broken, and what is hostile. Reading never raises."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqd.codec.document import read_document
from hqd.codec.front_matter import write_front_matter
from hqd.codec.task import read_task
from hqd.codec.yaml_full import read_full
from hqd.codec.yaml_lines import BadYaml, read_simple, read_yaml
from hqd.model.gate import GateSpec
from hqd.model.problem import ProblemLevel
from hqd.model.task import TaskDocument

PATH = "workspace/inbox/weekly news.md"


def read(text: str | bytes, path: str = PATH) -> TaskDocument:
    result = read_task(text.encode() if isinstance(text, str) else text, path)
    assert result.document is not None, [str(problem) for problem in result.problems]
    return result.document


def faults(text: str | bytes) -> list[str]:
    return [str(problem) for problem in read_task(text.encode() if isinstance(text, str) else text, PATH).problems]


def test_a_heading_and_text_are_a_good_task() -> None:
    task = read("# Five names\n\nfor a bakery\n")
    assert task.title == "Five names"
    assert task.text == "# Five names\n\nfor a bakery\n"
    assert task.header.tags == ()


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: From the header\n---\n# Heading\n", "From the header"),
        ("text\n\n# Heading #\n", "Heading"),
        ("```\n# in a fence\n```\n# After it\n", "After it"),
        ("## Only a smaller one\n", "weekly news"),
        ("no heading", "weekly news"),
        ("---\ntitle: 2026\n---\nx", "2026"),
        ("# " + "x" * 500, "x" * 300),
        ('---\ntitle: "a\\u2028b\\nc"\n---\nx', "a b c"),
    ],
)
def test_the_title_is_the_headers_else_the_first_heading_else_the_files_name(text: str, title: str) -> None:
    assert read(text).title == title


def test_every_key_of_the_front_matter_is_read() -> None:
    task = read(
        "---\n"
        "title: T\nplaybook: newsletter\ntags: [a, b]\npriority: 5\nneeds: [other]\nnot_before: 2026-05-01\n"
        "repo: site\nsuspend: true\ndraft: false\ninputs:\n  tone: dry\n  n: 3\n"
        "gates: [no-refunds, {kind: word_count, min: 3}, {kind: word_count, max: 9, level: warn, not: true}]\n"
        "budget: {cost_usd: 0.5, attempts: 3, wall: 4h}\naliases: [w]\nmine: kept\n"
        "---\nbody\n"
    )
    header = task.header
    assert (header.playbook, header.tags, header.priority, header.needs) == ("newsletter", ("a", "b"), 5, ("other",))
    assert (header.not_before, header.repo, header.suspend, header.draft) == (date(2026, 5, 1), "site", True, False)
    assert header.inputs == {"tone": "dry", "n": 3}
    assert header.gates[0] == "no-refunds"
    assert header.gates[1] == GateSpec(name="word_count", kind="word_count", params={"min": 3})
    assert (header.gates[2].name, header.gates[2].negate) == ("word_count_2", True)
    assert header.budget is not None
    assert header.budget.wall == "4h"
    assert header.extra == {"mine": "kept"}
    assert task.text == "body\n"


def test_lists_may_stand_without_brackets() -> None:
    assert read("---\ntags: a, b\nneeds: other\n---\nx").header.tags == ("a", "b")


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-05-01", date(2026, 5, 1)),
        ("2026-05-01T07:00:00Z", datetime(2026, 5, 1, 7, tzinfo=UTC)),
        ("2026-05-01T07:00:00+02:00", datetime(2026, 5, 1, 5, tzinfo=UTC)),
        ("2026-05-01 07:00:00", datetime(2026, 5, 1, 7, tzinfo=UTC)),
        ('"2026-05-01T07:00:00Z"', datetime(2026, 5, 1, 7, tzinfo=UTC)),
    ],
)
def test_dates_are_dates_and_times_are_utc(written: str, moment: date) -> None:
    assert read(f"---\nnot_before: {written}\n---\nx").header.not_before == moment


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bom_and_crlf_make_no_difference(newline: str, bom: str) -> None:
    text = bom + newline.join(["---", "title: T", "tags: [a]", "---", "# H", "body", ""])
    task = read(text)
    assert (task.title, task.header.tags) == ("T", ("a",))
    assert task.text == newline.join(["# H", "body", ""])


@pytest.mark.parametrize(
    ("key", "known"),
    [("tag", "tags"), ("prioriy", "priority"), ("playbok", "playbook"), ("Tags", "tags"), ("input", "inputs")],
)
def test_a_key_within_two_letters_is_a_likely_typo_and_no_error(key: str, known: str) -> None:
    result = read_task(f"---\ntitle: x\n{key}: y\n---\nx".encode(), PATH)
    assert result.document is not None
    assert result.document.header.extra == {key: "y"}
    assert [str(problem) for problem in result.problems] == [
        f"{PATH}:3: {key}: warning: likely a typo of {known}; write {known}, or choose a key that is further from it"
    ]
    assert result.problems[0].level is ProblemLevel.WARNING


def test_other_keys_are_left_alone() -> None:
    assert faults("---\nauthor: tim\nlayout: post\n---\nx") == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", f"{PATH}: the file is empty; write what is to be done"),
        (b" \r\n\t\n", f"{PATH}: the file is empty; write what is to be done"),
        (b"\xef\xbb\xbf\n", f"{PATH}: the file is empty; write what is to be done"),
        (b"one\ntwo \xe9\n", f"{PATH}:2: a byte that is not UTF-8; save the file as UTF-8"),
        (b"one\n\0", f"{PATH}:2: a NUL byte: this is no text file; save it as plain UTF-8 text"),
        ("x".encode("utf-16"), f"{PATH}:1: the file is UTF-16; save it as UTF-8"),
        (
            b"---\ntitle: x\n",
            f"{PATH}:1: the front matter is opened but never closed; "
            "close it with a line that is only ---, or begin the text with something else",
        ),
        (
            b"---\ntitle: a: b\n---\nx",
            f"{PATH}:2: not YAML: mapping values are not allowed here; quote values that contain `: ` or ` #`",
        ),
        (b"---\ntitle: x\ntitle: y\n---\nx", f"{PATH}:3: title: stands twice (first in line 2); keep one of them"),
        (
            b"---\ninputs:\n  a: 1\n  a: 2\n---\nx",
            f"{PATH}:4: inputs.a: stands twice (first in line 3); keep one of them",
        ),
        (
            b"---\ntitle: !!python/object:os.system x\n---\nx",
            f"{PATH}:2: title: tags such as tag:yaml.org,2002:python/object:os.system are not allowed; "
            "write a plain value",
        ),
        (
            b"---\n- a\n---\nx",
            f"{PATH}:2: front matter is not a list of `key: value` lines; close it, or remove the ---",
        ),
        (b"---\npriority: high\n---\nx", f"{PATH}:2: priority: has to be a whole number"),
        (b"---\ntags: {a: 1}\n---\nx", f"{PATH}:2: tags: has to be a list; put it in brackets: [ … ]"),
        (b"---\nnot_before: soon\n---\nx", f"{PATH}:2: not_before: has to be a date or a time"),
        (b"---\nbudget:\n  cost: 1\n---\nx", f"{PATH}:3: budget.cost: unknown key; did you mean cost_usd?"),
        (
            b"---\nbudget:\n  wall: soon\n---\nx",
            f"{PATH}:3: budget.wall: not a duration: 'soon' (write 30s, 5m, 1h30m, 2d)",
        ),
        (b"---\ngates:\n- {min: 3}\n---\nx", f"{PATH}:3: gates[0].kind: is missing"),
        (b"---\ngates:\n- 5\n---\nx", f"{PATH}:3: gates[0]: a gate is a name or a table with a kind"),
        (
            b"---\ngates: non_empty\n---\nx",
            f'{PATH}:2: gates: has to be a list; write gates = ["NAME", {{ kind = "…" }}]',
        ),
        (b"---\nx: *nothing\n---\nx", f"{PATH}:2: x: *nothing refers to itself or to nothing"),
        (b"---\nx: &x [*x]\n---\nx", f"{PATH}:2: x[0]: *x refers to itself or to nothing"),
        (b"---\n<<: {a: 1}\n---\nx", f"{PATH}:2: merge keys (<<) are not supported; write the keys out"),
        (b"---\n? [a]\n: b\n---\nx", f"{PATH}:2: a key that is no text; write it in quotes"),
        (b"---\nx: 2026-13-45\n---\nx", f"{PATH}:2: x: '2026-13-45' is no timestamp"),
    ],
)
def test_a_broken_file_is_named_with_line_key_and_remedy(text: bytes, fault: str) -> None:
    assert faults(text) == [fault]
    assert read_task(text, PATH).document is None


def bomb(levels: int) -> str:
    lines = ["a: &a [" + ",".join(["x"] * 10) + "]"]
    for level in range(levels):
        lines.append(f"{chr(98 + level)}: &{chr(98 + level)} [" + ",".join([f"*{chr(97 + level)}"] * 10) + "]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (bomb(9), "more than 10000 values, aliases counted"),
        ("a: " + "[" * 5000, "nested deeper than 12 levels"),
        ("a: " + "{a: " * 5000, "nested deeper than 12 levels"),
        ("\n".join("  " * depth + "a:" for depth in range(200)), "nested deeper than 12 levels"),
        ("a: x\n" * 30_000, "more than 64000 characters"),
        ("a: " + "9" * 5000, "is no int"),
        ('a: "\\ud800"', "half of a surrogate pair"),
        ("a: \x07", "not YAML"),
    ],
)
def test_a_hostile_header_is_refused_quickly(header: str, message: str) -> None:
    began = time.perf_counter()
    found = faults(f"---\n{header}\n---\nx")
    assert len(found) == 1
    assert message in found[0]
    assert time.perf_counter() - began < 3


def test_a_few_aliases_are_fine() -> None:
    assert read("---\ninputs:\n  a: &a [1, 2]\n  b: *a\n---\nx").header.inputs == {"a": [1, 2], "b": [1, 2]}


def test_50_megabytes_are_refused_without_reading_them() -> None:
    began = time.perf_counter()
    assert faults(b"x" * 50_000_000) == [
        f"{PATH}: the file has more than 1000000 bytes; put large material into workspace/files/"
    ]
    assert time.perf_counter() - began < 1


def test_a_path_cannot_forge_a_second_line() -> None:
    problem = read_task(b"", "workspace/inbox/a\nb\x1b[31m.md").problems[0]
    assert str(problem) == "workspace/inbox/a b\\x1b[31m.md: the file is empty; write what is to be done"


def test_a_thousand_tasks_are_read_within_a_second() -> None:
    header = "title: Task\ntags: [newsletter, weekly]\npriority: 3\ninputs:\n  audience: everyone\n"
    data = f"---\n{header}---\n# x\n\n{'text ' * 200}\n".encode()
    began = time.perf_counter()
    for _ in range(1000):
        read_task(data, PATH)
    assert time.perf_counter() - began < 1


# --- the two readers agree -----------------------------------------------------------------------------------------

KEYS = st.one_of(
    st.sampled_from(["title", "tags", "inputs", "a", "true", "null", "y", "no", "_x", "x-y", "x_1"]),
    st.text(min_size=1, max_size=6),
)
ODD = """
true false True null ~ yes no on 0 -0 007 1_000 0x1f 0o17 1.5 -2.50 1e3 .5 +1 2026-01-02 2026-1-2 a:b a#b
<< = & * ! | > % @ ` - ? --- ... [] {} '' ""
"""
WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(ODD.split()),
    st.sampled_from(
        ["a: b", "a #b", "a, b", "[a, b]", "[a,b,]", "[1, 2.5, x]", "['a', b]", '"a b"', "'it''s'", '"\\n"']
    ),
    st.integers().map(str),
    st.dates().map(str),
)
ENTRIES = st.builds(
    lambda key, gap, word, tail: f"{key}:{gap}{word}{tail}",
    KEYS,
    st.sampled_from([" ", "  ", "", "\t"]),
    WORDS,
    st.sampled_from(["", " ", " # c", "\r"]),
)
LINES = st.one_of(
    ENTRIES,
    ENTRIES.map(lambda line: "  " + line),
    WORDS.map(lambda word: f"- {word}"),
    WORDS.map(lambda word: f"  - {word}"),
    KEYS.map(lambda key: f"{key}:"),
    st.sampled_from(["", "# comment", "  ", "  # c", "---", "..."]),
)


@settings(deadline=None, max_examples=700)
@given(st.lists(LINES, max_size=6).map("\n".join))
def test_the_fast_reader_says_what_ruamel_says_or_nothing(header: str) -> None:
    fast = read_simple(header)
    if fast is not None:
        full = read_full(header)
        assert fast == full
        assert [type(value) for value in fast[0].values()] == [type(value) for value in full[0].values()]


def test_the_fast_reader_takes_the_usual_form() -> None:
    """Otherwise the property above would hold for a reader that never answers."""
    header = (
        "title: Weekly news\ntags: [a, b c, 3]\npriority: -3\ndraft: false\nnot_before: 2026-01-02\n# c\n\nneeds:\n"
        "- x\n- y\ninputs:\n  tone: dry\n  list: [1, 2]\nratio: 0.5\nempty:\n"
        "quoted: \"a: b # c\"\nother: 'x'\nnone: []\n"
    )
    fast = read_simple(header)
    assert fast is not None
    assert fast == read_full(header)
    assert fast[0]["not_before"] == date(2026, 1, 2)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=200))
def test_any_header_is_read_or_refused(header: str) -> None:
    with suppress(BadYaml):
        values, lines = read_yaml(header)
        assert {(key,) for key in values} <= set(lines)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_task_or_problems(data: bytes) -> None:
    result = read_task(data, PATH)
    assert (result.document is None) == any(problem.stops for problem in result.problems)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="-\n\r abc:#", max_size=60))
def test_header_and_text_together_are_the_whole_file(text: str) -> None:
    document = read_document(text.encode(), PATH)
    assert text.endswith(document.text)


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=20),
        st.dates(),
        st.datetimes(timezones=st.just(UTC)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5))
def test_what_hqd_writes_as_front_matter_reads_back(values: dict[str, Any]) -> None:
    document = read_document((write_front_matter(values) + "body\n").encode(), PATH)
    assert document.problems == ()
    assert document.header == values
    assert document.text == "body\n"
