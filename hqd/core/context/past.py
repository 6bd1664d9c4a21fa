"""Past attempts with what each was sent, from history and manifests. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hqd.core.context.calibration import Sent
from hqd.core.context.experiment import Arm, Unit
from hqd.core.evolve import UNCOUNTED
from hqd.model.corpus import Attempt, Past
from hqd.model.failure import Failure, Outcome
from hqd.model.task import ENDED_STATES

NOT_ASKED = frozenset({*UNCOUNTED, Failure.NO_PROGRESS, Failure.CONTEXT})
"""Failures that say nothing of what was sent: it was not sent, or not judged."""

PriceOf = Callable[[str | None, str | None], float | None]
"""Dollars a token of input, of an agent and a model; None: not known."""


def manifest_of(attempt: Attempt) -> str | None:
    """The path of an attempt's manifest; None where nothing was sent."""
    found = attempt.end.details.get("manifest")
    return found if isinstance(found, str) else None


def sent(past: Past, manifests: Mapping[str, Mapping[str, Any]], price_of: PriceOf) -> Iterator[Sent]:
    """Every attempt that was judged, in order. `manifests`: by path; those that are gone are passed over."""
    tried: set[tuple[str, str | None]] = set()
    for each in past.attempts():
        end = each.end
        judged = end.outcome in (Outcome.PASSED, Outcome.FAILED) and end.failure not in NOT_ASKED
        manifest = manifests.get(manifest_of(each) or "")
        if not judged or manifest is None or end.step is None:
            continue
        place = (end.task, end.step)
        experiment = manifest.get("experiment") or {}
        yield Sent(
            task=end.task,
            playbook=end.playbook or "?",
            step=end.step,
            passed=end.outcome == Outcome.PASSED,
            first=place not in tried,
            sources=_sources(manifest),
            price=price_of(end.agent, end.model),
            arm=experiment.get("arm") if experiment.get("applies") else None,
            experiment=experiment.get("key") if experiment.get("applies") else None,
        )
        tried.add(place)


def _sources(manifest: Mapping[str, Any]) -> dict[str, int]:
    rows = manifest.get("sources", ())
    return {
        str(row["source"]): int(row.get("tokens") or 0)
        for row in rows
        if row.get("status") in ("kept", "cut") and row.get("rule") != "prompt"
    }


@dataclass(slots=True)
class _Fate:
    arm: Arm
    failed: bool = False


def units(attempts: Iterable[Sent], key: str, past: Past) -> list[Unit]:
    """The tasks of an experiment in the order in which they came. Open ones that have not failed are not known yet."""
    fates: dict[str, _Fate] = {}
    for each in attempts:
        if each.experiment == key and each.arm in set(Arm):
            fate = fates.setdefault(each.task, _Fate(Arm(each.arm)))
            fate.failed = fate.failed or (each.first and not each.passed)
    last = {event.task: event.to for event in past.events}
    done = {task for task, state in last.items() if state in ENDED_STATES}
    return [
        Unit(task, fate.arm, False if fate.failed else True if task in done else None) for task, fate in fates.items()
    ]
