"""The gate `command` with real programs."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.programs import LocalPrograms
from hqd.gates.kind import Doors
from hqd.gates.registry import Registry
from hqd.model.gate import Changed, GateResult, Subject
from tests.unit.gate_cases import ERROR, FAIL, PASS, SKIP, Tree, judge

PYTHON = sys.executable


@pytest.fixture
def registry() -> Registry:
    env = {"PATH": os.environ.get("PATH", ""), "GREETING": "hello"}
    return Registry(doors=Doors(programs=LocalPrograms(), env=env))


def run(registry: Registry, subject: Subject, *code: str, **params: Any) -> GateResult:
    return judge("command", subject, registry, argv=[PYTHON, "-c", *code], **params)


def test_exit_code_and_output_decide(registry: Registry, tmp_path: Path) -> None:
    subject = Subject(cwd=tmp_path)
    assert run(registry, subject, "print('42 passed')", stdout_regex=r"^\d+ passed$").status is PASS
    assert run(registry, subject, "raise SystemExit(3)", expect_exit=3).status is PASS
    silent = run(registry, subject, "print('0 tests')", stdout_regex="passed")
    assert (silent.status, "prints nothing that matches" in silent.message) == (FAIL, True)


def test_a_failure_shows_the_last_lines_and_where(registry: Registry, tmp_path: Path) -> None:
    code = "import sys; print('noise\\n' * 100); sys.exit('src/a.py:12: name is wrong')"
    subject = Subject(cwd=tmp_path, changed=(Changed("src/a.py", "modified", 1, 0),))
    result = run(registry, subject, code)
    assert (result.status, result.score, result.threshold) == (FAIL, 1.0, 0.0)
    assert "src/a.py:12: name is wrong" in result.message
    assert result.message.count("noise") < 25
    assert [(item.path, item.line) for item in result.evidence] == [("src/a.py", 12)]


def test_it_runs_in_the_working_copy_with_the_environment_given(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x", encoding="utf-8")
    code = "import os; assert os.environ['GREETING'] == 'hello' and 'HOME' not in os.environ; open('here.txt')"
    result = run(registry, Subject(cwd=tmp_path), code)
    assert result.status is PASS, result.message


def test_without_files_it_runs_beside_the_output(registry: Registry) -> None:
    code = "import os; assert open('output.md').read() == open(os.environ['HQD_GATE_OUTPUT']).read() == 'dräft'"
    result = run(registry, Subject(output="dräft"), code)
    assert result.status is PASS, result.message


def test_no_shell_reads_the_arguments(registry: Registry, tmp_path: Path) -> None:
    result = judge(
        "command", Subject(cwd=tmp_path), registry, argv=["echo", "$GREETING; exit 1"], stdout_regex=r"^\$GREETING;"
    )
    assert result.status is PASS, result.message


def test_a_program_that_is_not_there_or_does_not_end_is_an_error(registry: Registry, tmp_path: Path) -> None:
    missing = judge("command", Subject(cwd=tmp_path), registry, argv=["hqd-no-such-program"])
    assert (missing.status, "program not found" in missing.message) == (ERROR, True)
    slow = run(registry, Subject(cwd=tmp_path), "import time; time.sleep(60)", timeout="200ms")
    assert (slow.status, "longer than 200ms" in slow.message) == (ERROR, True)
    assert judge("command", Subject(cwd=tmp_path), Registry(), argv=["true"]).status is ERROR


def test_it_stops_when_the_attempt_is_stopped(registry: Registry, tmp_path: Path) -> None:
    stop = threading.Event()
    started = tmp_path / "started"
    results: list[GateResult] = []
    code = "import pathlib, time; pathlib.Path('started').touch(); time.sleep(60)"
    thread = threading.Thread(target=lambda: results.append(run(registry, Subject(cwd=tmp_path, stop=stop), code)))
    thread.start()
    wait = threading.Event()
    for _ in range(600):
        if started.exists():
            break
        wait.wait(0.02)
    stop.set()
    thread.join(timeout=30)
    assert (results[0].status, "stopped" in results[0].message) == (ERROR, True)


CHECK = "import os, sys; sys.exit(sum('bug' in open(name).read() for name in os.listdir() if name.endswith('.txt')))"


def scene(tmp_path: Path, before: dict[str, str], after: dict[str, str]) -> Subject:
    """A working copy with `after` in it and a file that git ignores; `before` is the base."""
    for name, text in {**after, "installed": "by set-up"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    changed = tuple(
        Changed(name, "deleted" if name not in after else "modified" if name in before else "added", 1, 1)
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    )
    return Subject(cwd=tmp_path, base=Tree(before), files=Tree(after), changed=changed)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ({"a.txt": "ok"}, {"a.txt": "bug"}, FAIL),
        ({"a.txt": "bug"}, {"a.txt": "bug", "b.txt": "ok"}, SKIP),
        ({"a.txt": "bug"}, {"a.txt": "ok"}, PASS),
        ({"a.txt": "bug"}, {"b.txt": "bug"}, SKIP),
        ({}, {"b.txt": "bug"}, FAIL),
    ],
)
def test_compared_with_the_base_only_what_was_green_before_counts(
    registry: Registry, tmp_path: Path, before: dict[str, str], after: dict[str, str], status: object
) -> None:
    result = run(registry, scene(tmp_path, before, after), CHECK, compare="base")
    assert result.status is status, result.message
    assert result.unjudged is (status is SKIP)
    assert {path.name for path in tmp_path.iterdir()} == {*after, "installed"}


def test_a_program_that_was_red_before_says_that_it_judges_nothing_and_what_was_red(
    registry: Registry, tmp_path: Path
) -> None:
    code = "print(open('a.txt').read()); raise SystemExit(3)"
    said = run(
        registry, scene(tmp_path, {"a.txt": "FAILED old"}, {"a.txt": "FAILED new"}), code, compare="base"
    ).message
    assert said.startswith("not judged: already red before this attempt, and red after it, ")
    assert "exits with 3, not 0. Its last lines then:\nFAILED old" in said
    assert "FAILED new" not in said


def test_what_git_ignores_is_there_on_the_base_as_well(registry: Registry, tmp_path: Path) -> None:
    code = f"open('installed'); {CHECK}"
    result = run(registry, scene(tmp_path, {"a.txt": "ok"}, {"a.txt": "bug"}), code, compare="base")
    assert (result.status, "It passed before this attempt" in result.message) == (FAIL, True)


def test_a_link_that_the_attempt_made_is_not_written_through(registry: Registry, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "a.txt").symlink_to(outside)
    subject = Subject(cwd=copy, base=Tree({"a.txt": "base"}), changed=(Changed("a.txt", "modified", 1, 1),))
    run(registry, subject, "raise SystemExit(1)", compare="base")
    assert outside.read_text(encoding="utf-8") == "mine"
