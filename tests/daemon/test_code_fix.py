"""The playbook code-fix, as it ships: a red test in a target repository, mended by a command agent, landed there."""

from __future__ import annotations

import shutil
from pathlib import Path

from hqd.codec.starter import AGENTS, starter_settings
from tests.daemon.headquarters import make, only, settle
from tests.daemon.target_repository import GREEN, MEND, PYTHON, RED, TESTS, settings, site

ROOT = Path(__file__).resolve().parents[2]
AGENT = f"""
import os, pathlib
if os.environ["HQD_ATTEMPT"] == "1":
    pathlib.Path("notes.txt").write_text("looked at it")
    print("I looked at it.")
else:
    {MEND}
"""
TASK = f"""---
tags: [code]
repo: site
gates: [{{kind: command, name: wanted, argv: [{PYTHON}, test_calc.py]}}]
---
# add subtracts

`add(2, 2)` gives 0.
"""


def test_a_red_test_is_mended_reviewed_and_landed_in_the_target_repository(tmp_path: Path) -> None:
    named = dict.fromkeys(AGENTS, AGENT)
    gates = "[gates." + starter_settings("none").split("[gates.", 1)[1].replace(
        '"make", "test"', f'"{PYTHON}", "old.py"'
    )
    hq = make(tmp_path, settings(tmp_path / "site.git", gates, **named))
    target = site(
        tmp_path, hq.env, {"calc.py": RED, "test_calc.py": TESTS, "old.py": "import calc\nassert calc.add(1, 0) == 1\n"}
    )
    shutil.copytree(ROOT / "playbooks", hq.root / "playbooks", dirs_exist_ok=True)
    hq.commit("the starter's playbooks")
    hq.drop("add.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")), seconds=40)
        task = only(loop)
        assert [problem for problem in loop.all_problems() if problem.stops] == []
        tries = [record for record in hq.records(task.id) if record.step == "fix" and record.outcome is not None]
        assert [record.outcome.value for record in tries if record.outcome] == ["failed", "passed"]
        first, second = ({gate.name: gate.status.value for gate in record.gates} for record in tries)
        assert (first["wanted"], first["tests"]) == ("fail", "pass")
        assert (second["wanted"], second["tests"], second["tests_not_weakened"]) == ("pass", "pass", "pass")
        assert "AssertionError" in tries[0].findings[0].text
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert target.show("calc.py") == GREEN.strip()
    assert "Hqd-Work" in target.git("log", "-1", "--format=%B", "main", where=target.remote)


def test_weakening_the_test_is_stopped(tmp_path: Path) -> None:
    code = "import pathlib; pathlib.Path('test_calc.py').write_text('from calc import add\\n'); print('now it passes')"
    gates = "[gates." + starter_settings("none").split("[gates.", 1)[1].replace(
        '"make", "test"', f'"{PYTHON}", "test_calc.py"'
    )
    hq = make(tmp_path, settings(tmp_path / "site.git", gates, **dict.fromkeys(AGENTS, code)))
    target = site(tmp_path, hq.env)
    shutil.copytree(ROOT / "playbooks", hq.root / "playbooks", dirs_exist_ok=True)
    hq.commit("the starter's playbooks")
    hq.drop("add.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("blocked")), seconds=40)
        record = next(record for record in hq.records(only(loop).id) if record.outcome is not None)
        assert [gate.name for gate in record.gates if gate.stops] == ["tests_not_weakened"]
    assert target.branches() == ["main"]
