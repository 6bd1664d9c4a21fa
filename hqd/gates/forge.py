"""The kind `forge_checks`: the forge's own CI decides, on the commit that is up for review."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hqd.core.reviews.checks import KIND
from hqd.gates.kind import GateKind, Params, Scope, Verdict, View
from hqd.model.duration import Duration

MOST_NAMES = 50


class ForgeChecks(Params):
    """Each check of `names` must be green on the commit that is up for review, as the forge says (skipped counts).

    For gates of a review step on a forge. The pull request is opened first; while a check is pending the task waits in
    `review/`, and that is no attempt. A red check goes to the agent step that answers reviewers as a finding, once for
    each commit. An approval counts when all are green. A check that is neither green nor red after `wait` (since the
    commit was put up for review) parks the task with `gate_error`. Elsewhere than on a forge the gate is skipped.
    """

    names: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        min_length=1, max_length=MOST_NAMES, description="names of checks or commit statuses, as the forge shows them"
    )
    wait: Duration = Field(default="2h", description="how long a verdict is waited for")


def _later(params: Any, view: View) -> Verdict:
    return Verdict(None, f"judged on the forge, when the review is open: {', '.join(params.names)}")


KINDS = (GateKind(KIND, "forge", ForgeChecks, _later, scope=Scope.NONE, pure=False, raw=("names", "wait")),)
