"""Hostile texts: no kind takes long, and none breaks. What is quadratic here would run for minutes."""

from __future__ import annotations

from typing import Any

import pytest

from hqd.gates.registry import Registry
from hqd.model.gate import Changed, Subject
from tests.unit.gate_cases import ERROR, Tree, spec

SIZE = 60_000
TEXTS = {
    "brackets": "[" * SIZE,
    "links": "[a](" * (SIZE // 4),
    "link-spaces": "[a](" + " " * SIZE + "x",
    "footnotes": "[^" * (SIZE // 2),
    "heading-spaces": "# a" + " " * SIZE + "x",
    "heading-marks": "# " + "# " * (SIZE // 2) + "x",
    "rule": "* " * (SIZE // 2) + "x",
    "table": "a|b\n" + " " * SIZE + "x",
    "table-dashes": "a|b\n" + "-|" * (SIZE // 2) + "x",
    "backticks": " ".join("`" * (1 + n % 600) for n in range(700)),
    "comments": "<!--" * (SIZE // 4),
    "tags": "<a " * (SIZE // 3),
    "at": "a" * SIZE + "@",
    "quotes": '"' + "a " * (SIZE // 2),
    "curly": "“" * SIZE,
    "dots": "../" * (SIZE // 3) + "*",
    "code-path": "`" + "../" * (SIZE // 3) + "x`",
    "ellipses": '"' + "[" * 50_000 + ' a b c d e f"',
    "newlines": "\n" * SIZE,
    "blockquote": "> " * (SIZE // 2),
    "fences": "```\n" * (SIZE // 4),
    "nul": "\0" * SIZE,
    "surrogate": "\ud800" * 1000,
    "invisible": "\u200b" * 20_000,
    "deep-json": "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "long-number": "9" * SIZE,
    "deep-yaml": "- " * 5_000,
    "ignore": "ignore " * (SIZE // 7),
    "words": "don't " * (SIZE // 6),
    "stars": "*" * SIZE,
}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("non_empty", {}), ("json", {}), ("yaml", {}), ("toml", {}), ("csv", {}), ("json_schema", {"schema": {}}),
    ("front_matter", {}), ("has_sections", {"sections": ["a"]}), ("headings", {"min": 1}),
    ("table", {"columns": ["a"]}),
    ("must_include", {"values": ["a"], "word": True, "ignore_case": True}), ("must_not_include", {"values": ["aa"]}),
    ("regex", {"pattern": "a b"}), ("occurs", {"value": "a", "min": 1}),
    ("starts_with", {"value": "a", "ignore": '"['}),
    ("ends_with", {"value": "a"}), ("equals", {"value": "a"}), ("word_count", {"min": 1}), ("char_count", {"min": 1}),
    ("list_items", {"min": 1}), ("line_length", {"max": 100}), ("token_count", {"min": 1}), ("language", {"is": "en"}),
    ("links_resolve", {}), ("anchors_resolve", {}), ("paths_exist", {}), ("citations", {"min": 1}),
    ("quotes_verbatim", {"sources": ["task"], "ratio": 0.9}), ("similar", {"to": "task", "min": 0.5}),
    ("similar", {"to": "task", "min": 0.5, "metric": "token_set"}), ("not_duplicate", {}), ("no_conflict_markers", {}),
    ("secrets", {}), ("hidden_unicode", {}), ("prompt_injection", {}),
]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_no_text_stalls_or_breaks_a_gate(name: str) -> None:
    text = TEXTS[name]
    subject = Subject(
        output=text,
        task_text="a " * 5_000,
        files=Tree({"a.md": "# a"}),
        accepted=(("t", "b " * 1000),),
        changed=(Changed("a.md", "added", 1, 0),),
    )
    specs = tuple(spec(kind, f"{kind}-{number}", **params) for number, (kind, params) in enumerate(KINDS))
    results = Registry().run(specs, subject)
    broken = [f"{result.kind}: {result.message}" for result in results if "this is a bug" in result.message]
    assert broken == []
    assert {result.kind for result in results if result.status is ERROR} <= {"prompt_injection"}
