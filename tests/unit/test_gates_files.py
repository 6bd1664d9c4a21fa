"""Gates over files: targets, references, quotes, likeness, and what an attempt did."""

from __future__ import annotations

from typing import Any

import pytest

from hqd.gates import diffs, globs, targets
from hqd.model.gate import Changed, Subject
from tests.unit.gate_cases import ERROR, FAIL, PASS, Tree, judge

POLICY = (
    "Our policy.\n\nReturns are *possible* within 30 days\nof delivery — with a receipt. We never ship on Sundays.\n"
)
SOURCES = Tree({"workspace/context/policy.md": POLICY, "workspace/context/old.md": "# Old\n"})
FILES = Tree(
    {
        "docs/a.md": "# A\n\n[b](b.md) ![x](img/x.png)\n",
        "docs/b.md": "# B c\n",
        "docs/img/x.png": b"\0x",
        "src/m.py": "",
    }
)


def added(path: str, *lines: str, start: int = 1) -> str:
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -{start},0 +{start},{len(lines)} @@\n"
    return head + "".join(f"+{line}\n" for line in lines)


def removed(path: str, *lines: str) -> str:
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1,{len(lines)} +1,0 @@\n"
    return head + "".join(f"-{line}\n" for line in lines)


# --- targets


def test_target_task_is_the_tasks_text() -> None:
    subject = Subject(output="", task_text="## Goal\nx")
    assert judge("has_sections", subject, sections=["Goal"], target="task").status is PASS


def test_target_file_judges_every_file_and_names_those_that_fail() -> None:
    result = judge("must_include", Subject(files=FILES), values=["# A"], target="file:docs/*.md")
    assert result.status is FAIL
    assert result.message.startswith("docs/b.md: ")


def test_target_file_without_files_is_an_error() -> None:
    assert judge("non_empty", Subject(), target="file:a.md").status is ERROR


def test_target_diff_is_the_added_lines_with_their_numbers() -> None:
    subject = Subject(diff=removed("a.py", "TODO old") + added("b.py", "x = 1", "# TODO new", start=7))
    result = judge("must_not_include", subject, values=["TODO"], target="diff")
    assert [(item.path, item.line, item.excerpt) for item in result.evidence] == [("b.py", 8, "# TODO new")]
    assert judge("must_not_include", subject, values=["old"], target="diff").status is PASS


@pytest.mark.parametrize(
    ("subject", "path", "text"),
    [
        (Subject(data={"a": {"b": ["x", {"c": "deep"}]}}), "a.b.1.c", "deep"),
        (Subject(output='{"a": 1}'), "a", "1"),
        (Subject(output='```json\n{"a": [1, 2]}\n```'), "a", "[1, 2]"),
        (Subject(output="---\ntitle: T\n---\nbody"), "title", "T"),
        (Subject(data={"a": None}), "a", "null"),
    ],
)
def test_target_key_is_a_value_of_the_output(subject: Subject, path: str, text: str) -> None:
    assert judge("equals", subject, value=text, target=f"key:{path}").status is PASS


def test_target_key_with_a_star_is_every_element() -> None:
    subject = Subject(data={"items": [{"n": "ok"}, {"n": "bad word"}]})
    result = judge("must_not_include", subject, values=["bad"], target="key:items.*.n")
    assert "items.1.n" in result.message or result.evidence[0].path == "items.1.n"


def test_a_missing_key_fails_and_says_what_is_there() -> None:
    result = judge("non_empty", Subject(output='{"a": 1}'), target="key:b")
    assert (result.status, result.message) == (FAIL, "The output has no key b. It has: a.")
    assert "neither JSON" in judge("non_empty", Subject(output="text"), target="key:b").message


def test_a_diff_is_read_by_its_counts() -> None:
    text = (
        'diff --git "a/\\303\\244.md" "b/\\303\\244.md"\n--- "a/\\303\\244.md"\n+++ "b/\\303\\244.md"\n'
        "@@ -1,2 +1,3 @@\n a\n--- not a header\n+++ nor this\n+x\n\\ No newline at end of file\n"
        "diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\n"
    )
    first, second = diffs.parse(text)
    assert (first.path, first.added, first.removed) == (
        "ä.md",
        [(2, "++ nor this"), (3, "x")],
        [(2, "-- not a header")],
    )
    assert (second.path, second.name, second.removed) == (None, "gone", [(1, "bye")])


@pytest.mark.parametrize(
    ("glob", "path", "covered"),
    [
        ("*.md", "a.md", True),
        ("*.md", "docs/a.md", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "x/y/a.md", True),
        ("docs/**", "docs/x/a.md", True),
        ("docs/", "docs/x/a.md", True),
        ("docs/", "docs", False),
        ("docs", "docs/a.md", True),
        ("docs", "docsx/a.md", False),
        ("a?c.{md,txt}", "abc.txt", True),
        ("[!a]bc", "abc", False),
        ("./a", "a", True),
        ("a.b", "aXb", False),
    ],
)
def test_globs(glob: str, path: str, covered: bool) -> None:
    assert globs.matches(path, (glob,)) is covered


def test_changed_files_leave_out_what_is_gone_or_binary() -> None:
    subject = Subject(
        files=Tree({"a": "x", "b": b"\0"}),
        changed=(Changed("a", "added", 1, 0), Changed("b", "added", 1, 0), Changed("c", "deleted", 0, 1)),
    )
    assert [piece.path for piece in targets.changed_files(subject)] == ["a"]


# --- presence and references


def test_file_exists() -> None:
    subject = Subject(files=FILES)
    assert judge("file_exists", subject, paths=["src/m.py", "docs/*.md"]).status is PASS
    result = judge("file_exists", subject, paths=["src/m.py", "docs/c.md"])
    assert (result.status, '"docs/c.md"' in result.message) == (FAIL, True)
    assert judge("file_exists", Subject(), paths=["a"]).status is ERROR


def test_links_resolve_from_the_files_own_folder() -> None:
    assert judge("links_resolve", Subject(files=FILES), target="file:docs/a.md").status is PASS


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("[a](docs/a.md#x) [f](docs/) [r](/src/m.py) [w](https://x.example/no) [h](#here)", PASS),
        ("[a](docs/a%2Emd) and `[no](gone.md)` and\n```\n[no](gone.md)\n```", PASS),
        ("[a](workspace/context/policy.md)", PASS),
        ("[a](gone.md)", FAIL),
        ("![a](img/gone.png)", FAIL),
        ("[a][ref]\n\n[ref]: gone.md", FAIL),
        ("[a][undefined]", FAIL),
        ("an [array] of [things]", PASS),
    ],
)
def test_links_resolve(text: str, status: object) -> None:
    assert judge("links_resolve", Subject(output=text, files=FILES, sources=SOURCES)).status is status


def test_links_that_may_be_missing_are_ignored_and_no_files_at_all_is_an_error() -> None:
    assert judge("links_resolve", Subject(output="[a](gen/x.md)", files=FILES), ignore=["gen/**"]).status is PASS
    assert judge("links_resolve", Subject(output="[a](x.md)")).status is ERROR


def test_anchors_in_other_files() -> None:
    subject = Subject(output="[b](docs/b.md#b-c) [gone](docs/none.md#x)", files=FILES)
    assert judge("anchors_resolve", subject).status is PASS
    assert judge("anchors_resolve", Subject(output="[b](docs/b.md#c)", files=FILES)).status is FAIL


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("see `docs/a.md`, `src/m.py:12`, `./docs/b.md`, `docs/`", PASS),
        ("`application/json`, `origin/main`, `os.path`, `example.org/a.html`, `--flag`, `a/*.md`, `/etc/passwd`", PASS),
        ("see `docs/none.md`", FAIL),
        ("see `README.md`", FAIL),
        ("see `src/none`", FAIL),
        ("docs/none.md is no code", PASS),
    ],
)
def test_paths_exist(text: str, status: object) -> None:
    result = judge("paths_exist", Subject(output=text, files=FILES))
    assert result.status is status, result.message


# --- citations and quotes


@pytest.mark.parametrize(
    ("text", "params", "status"),
    [
        ("[p](workspace/context/policy.md)", {"min": 1, "sources": ["workspace/context/*.md"]}, PASS),
        ("[p](workspace/context/policy.md)", {"min": 1, "sources": ["workspace/context/old.md"]}, FAIL),
        (
            "As said [1].\n\n## Sources\n\n1. policy.md, page 2",
            {"min": 1, "sources": ["workspace/context/policy.md"]},
            PASS,
        ),
        ("As said [1].", {"sources": ["workspace/context/policy.md"]}, FAIL),
        ("As said[^p].\n\n[^p]: see [it](workspace/context/policy.md)", {"sources": ["workspace/context/*"]}, PASS),
        ("<https://docs.example.org/x>", {"min": 1, "sources": ["https://docs.example.org/"]}, PASS),
        ("<https://evil.example/x>", {"min": 1, "sources": ["https://docs.example.org/"]}, FAIL),
        ("[1] and [2-4] and `[9]` ![no](i.png)", {"min": 4}, PASS),
        ("[1] and [1] and [1]", {"min": 2}, FAIL),
        ("[a](https://x.example/a#1) [b](https://x.example/a#2)", {"min": 2}, FAIL),
        ("nothing", {"sources": ["workspace/context/policy.md"]}, PASS),
        ("nothing", {"sources": ["workspace/context/none.md"]}, ERROR),
    ],
)
def test_citations(text: str, params: dict[str, Any], status: object) -> None:
    result = judge("citations", Subject(output=text, sources=SOURCES), **params)
    assert result.status is status, result.message


QUOTING = {"sources": ["workspace/context/policy.md"]}


@pytest.mark.parametrize(
    ("text", "params", "status"),
    [
        ('It says "Returns are possible within 30 days of delivery" there.', {}, PASS),
        ("It says “returns are **possible** … with a receipt.”", {}, PASS),
        ("> Returns are possible\n> within 30 days of delivery - with a receipt.\n> — The policy", {}, PASS),
        ("> We never ship on Sundays. [...] Returns are possible", {}, FAIL),
        ('It says "returns are possible within 60 days of delivery".', {}, FAIL),
        ("> Returns are always possible.", {}, FAIL),
        ('He said "no way" and `"this is code not a quote at all"`.', {}, PASS),
        ("> [!NOTE]\n> This box is no quote of anything.", {}, PASS),
        ("No quotes.", {"min": 1}, FAIL),
        ('It says "returns are possible within 30 days from delivery".', {"ratio": 0.9}, PASS),
        ('It says "refunds are never given to anybody at all".', {"ratio": 0.9}, FAIL),
        ('"Returns are possible within 30 days"', {"sources": ["none/*.md"]}, ERROR),
    ],
)
def test_quotes_verbatim(text: str, params: dict[str, Any], status: object) -> None:
    result = judge("quotes_verbatim", Subject(output=text, sources=SOURCES), **{**QUOTING, **params})
    assert result.status is status, result.message


def test_a_false_quote_is_shown_with_its_line() -> None:
    subject = Subject(output='Well,\nit says "refunds are always given at once".', sources=SOURCES)
    result = judge("quotes_verbatim", subject, **QUOTING)
    assert 'line 2: "refunds are always given at once"' in result.message
    assert (result.score, result.threshold) == (0.0, 1.0)


def test_quotes_may_come_from_the_task_or_an_earlier_step() -> None:
    text = 'So "the cat sat on the mat" and "dogs bark at the moon".'
    subject = Subject(
        output=text, task_text="The cat sat on the mat.", facts={"outputs": {"plan": "Dogs bark at the moon!"}}
    )
    assert judge("quotes_verbatim", subject, sources=["task", "outputs.plan"]).status is PASS
    assert judge("quotes_verbatim", subject, sources=["task"]).status is FAIL
    assert judge("quotes_verbatim", subject, sources=["outputs.none"]).status is ERROR


# --- likeness


def test_similar_to_files_and_outputs() -> None:
    subject = Subject(output="# old", sources=SOURCES, facts={"outputs": {"draft": "# Old!"}})
    assert judge("similar", subject, to="file:workspace/context/*.md", min=1.0).status is PASS
    assert judge("similar", subject, to="outputs.draft", min=0.8).status is PASS
    assert judge("similar", subject, to="file:none.md", min=0.8).status is ERROR


def test_not_duplicate_sees_only_the_last_accepted_outputs() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    accepted = (("t2", "something else altogether, not like it"), ("t1", text.upper()))
    subject = Subject(output=text, accepted=accepted)
    result = judge("not_duplicate", subject)
    assert (result.status, "task t1" in result.message) == (FAIL, True)
    assert judge("not_duplicate", subject, within=1).status is PASS


# --- what the attempt did

CHANGED = (
    Changed("docs/a.md", "modified", 10, 2),
    Changed("src/new.py", "renamed", 0, 0, "src/old.py"),
    Changed("x.png", "added", -1, -1),
)


@pytest.mark.parametrize(
    ("kind", "params", "status", "said"),
    [
        ("diff_limits", {"max_files": 3, "max_added": 10, "max_removed": 2}, PASS, ""),
        (
            "diff_limits",
            {"max_files": 2, "max_added": 9},
            FAIL,
            "3 files changed, at most 2 are allowed; 10 lines added",
        ),
        ("allowed_paths", {"globs": ["docs/", "src/", "*.png"]}, PASS, ""),
        ("allowed_paths", {"globs": ["docs/", "src/new.py", "*.png"]}, FAIL, '"src/new.py"'),
        ("protected_paths", {"globs": ["playbooks/", "**/*.toml"]}, PASS, ""),
        ("protected_paths", {"globs": "src/old.py"}, FAIL, '"src/new.py"'),
        ("no_binary", {"allow": ["*.png"]}, PASS, ""),
        ("no_binary", {}, FAIL, '"x.png"'),
        ("max_file_size", {"max": "1kB"}, PASS, ""),
        ("max_file_size", {"max": 9}, FAIL, "x.png (10 bytes)"),
    ],
)
def test_what_an_attempt_may_do(kind: str, params: dict[str, Any], status: object, said: str) -> None:
    subject = Subject(changed=CHANGED, files=Tree({"docs/a.md": "x", "src/new.py": "", "x.png": b"\0" * 10}))
    result = judge(kind, subject, **params)
    assert (result.status, said in result.message) == (status, True), result.message


def test_gates_about_work_also_look_at_changed_files() -> None:
    key = "sk-ant-api03-" + "aB3" * 30 + "AA"
    subject = Subject(
        output="fine", changed=(Changed("a.py", "added", 2, 0),), files=Tree({"a.py": f"x\nkey = '{key}'\n"})
    )
    result = judge("secrets", subject)
    assert (result.status, result.evidence[0].path, result.evidence[0].line) == (FAIL, "a.py", 2)
    assert key[20:] not in result.model_dump_json()


TEST = "tests/test_a.py"


@pytest.mark.parametrize(
    ("diff", "status", "said"),
    [
        (added(TEST, "def test_new():", "    assert 1 + 1 == 2"), PASS, ""),
        (removed(TEST, "def test_old():", "    assert f() == 1"), FAIL, "test test_old removed"),
        (removed(TEST, "def test_old():") + added("tests/test_b.py", "def test_old():"), PASS, ""),
        (added(TEST, "@pytest.mark.skip"), FAIL, f"{TEST}:1: skips or narrows tests"),
        (added("web/a.test.ts", "it.only('x', () => {"), FAIL, "skips or narrows"),
        (added("a_test.go", "\tt.Skip()"), FAIL, "skips or narrows"),
        (removed(TEST, "    assert f() == 1") + added(TEST, "    f()"), FAIL, "1 more assertion lines removed"),
        (removed(TEST, "    assert f() == 1") + added(TEST, "    assert f() == 2"), PASS, ""),
        (added(TEST, "    assert True"), FAIL, "always true"),
        (removed("src/a.py", "assert x", "def test_helper():"), PASS, ""),
    ],
)
def test_tests_not_weakened(diff: str, status: object, said: str) -> None:
    changed = tuple(Changed(file.name, "modified", len(file.added), len(file.removed)) for file in diffs.parse(diff))
    result = judge("tests_not_weakened", Subject(diff=diff, changed=changed))
    assert (result.status, said in result.message) == (status, True), result.message


def test_a_deleted_test_file_weakens_and_a_renamed_one_does_not() -> None:
    gone = Subject(changed=(Changed(TEST, "deleted", 0, 9),), diff=removed(TEST, "x"))
    moved = Subject(changed=(Changed("tests/test_b.py", "renamed", 0, 0, TEST),), diff="diff --git a/x b/x\n")
    assert "test file deleted" in judge("tests_not_weakened", gone).message
    assert judge("tests_not_weakened", moved).status is PASS


def test_without_the_text_of_the_difference_tests_cannot_be_compared() -> None:
    assert judge("tests_not_weakened", Subject(changed=(Changed(TEST, "modified", 1, 1),))).status is ERROR
