"""Whose reviews wait for what the forge refuses: those of one repository, or all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from hqd.daemon.draft import Draft
from hqd.daemon.forge.faults import meaning
from hqd.daemon.forge.troubles import Troubles
from hqd.errors import ForgeRefused, ForgeUnavailable, HqdError, RemoteRefused
from hqd.model.failure import Failure
from hqd.model.record import Hold

AT = datetime(2026, 11, 22, tzinfo=UTC)


class Holds:
    """Of a Draft, what holds are laid into."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}

    def hold(self, hold: Hold, at: datetime) -> None:
        self.holds[hold.name] = hold

    def lift(self, name: str, at: datetime, by: str, why: str) -> None:
        del self.holds[name]


def after(troubles: Troubles, draft: Holds, minutes: int) -> list[str]:
    troubles.hold(cast(Draft, draft), AT + timedelta(minutes=minutes))
    return sorted(draft.holds)


@pytest.mark.parametrize("cause", ["rights", "missing", "moved"])
def test_what_the_forge_refuses_of_one_target_repository_is_a_hold_of_that_one_which_its_own_answer_lifts(
    cause: str,
) -> None:
    troubles, draft = Troubles(), Holds()
    troubles.failed("site", ForgeRefused(cause, "no"))
    troubles.answered(None, AT)
    assert after(troubles, draft, 0) == ["forge-site"]
    assert draft.holds["forge-site"].on == "forge:site"
    troubles.answered(None, AT + timedelta(minutes=1))
    assert after(troubles, draft, 1) == ["forge-site"]
    troubles.answered("site", AT + timedelta(minutes=2))
    assert after(troubles, draft, 2) == []


def test_a_token_that_is_refused_and_the_hqs_own_repository_hold_all() -> None:
    for repo, cause in (("site", "credentials"), (None, "missing")):
        troubles, draft = Troubles(), Holds()
        troubles.failed(repo, ForgeRefused(cause, "no"))
        assert after(troubles, draft, 0) == ["forge"]
        troubles.answered("other", AT + timedelta(minutes=1))
        assert after(troubles, draft, 1) == ["forge"]  # else each round would hold and lift it anew
        troubles.answered(repo, AT + timedelta(minutes=2))
        assert after(troubles, draft, 2) == []


def test_a_forge_that_is_down_is_waited_for_and_a_repository_that_nobody_asks_about_is_forgotten() -> None:
    troubles, draft = Troubles(), Holds()
    troubles.failed("site", ForgeUnavailable("down", "gone"))
    assert after(troubles, draft, 0) == []
    assert troubles.first is not None
    troubles.keep({None})
    assert troubles.first is None


@pytest.mark.parametrize(
    ("fault", "repo", "failure"),
    [
        (RemoteRefused("credentials", "no"), "site", Failure.ACCESS),
        (RemoteRefused("policy", "no"), "site", Failure.ACCESS),
        (RemoteRefused("policy", "no"), None, Failure.POLICY),
        (ForgeRefused("credentials", "no"), "site", Failure.CREDENTIALS),
        (ForgeUnavailable("down", "no"), "site", Failure.PROVIDER),
    ],
)
def test_what_a_targets_own_remote_refuses_is_of_that_repository_alone(
    fault: HqdError, repo: str | None, failure: Failure
) -> None:
    assert meaning(fault, repo).failure is failure
