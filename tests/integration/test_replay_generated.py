"""Histories that no daemon wrote: under their own playbooks nothing differs, whatever people did in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.lessons_history import environment, make
from hqd.cli.call import Call
from hqd.cli.history.replay import replay
from hqd.cli.history.report import Wish, report


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("generated") / "hq", tasks=40, seed=7).root


@pytest.mark.parametrize("name", ["article", "brief", "memo", "note", "patch"])
def test_a_generated_history_under_its_own_playbook_is_the_same(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Call(environment(), root, root)
    assert replay(call, root / "playbooks" / f"{name}.toml", since=None, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decisions"]["different"] == found["asked_otherwise"] == 0
    assert found["saved"] == {"attempts": [0, 0], "cost_usd": [0, 0]}
    assert found["ends"] == []
    assert found["tasks"] > 0
    assert found["decisions"]["same"] > found["tasks"]


def test_its_report_counts_every_task_and_try(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(Call(environment(), root, root), Wish(form="json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcomes"]["tasks"] == sum(found["outcomes"]["states"].values()) == 40
    assert sum(row["tasks"] for row in found["playbooks"]) == 40
    assert sum(row["tries"] for row in found["weeks"]) == found["outcomes"]["tries"]
    clean = [row["clean"]["n"] for row in found["playbooks"]]
    assert sum(clean) == found["outcomes"]["clean"]["n"] > 20
