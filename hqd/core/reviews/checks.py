"""What the forge's own CI says of a commit, against what a review step asks for (gate kind `forge_checks`). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hqd.core.reviews.text import clean
from hqd.model.record import Finding
from hqd.model.review import Check, CheckStatus

KIND = "forge_checks"
ANSWERED = "check:"
"""What the id of a failed check begins with among the answered items of a review."""
_GOOD = frozenset({CheckStatus.PASS, CheckStatus.SKIP})
_MOST_SUMMARY = 1_000


@dataclass(frozen=True, slots=True)
class Awaited:
    """One gate: these checks must be green on the head. `wait`: how long their word is waited for."""

    gate: str
    names: tuple[str, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Standing:
    """`missing`: what is not green, in words; `overdue`: what is silent for too long; `until`: when that is looked at.

    `failed`: by id, which has the commit in it, so that each counts once for each head.
    """

    missing: str = ""
    overdue: str = ""
    until: datetime | None = None
    failed: Mapping[str, Finding] = field(default_factory=dict)


def standing(
    awaited: Sequence[Awaited], checks: Sequence[Check], head: str, since: datetime | None, now: datetime
) -> Standing:
    """How the checks stand on `head`, which is up for review since `since`."""
    said = {check.name: check for check in checks}
    missing, overdue, ends, failed = [], [], [], {}
    for gate in awaited:
        for name in gate.names:
            check = said.get(name)
            if check is not None and check.status in _GOOD:
                continue
            word = check.status.value if check is not None else "not begun"
            missing.append(f"{name} ({word})")
            if check is not None and check.status is CheckStatus.FAIL:
                failed[f"{ANSWERED}{head[:12]}:{name}"] = _finding(gate, check, head)
            elif since is not None and now >= since + gate.wait:
                overdue.append(f"{name} ({word})")
            elif since is not None:
                ends.append(since + gate.wait)
    late = (
        f"the forge's checks said nothing good or bad in time on {head[:12]}: {', '.join(overdue)}" if overdue else ""
    )
    return Standing(", ".join(missing), late, min(ends, default=None), failed)


def _finding(gate: Awaited, check: Check, head: str) -> Finding:
    """What a CI server says comes from programs, and from whoever can make them print something."""
    said = clean(check.summary, most=_MOST_SUMMARY)
    text = f"the check {clean(check.name, most=200).text} fails on commit {head[:12]}"
    text += f": {said.text}" if said.text else ""
    link = "".join(c for c in check.url[:300] if c.isprintable() and not c.isspace())
    return Finding(source=f"gate:{gate.gate}", text=text + (f" ({link})" if link else ""))
