"""The daemon's life around its turns: when `--until-idle` ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.cli import run as command
from hqd.daemon import lifecycle
from tests.daemon.headquarters import Headquarters, make


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    return make(tmp_path)


def test_until_idle_ends_where_only_a_person_can_give_main_back(
    hq: Headquarters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another branch checked out nothing can be written; a script that waits for the end must get one."""
    monkeypatch.setattr(lifecycle, "GIVEN_WAY", 0.2)
    hq.drop("hello.md")
    hq.git("checkout", "--quiet", "-b", "other")
    assert command.run(hq.root, hq.env, until_idle=True) == 75
    assert hq.folder("inbox") == ["hello.md"]
    hq.git("checkout", "--quiet", "main")
    assert command.run(hq.root, hq.env, until_idle=True) == 0
    assert hq.folder("inbox") == []
