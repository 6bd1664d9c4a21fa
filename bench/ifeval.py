"""The data that the orchestration benchmark reads, and the table from its constraints to gates.

The table is written from the constraints' definitions alone: it sees identifiers and arguments, never a response.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqd.model.gate import GateSpec

PLUGIN = "bench.orchestration_plugin.hqd_bench_gates"
ROOT = Path(__file__).resolve().parent.parent
DEFAULT = "../shared/data"
NON_EMPTY = GateSpec(name="non_empty", kind="non_empty")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt and its gates: `non_empty`, then those that its constraints became, in their order.

    A text that is not there follows no constraint. `odd` keys are never developed on.
    """

    key: int
    text: str
    constraints: tuple[str, ...]
    gates: tuple[GateSpec, ...]

    @property
    def odd(self) -> bool:
        return self.key % 2 == 1


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered, with the stored verdicts: one for each constraint, and for all together."""

    key: int
    model: str
    text: str
    follows: tuple[bool, ...]
    follows_all: bool


def folder() -> Path | None:
    """Where the data is: HQD_BENCH_DATA, by default ../shared/data beside the repository; None where it is not."""
    given = os.environ.get("HQD_BENCH_DATA", DEFAULT)
    base = (ROOT / given).resolve()
    for candidate in (base / "ifeval-responses", base):
        if (candidate / "prompts.jsonl.gz").is_file() and (candidate / "responses.jsonl.gz").is_file():
            return candidate
    return None


def prompts(where: Path) -> dict[int, Prompt]:
    """All prompts by key. Raises KeyError for a constraint that the table does not know."""
    found = {}
    for row in _rows(where / "prompts.jsonl.gz"):
        constraints = tuple(constraint["id"] for constraint in row["constraints"])
        specs = tuple(
            gate(constraint["id"], constraint["args"], f"c{place}")
            for place, constraint in enumerate(row["constraints"], start=1)
        )
        found[row["key"]] = Prompt(row["key"], row["prompt"], constraints, (NON_EMPTY, *specs))
    return found


def responses(where: Path) -> Iterator[Response]:
    for row in _rows(where / "responses.jsonl.gz"):
        yield Response(row["key"], row["model"], row["response"], tuple(row["follows"]), row["follows_all"])


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def gate(constraint: str, args: Mapping[str, Any], name: str) -> GateSpec:
    """The gate of one constraint. Raises KeyError for an unknown one."""
    kind, params = TABLE[constraint](args)
    say = SAY.get(constraint)
    return GateSpec(name=name, kind=kind, params=params, message=say(args) if say is not None else None)


Made = tuple[str, dict[str, Any]]


def _range(relation: str, number: int) -> dict[str, int]:
    """The bounds of a relation as the constraints write it. Raises KeyError for another one."""
    return {"at least": {"min": number}, "less than": {"max": max(0, number - 1)}}[relation]


def _all(*gates: Made) -> Made:
    return "all_of", {"gates": [{"kind": kind, **params} for kind, params in gates]}


def _postscript(args: Mapping[str, Any]) -> Made:
    """The marker stands as a word of its own; its full stops may be missing, and spaces stand between them."""
    letters = [letter for letter in args["postscript_marker"] if letter.isalpha()]
    marker = r"\.?\s?".join(re.escape(letter) for letter in letters)
    return "regex", {"pattern": rf"(?<!\w){marker}\b", "flags": "i"}


_TWO_PARTS = (
    r"\A(?:\s*\*{6})?\s*(?P<one>(?!\*{6})\S(?:(?!\*{6}).)*?)(?<!\s)\s*\*{6}\s*"
    r"(?!(?P=one)\s*(?:\*{6}\s*)?\Z)(?!\*{6})\S(?:(?!\*{6}).)*?\s*(?:\*{6}\s*)?\Z"
)

TABLE: Mapping[str, Callable[[Mapping[str, Any]], Made]] = {
    "change_case:capital_word_frequency": lambda a: (
        "capital_words",
        _range(a["capital_relation"], a["capital_frequency"]),
    ),
    "change_case:english_capital": lambda a: _all(("case", {"is": "upper"}), ("language", {"is": "en"})),
    "change_case:english_lowercase": lambda a: _all(("case", {"is": "lower"}), ("language", {"is": "en"})),
    "combination:repeat_prompt": lambda a: ("starts_with", {"value": a["prompt_to_repeat"], "ignore_case": True}),
    "combination:two_responses": lambda a: ("regex", {"pattern": _TWO_PARTS, "flags": "s"}),
    "detectable_content:number_placeholders": lambda a: ("placeholders", {"min": a["num_placeholders"]}),
    "detectable_content:postscript": _postscript,
    "detectable_format:constrained_response": lambda a: (
        "must_include",
        {"values": ["My answer is yes.", "My answer is no.", "My answer is maybe."], "mode": "any"},
    ),
    "detectable_format:json_format": lambda a: ("json", {}),
    "detectable_format:multiple_sections": lambda a: (
        "regex",
        {"pattern": rf"^\W*{re.escape(a['section_spliter'])}\s+\d+", "flags": "m", "min": a["num_sections"]},
    ),
    "detectable_format:number_bullet_lists": lambda a: (
        "list_items",
        {"min": a["num_bullets"], "max": a["num_bullets"], "ordered": False},
    ),
    "detectable_format:number_highlighted_sections": lambda a: ("highlights", {"min": a["num_highlights"]}),
    "detectable_format:title": lambda a: ("regex", {"pattern": r"<<[^\n<>]*\w[^\n<>]*>>"}),
    "keywords:existence": lambda a: ("must_include", {"values": a["keywords"], "ignore_case": True}),
    "keywords:forbidden_words": lambda a: (
        "must_not_include",
        {"values": a["forbidden_words"], "ignore_case": True, "word": True},
    ),
    "keywords:frequency": lambda a: (
        "occurs",
        {"value": a["keyword"], "ignore_case": True, **_range(a["relation"], a["frequency"])},
    ),
    "keywords:letter_frequency": lambda a: (
        "letter_count",
        {"letter": a["letter"], **_range(a["let_relation"], a["let_frequency"])},
    ),
    "language:response_language": lambda a: ("language", {"is": a["language"]}),
    "length_constraints:nth_paragraph_first_word": lambda a: (
        "paragraph_count",
        {
            "min": a["num_paragraphs"],
            "max": a["num_paragraphs"],
            "nth": a["nth_paragraph"],
            "first_word": a["first_word"],
        },
    ),
    "length_constraints:number_paragraphs": lambda a: (
        "paragraph_count",
        {"min": a["num_paragraphs"], "max": a["num_paragraphs"], "separator": "stars"},
    ),
    "length_constraints:number_sentences": lambda a: (
        "sentence_count",
        _range(a["relation"], a["num_sentences"]),
    ),
    "length_constraints:number_words": lambda a: ("word_count", _range(a["relation"], a["num_words"])),
    "punctuation:no_comma": lambda a: ("must_not_include", {"values": [","]}),
    "startend:end_checker": lambda a: (
        "ends_with",
        {"value": a["end_phrase"], "ignore_case": True, "ignore": '"'},
    ),
    "startend:quotation": lambda a: ("regex", {"pattern": r'\A\s*".*"\s*\Z', "flags": "s"}),
}
"""Constraint -> gate kind and parameters, each from the constraint's written definition."""

SAY: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "combination:two_responses": lambda _: "Give two different answers, parted by six asterisks (******) in between.",
    "detectable_content:postscript": lambda a: (
        f'Add a postscript at the end, which starts with "{a["postscript_marker"]}".'
    ),
    "detectable_format:multiple_sections": lambda a: (
        f"Mark at least {a['num_sections']} sections, each with a line that starts with its number,"
        f' such as "{a["section_spliter"]} 1".'
    ),
    "detectable_format:title": lambda _: "Add a title in double angular brackets, such as <<A title>>.",
    "startend:quotation": lambda _: "Put the whole answer in double quotation marks.",
}
"""What an agent is told where the gate is a pattern: the author's own words, as an author would give them."""
