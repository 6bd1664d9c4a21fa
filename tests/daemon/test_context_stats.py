"""Calibration by the real daemon: arms recorded, sources observed, other rules tried over all past attempts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqd.check import check_reader
from hqd.cli.board.show import show
from hqd.cli.call import Call
from hqd.cli.context import what_if as context_what_if
from hqd.cli.context.preview import Wish, asked
from hqd.cli.edits import FolderReader
from hqd.core.context.experiment import Arm, arm
from hqd.errors import Usage
from hqd.model.playbook import Experiment
from tests.daemon.headquarters import SETTINGS, Headquarters, make, settle
from tests.daemon.test_context import ended, manifests, prompt, rebuilt, row

EXPERIMENT = 'experiment = { source = "brand.md", holdout = 0.5, effect = 0.6 }\n'
LETTERS = f"""
name = "general"
{EXPERIMENT}on_fail = [{{ retry = 1 }}, "human"]
[[context]]
include = ["workspace/context/*.md"]
[[steps]]
name = "work"
agent = "worker"
gates = [{{ kind = "must_include", values = ["good"] }}]
"""
TASKS = 6


def told(hq: Headquarters, capsys: pytest.CaptureFixture[str], *words: str, **wish: Any) -> dict[str, Any]:
    capsys.readouterr()
    assert asked(Call(hq.env, hq.root), words, Wish(as_json=True, **wish)) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def worked(folder: Path, general: str = LETTERS) -> Headquarters:
    """Six tasks, every third of which fails its first try."""
    settings = SETTINGS.replace(
        'answers = "answers.jsonl"', 'answers = "answers.jsonl"\npick = "row.first == (task.slug[-1] in \'03\')"'
    )
    hq = make(folder, settings=settings + "[limits]\nconcurrency = 1\n", general=general)
    hq.answers(
        {"first": False, "answer": "three good words"}, {"first": True, "answer": "three bad words", "attempt": 1}
    )
    hq.write("workspace/context/brand.md", "We say hello to everybody, always.\n")
    hq.write("notes/style.md", "Be brief, and be it always.\n")
    hq.write("workspace/context/prices.md", "All prices are in crowns and pennies.\n")
    hq.commit()
    for n in range(TASKS):
        hq.drop(f"task-{n}.md", f"# Task {n}\n\nWrite number {n}.\n")
    with hq.daemon() as loop:
        settle(loop, seconds=60)
    return hq


def test_arms_are_recorded_and_observed_and_a_verdict_comes_at_the_end_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = worked(tmp_path)
    experiment = Experiment(source="brand.md", holdout=0.5, effect=0.6)
    tasks = [*ended(hq), *(name[:-3] for name in hq.folder("blocked"))]
    assert len(tasks) == TASKS
    for task in tasks:
        mine = arm(experiment, "general", task)
        assert {record.arm for record in hq.records(task) if record.prompt} == {mine.value}
        capsys.readouterr()
        assert show(Call(hq.env, hq.root), task, as_json=True, attempt=1, file=None, step=None) == 0
        arms = [each["arm"] for each in json.loads(capsys.readouterr().out)["records"]]
        assert arms == [None, mine.value], "a claim is in no arm yet"
        assert show(Call(hq.env, hq.root), task, as_json=False, attempt=1, file=None, step=None) == 0
        assert f"arm of the experiment: {mine.value}\n" in capsys.readouterr().out
        for manifest in manifests(hq, task):
            assert manifest["experiment"]["arm"] == mine.value
            assert manifest["experiment"]["applies"] is True
            brand = row(manifest, "workspace/context/brand.md")
            assert (brand["status"] == "kept") is (mine is Arm.WITH)
            assert row(manifest, "workspace/context/prices.md")["status"] == "kept"
    found = told(hq, capsys, "stats", "general/work")
    assert found["kind"] == "observation, confounded"
    (step,) = found["steps"]
    sources = {each["source"].rsplit("/", 1)[-1]: each for each in step["sources"]}
    held = sum(arm(experiment, "general", task) is Arm.WITHOUT for task in tasks)
    assert sources["prices.md"]["first_pass_with"] == [TASKS - 2, TASKS]
    assert sources["prices.md"]["difference"] is None
    with_brand, without = sources["brand.md"]["first_pass_with"], sources["brand.md"]["first_pass_without"]
    assert with_brand[1] == TASKS - held
    assert (with_brand[0] + without[0], with_brand[1] + without[1]) == (TASKS - 2, TASKS)
    (made,) = found["experiments"]
    assert {each["arm"]: each["tasks"] for each in made["arms"]} == {"with": TASKS - held, "without": held}
    assert made["done"] is False
    assert all(each["passed"] is None and each["needed"] > TASKS for each in made["arms"])
    with pytest.raises(Usage, match="no attempts at a step"):
        told(hq, capsys, "stats", "general/nowhere")


def test_other_rules_are_tried_over_all_past_attempts_without_any_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would have been dropped and added, what it saves, and whether accepted work then changed a dropped file."""
    letters = LETTERS.replace(EXPERIMENT, 'land = "auto"\n').replace(
        'agent = "worker"\n',
        'agent = "worker"\ndeliver = "{{ inputs.file | default(\'out/\' ~ task.slug) }}"\noverwrite = true\n',
    )
    hq = worked(tmp_path, letters.replace('"workspace/context/*.md"', '"workspace/context/brand.md", "notes/*.md"'))
    hq.drop("style.md", "---\ninputs: {file: notes/style.md}\n---\n# Mend the style\n")
    with hq.daemon() as loop:
        settle(loop)
    before = told(hq, capsys, "stats")["attempts"]
    same = told(hq, capsys, what_if="main")
    assert (same["attempts"], same["changed"], same["saved"]) == (before, 0, 0)
    hq.write("playbooks/general.toml", letters.replace("*.md", "prices.md"))
    found = told(hq, capsys, what_if=".")
    assert (found["attempts"], found["changed"]) == (before, before)
    assert found["added"] == [{"source": "workspace/context/prices.md", "attempts": before}]
    dropped = {each["source"]: each for each in found["dropped"]}
    assert dropped["workspace/context/brand.md"]["attempts"] == before
    assert dropped["workspace/context/brand.md"]["touched_by"] == []
    (touched,) = dropped["notes/style.md"]["touched_by"]
    assert "-style-" in touched
    assert found["saved"] == found["tokens"] - found["tokens_then"]
    assert told(hq, capsys, "stats", what_if=".", last=2)["attempts"] == 2
    monkeypatch.setattr(context_what_if, "MOST_TRIED", 3)
    bounded = told(hq, capsys, what_if=".")
    assert (bounded["attempts"], bounded["of"]) == (3, before)
    assert asked(Call(hq.env, hq.root), (), Wish(what_if=".")) == 0
    assert f"the newest 3 of {before} attempts; --last {before} tries all" in capsys.readouterr().out


def test_check_refuses_an_experiment_on_what_is_required(tmp_path: Path) -> None:
    hq = make(tmp_path, general=LETTERS.replace('"]\n[[steps]]', '"]\nrequired = true\n[[steps]]'))
    (problem,) = [each for each in check_reader(FolderReader(hq.root), lambda _gate: ()).problems if each.stops]
    assert (problem.path, problem.key) == ("playbooks/general.toml", "experiment.source")
    assert "what is required is never left out" in problem.message


def test_where_the_template_changes_too_an_arm_keeps_it_and_prompts_are_made_again(tmp_path: Path) -> None:
    """`without` gets the prompt for that, `empty` the step's own without the source; both as the manifest says."""
    three = EXPERIMENT.replace("0.5", "0.999").replace(" }", ', prompt = { work = "plain.md" } }')
    general = LETTERS.replace(EXPERIMENT, three).replace('agent = "worker"\n', 'agent = "worker"\nprompt = "own.md"\n')
    hq = make(tmp_path, general=general)
    hq.answers({"answer": "three good words"})
    hq.write("playbooks/own.md", "Write as the brand document says: {{ task.title }}.\n")
    hq.write("playbooks/plain.md", "Write: {{ task.title }}.\n")
    hq.write("workspace/context/brand.md", "We say hello to everybody, always.\n")
    hq.commit()
    for n in range(6):
        hq.drop(f"task-{n}.md", f"# Task {n}\n")
    with hq.daemon() as loop:
        settle(loop, seconds=60)
    experiment = Experiment(source="brand.md", holdout=0.999, effect=0.6, prompt={"work": "plain.md"})
    for task in ended(hq):
        mine = arm(experiment, "general", task)
        sent = prompt(hq, next(record for record in hq.records(task) if record.prompt))
        assert ("as the brand document says" in sent) is (mine is not Arm.WITHOUT)
        assert ("hello to everybody" in sent) is (mine is Arm.WITH)
        assert rebuilt(hq, task) == 1
    assert len(ended(hq)) == 6
