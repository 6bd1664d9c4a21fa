"""`hqd backtest` over a generated history: shapes, determinism, scopes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.lessons_history import Made, git, make
from hqd.cli import main

SHARE = {"hits", "n", "rate", "interval"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "hq", tasks=120)


@pytest.fixture
def hqd(made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(made.root)

    def call(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["backtest", *words]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return call


def flags(made: Made, fault: str) -> set[tuple[str, int]]:
    return {key for key, faults in made.faults.items() if fault in faults and key in made.truth}


def test_the_json_has_the_promised_shape_and_the_true_numbers(made: Made, hqd: Any) -> None:
    found = json.loads(hqd("--kind", "must_not_include", "--set", "values=TODO", "--json"))
    assert found["schema_version"] == 1
    assert {"tp", "fp", "fn", "tn", "other", "gated", "unknown"} == found["counts"].keys()
    assert found["among"] == "among outputs that reached a human"
    assert found["recall"] is None
    assert found["recall_interval"] == "not measurable"
    assert found["precision_strict"].keys() == SHARE
    assert found["precision_interval"] == found["precision_strict"]
    assert found["support"] == found["counts"]["tp"] + found["counts"]["fp"] + found["counts"]["other"]
    assert found["tip"] == git(made.root, "rev-parse", "main")
    flagged = {(row["task"], int(Path(row["path"]).name[:3])) for row in found["flagged"]}
    assert flagged == flags(made, "todo")
    assert all("TODO" in row["excerpt"] for row in found["flagged"])
    assert {row["label"] for row in found["flagged"]} <= {"accepted", "edited", "rejected"}
    counts, decided = found["counts"], {case[0] for case in made.truth}
    assert counts["tp"] > 0
    assert counts["tp"] + counts["fp"] + counts["fn"] + counts["tn"] + counts["other"] <= len(decided)
    assert counts["gated"] + counts["unknown"] + len(made.truth) == made.attempts
    assert found["precision"] == pytest.approx(counts["tp"] / (counts["tp"] + counts["fp"] + counts["other"]), abs=1e-5)


def test_the_same_tip_gives_the_same_bytes_with_and_without_an_index(made: Made, hqd: Any) -> None:
    words = ("--kind", "must_not_include", "--set", "values=refund", "--json")
    first = hqd(*words)
    assert first == hqd(*words)
    (made.root / ".hqd" / "archive.sqlite").unlink()
    assert first == hqd(*words)


def test_a_scope_leaves_other_playbooks_and_steps_out(hqd: Any) -> None:
    gate = ("--kind", "must_not_include", "--set", "values=TODO", "--json")
    found = json.loads(hqd(*gate, "--playbook", "brief", "--step", "write"))
    assert {"brief"} == found["playbooks"].keys()
    assert {row["step"] for row in found["flagged"]} <= {"write"}


def test_as_of_a_commit_later_acts_are_not_read(made: Made, hqd: Any) -> None:
    commits = git(made.root, "rev-list", "--first-parent", "--reverse", "main").split()
    gate = ("--kind", "must_not_include", "--set", "values=TODO", "--json")
    early = json.loads(hqd(*gate, "--as-of", commits[len(commits) // 3]))
    whole = json.loads(hqd(*gate))
    assert sum(early["labels"].values()) < sum(whole["labels"].values())
    assert early["as_of"] == commits[len(commits) // 3]


def test_a_playbooks_own_gates_stopped_what_they_flag_so_their_rate_is_not_measurable(hqd: Any) -> None:
    text = hqd("--playbook", "article")
    assert "write/word_count" in text
    found = json.loads(hqd("article@main", "--json"))
    assert [row["name"] for row in found["gates"]] == ["word_count"]


def test_a_lesson_is_not_scored_on_its_evidence(made: Made, hqd: Any) -> None:
    key = min(flags(made, "todo"))
    lesson = f"""---
id: L-0001
status: proposed
class: todo_left
gate: {{ kind: must_not_include, values: [TODO] }}
evidence:
- {{ task: {key[0]}, path: x }}
---
A TODO was left.
"""
    (made.root / "L-0001-todo.md").write_text(lesson)
    found = json.loads(hqd("L-0001-todo.md", "--json"))
    assert key[0] not in {row["task"] for row in found["flagged"]}
    assert found["left_out"]["evidence"] >= 1
    assert found["lesson"] == "L-0001"


def test_a_named_gate_is_tested_by_its_name_as_it_is_and_as_it_was(made: Made, hqd: Any) -> None:
    settings = made.root / "hqd.toml"
    before = settings.read_text()
    try:
        settings.write_text(before + '\n[gates.open-ends]\nkind = "must_not_include"\nvalues = ["TODO"]\n')
        named = json.loads(hqd("open-ends", "--json"))
        given = json.loads(hqd("--kind", "must_not_include", "--set", "values=TODO", "--json"))
        assert named["counts"] == given["counts"]
        assert named["gate"]["name"] == "open-ends"
        brief = json.loads(hqd("open-ends", "--playbook", "brief", "--json"))
        assert {"brief"} == brief["playbooks"].keys()
        assert "no playbook or gate open-ends at main" in hqd("open-ends@main", code=2)
        assert "open-ends" in hqd("open-end", code=2)
    finally:
        settings.write_text(before)


def test_a_broken_file_in_the_working_tree_is_named_and_what_is_committed_still_works(made: Made, hqd: Any) -> None:
    playbook, settings = made.root / "playbooks/article.toml", made.root / "hqd.toml"
    kept = playbook.read_text(), settings.read_text()
    try:
        playbook.write_text("name = 3\n")
        for name in ("article", "article.toml", "playbooks/article.toml"):
            assert "playbooks/article.toml:1: " in hqd(name, code=78)
        assert "word_count" in hqd("article@main")
        settings.write_text("format = 1\n[limits]\ncost_usd_per_task = -1\n")
        assert "hqd.toml:3: limits.cost_usd_per_task" in hqd("brief", code=78)
    finally:
        playbook.write_text(kept[0])
        settings.write_text(kept[1])


def test_a_parameter_given_twice_is_a_longer_list_or_a_mistake(hqd: Any) -> None:
    gate = ("--kind", "must_not_include")
    twice = json.loads(hqd(*gate, "--set", "values=TODO", "--set", "values=refund", "--json"))
    once = json.loads(hqd(*gate, "--set", 'values=["TODO", "refund"]', "--json"))
    assert twice == once
    assert twice["gate"]["params"]["values"] == ["TODO", "refund"]
    faults = hqd(*gate, "--set", "values=x", "--set", "ignore_case=true", "--set", "ignore_case=false", code=2)
    assert "ignore_case is given twice" in faults


def test_where_there_is_nothing_to_test_on_it_says_why(made: Made, hqd: Any) -> None:
    gate = ("--kind", "must_not_include", "--set", "values=TODO")
    first = git(made.root, "rev-list", "--max-parents=0", "main")
    assert "no output of an agent yet" in hqd(*gate, "--as-of", first)
    found = json.loads(hqd(*gate, "--as-of", first, "--json"))
    assert found["precision"] is None
    assert set(found["counts"].values()) == {0}
    assert found["warnings"] == ["history has no output of an agent yet: there is nothing to test on"]
    assert "no output in scope has a label" in hqd(*gate, "--playbook", "note")  # goes to nobody
    assert "no output is in scope" in hqd(*gate, "--playbook", "article", "--step", "approve")


def test_gates_that_look_at_the_task_and_the_files_see_what_the_attempt_saw(hqd: Any) -> None:
    found = json.loads(hqd("--kind", "must_include", "--set", "values=number", "--set", "target=task", "--json"))
    assert found["left_out"]["errors"] == 0
    assert found["flagged"] == []
    files = json.loads(hqd("--kind", "max_file_size", "--set", "max=10", "--playbook", "patch", "--json"))
    assert len(files["flagged"]) > 3
    lost = files["left_out"]["errors"]  # tries whose commits no ref keeps any more: said, and counted nowhere else
    assert lost + files["fired_on"]["accepted"] + files["fired_on"]["edited"] + files["fired_on"]["rejected"] > lost


def test_text_for_people_says_among_whom_and_never_zero_per_cent(hqd: Any) -> None:
    text = hqd("--kind", "must_not_include", "--set", "values=never-there")
    assert "among outputs that reached a human" in text
    assert "not measurable" in text
    assert " 0 %" not in text
    assert "(≤ " in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to test"),
        (("--kind", "no_such_kind"), "no gate kind"),
        (("--kind", "command", "--set", 'argv=["true"]'), "--allow-commands"),
        (("L-9999",), "no lesson L-9999"),
        (("L-9999@main",), "no lesson L-9999 at main"),
        (("lessons/none.md",), "no file lessons/none.md"),
        (("nowhere",), "no playbook or gate nowhere"),
        (("article@nowhere",), "no commit 'nowhere'"),
        ((f"article@{'d' * 40}",), "no commit"),
        (("article@4b825dc642cb6eb9a060e54bf8d69288fbee4904",), "no commit"),  # a tree
        (("article", "--playbook", "brief"), "two playbooks"),
        (("--kind", "non_empty", "--playbook", "artikle"), "did you mean article?"),
        (
            ("--kind", "non_empty", "--playbook", "article", "--step", "research"),
            "playbook article has no step research",
        ),
        (("--kind", "non_empty", "--step", "wriet"), "there is no step wriet"),
        (("--kind", "non_empty", "--as-of", "nowhere"), "no commit 'nowhere'"),
    ],
)
def test_what_cannot_be_tested_is_refused(hqd: Any, words: tuple[str, ...], said: str) -> None:
    assert said in hqd(*words, code=2)
