"""The orchestration benchmark as a whole, on a folder of the same form that was made up here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import bench.__main__ as runner
from bench import orchestration

GOOD, BAD = "the sun is up today", "nothing, really"
MODELS = {
    "Qwen2.5-7B-x": lambda key: GOOD if key % 2 else BAD,
    "Qwen2.5-14B-x": lambda key: GOOD if key % 4 else BAD,
    "Qwen2.5-32B-x": lambda key: GOOD if key % 3 else BAD,
    "gpt-4o-2024-x": lambda key: GOOD,
    "claude-3-5-sonnet-x": lambda key: GOOD,
}


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve prompts that ask for the word sun and no comma, answered by five models."""
    folder = tmp_path / "ifeval-responses"
    folder.mkdir()
    asked = [
        {"id": "keywords:existence", "args": {"keywords": ["sun"]}},
        {"id": "punctuation:no_comma", "args": {}},
    ]
    prompts = [{"key": key, "prompt": f"Say something about {key}.", "constraints": asked} for key in range(1, 13)]
    answers = [
        {"key": key, "model": model, "response": text, "follows_all": text == GOOD, "follows": [text == GOOD] * 2}
        for key in range(1, 13)
        for model, say in MODELS.items()
        for text in (say(key),)
    ]
    for name, rows in (("prompts", prompts), ("responses", answers)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    monkeypatch.setenv("HQD_BENCH_DATA", str(tmp_path))
    return tmp_path


def test_without_the_data_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HQD_BENCH_DATA", str(tmp_path))
    assert runner.main(["orchestration", "--quick"]) == 0
    assert "skipped: no data: set HQD_BENCH_DATA" in capsys.readouterr().out


@pytest.mark.bench
def test_the_whole_benchmark_runs_on_any_folder_of_the_form(made_up: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = made_up / "out.json"
    assert runner.main(["orchestration", "--quick", "--json", str(target)]) == 0
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["gates"]["precision"] == written["gates"]["recall"] == 1.0
    assert written["gates"]["fpr"] == 0.0
    assert set(written["gates"]["kinds"]) == {"keywords:existence", "punctuation:no_comma"}
    arms: Mapping[str, Any] = written["arms"]
    assert set(arms) == {arm.name for arm in orchestration.ARMS}
    for arm in arms.values():
        assert arm["clean"] + arm["silent_bad"] + arm["to_human"] == pytest.approx(1.0, abs=1e-3)
    ladder, naive = arms[orchestration.PRIMARY], arms["naive-qwen-7b"]
    assert (ladder["counts"]["clean"], ladder["counts"]["silent_bad"], ladder["counts"]["to_human"]) == (11, 0, 1)
    assert (naive["counts"]["clean"], naive["counts"]["silent_bad"], naive["counts"]["attempts"]) == (6, 6, 12)
    assert ladder["counts"]["attempts"] == 12 + 6 + 3
    assert arms["oracle-qwen-7b-14b-32b"]["counts"] == ladder["counts"]
    result = written["result"]
    assert set(result["sweep"]["model_differs_from_daemon_on"].values()) == {0}
    assert result["findings"]["where_a_rule_can_repair"]["value"] == 1.0
    key = result["faults"]["expired_key"]
    assert [each[0] for each in key["holds"]] == ["held"]
    assert (key["parks"], key["still_queued"], key["delivered_after_renewal"]) == (0, 30, key["tasks"])
    assert result["faults"]["lost_section"]["with_gate"]["hit_delivered"]["value"] == 0.0
    assert result["faults"]["hanging_agent"]["first_attempts_failed_as"] == {"timeout": 1}
    assert "ladder-qwen-7b-14b-32b" in capsys.readouterr().out
