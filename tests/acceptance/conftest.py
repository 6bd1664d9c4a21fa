"""One HQ with one running daemon for all tests of a file, where they do not get in each other's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.oracle import judge
from tests.acceptance.processes import Daemon, drop, in_state, run, until
from tests.daemon.headquarters import SETTINGS as SETTINGS
from tests.daemon.headquarters import Headquarters, make


@dataclass
class Shop:
    """A running HQ and the journal of all inputs that it was given, kept outside of it."""

    hq: Headquarters
    daemon: Daemon
    journal: list[str] = field(default_factory=list)

    def drop(self, name: str, text: str = "# A task\n\nDo it.\n") -> str:
        slug = drop(self.hq, name, text)
        self.journal.append(slug)
        return slug

    def reaches(self, slug: str, *states: str, seconds: float = 30.0) -> str:
        return in_state(self.hq, slug, *states, seconds=seconds, daemon=self.daemon)

    def still_works(self, name: str) -> None:
        """A plain task goes its whole way: nothing stopped the daemon."""
        self.reaches(self.drop(f"{name}.md"), "done")

    def said(self, key: str, value: object, seconds: float = 20.0) -> None:
        until(lambda: self.daemon.said().get(key) == value, f"{key} is {value}", seconds)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """What the module's `PLAYBOOKS`, `SETTINGS` and `ANSWERS` say, running; judged when all its tests are done."""
    module = request.module
    hq = make(
        tmp_path_factory.mktemp("shop"), getattr(module, "SETTINGS", SETTINGS), **getattr(module, "PLAYBOOKS", {})
    )
    if hasattr(module, "ANSWERS"):
        hq.answers(*module.ANSWERS)
        hq.commit()
    with run(hq) as daemon:
        found = Shop(hq, daemon)
        yield found
        assert daemon.alive, daemon.output()
    judge(hq, found.journal, clean=False)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no HQ knows."""
    return tmp_path
