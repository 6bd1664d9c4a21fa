"""What can be known to be wrong with `review.sample` and `review.risk` without running anything. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hqd.model.playbook import Playbook
from hqd.model.problem import Place, Problem


def check_autonomy(path: str, playbook: Playbook) -> Iterator[Problem]:
    for index, step in enumerate(playbook.steps):
        review = step.review
        if review is None:
            continue
        place: Place = ("steps", index, "review", "sample")
        if review.sample == "auto" and review.risk is None:
            yield Problem(path, 0, "", "asks for a share by itself, and sets no risk", "add risk = 0.02", place=place)
        if isinstance(review.sample, float | int) and not 0 < review.sample <= 1:
            yield Problem(path, 0, "", f"is {review.sample:g}", "write a share above 0, at most 1", place=place)
