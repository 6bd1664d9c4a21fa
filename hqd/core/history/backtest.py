"""What a gate would have been worth: its verdicts on past outputs beside what people said of them. Pure.

A positive is an output that a person rejected for what the gate finds. One seeded-random labelled output stands for
each cluster, so that a task tried nine times counts once. Strict figures take a firing on a rejection for another or
for no known cause as false; lenient ones leave it out; admission goes by the strict ones. Every figure holds among
outputs that reached a human: what gates stopped nobody has judged, so that recall, and the false-positive rate of a
gate that already enforces, are not measurable unless a share of stopped outputs is audited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hqd.core.history.clusters import draw
from hqd.core.report.share import Share, weighted
from hqd.model.corpus import Case, Label

AMONG = "among outputs that reached a human"
UNMEASURABLE = "not measurable"
MANY = 5
"""Firings that a group must have to count in the look for Simpson's paradox."""


class Judged(NamedTuple):
    """What a gate says of one past output.

    `fired` None: it could not judge. `still`: what it says of the version that a person took instead; None: there is
    none, or it could not judge. `caught`: gates that are there already and fire as well.
    """

    case: Case
    fired: bool | None
    still: bool | None = None
    message: str = ""
    excerpt: str = ""
    caught: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a gate was made from, which never counts, with all its cluster; and causes that are known.

    `blobs`: other lessons' evidence, blob -> class of failure; `own`: this gate's class. `terms`: what the gate looks
    for, in lower case, where it looks for words: a person who says such a word names the cause.
    """

    tasks: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()  # blobs
    blobs: Mapping[str, str] = field(default_factory=dict)
    own: str | None = None
    terms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counts:
    """Clusters, each by its one output: tp, fp, fn, tn, and `other`: firings on rejections for another or for no
    known cause. Outputs, each by itself: gated, unknown, errors (could not be judged), evidence (left out)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    other: int = 0
    gated: int = 0
    unknown: int = 0
    errors: int = 0
    evidence: int = 0
    elsewhere: int = 0  # quiet on a rejection that is known to be for another cause

    @property
    def decided(self) -> int:
        return self.tp + self.fp + self.fn + self.tn + self.other + self.elsewhere

    @property
    def support(self) -> int:
        """Clusters in which it fired."""
        return self.tp + self.fp + self.other


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares with their intervals, of one set of clusters. None: not measurable."""

    counts: Counts
    precision: Share  # strict
    lenient: Share
    caught: Share  # of rejected outputs that reached a human
    recall: Share | None
    false_positives: Share  # of accepted outputs that reached a human
    fpr: Share | None
    strict_fpr: Share  # firings without an own cause, of all outputs without one
    base: Share  # rejected, of all decided

    @property
    def lift(self) -> float | None:
        """How much likelier a rejection is where it fires (strict precision over the base rate)."""
        if not self.precision.n or not self.base.hits:
            return None
        return (self.precision.rate or 0.0) / (self.base.rate or 1.0)

    @property
    def f05(self) -> float | None:
        """F0.5 of strict precision and of the share caught: precision counts twice as much."""
        precision, caught = self.precision.rate, self.caught.rate
        if precision is None or caught is None:
            return None
        whole = 0.25 * precision + caught
        return 1.25 * precision * caught / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Backtest:
    """A gate on history. `flagged`: every labelled output on which it fires, false positives first; `marginal`: true
    positives that no gate which is there already catches; `alarms`: firings per 100 decided outputs."""

    figures: Figures
    marginal: int
    alarms: float | None
    flagged: tuple[Judged, ...]
    agents: Mapping[str, Figures]
    playbooks: Mapping[str, Figures]
    warnings: tuple[str, ...]
    audited: bool
    enforced: bool
    fired: Mapping[str, int]  # label -> outputs on which it fires, all of them


class _Row(NamedTuple):
    judged: Judged
    cell: str
    weight: float


def backtest(
    judged: Sequence[Judged], *, seed: str = "hqd", evidence: Evidence = Evidence(), enforced: bool = False
) -> Backtest:
    """Figures of one gate. `enforced`: it stopped outputs of this history itself. The same input, the same figures."""
    made_from = evidence.tasks or evidence.shown
    barred = {each.case.cluster for each in judged if _is_evidence(each.case, evidence)} if made_from else set()
    free = [each for each in judged if each.case.cluster not in barred] if barred else judged
    seen = Counter((each.case.label, each.fired) for each in free)
    number = Counter(label for label, _fired in seen.elements())
    left = Counts(
        gated=number[Label.GATED],
        unknown=number[Label.UNKNOWN],
        errors=sum(count for (_label, fired), count in seen.items() if fired is None),
        evidence=len(judged) - len(free),
    )
    rows = [_row(each, evidence) for each in sample(free, seed)]
    audited = any(row.judged.case.probability < 1 for row in rows)
    figures = _figures(rows, left, audited, enforced)
    agents = _groups(rows, audited, enforced, lambda case: case.agent or "")
    playbooks = _groups(rows, audited, enforced, lambda case: case.playbook or "")
    return Backtest(
        figures=figures,
        marginal=sum(row.cell == "tp" and not row.judged.caught for row in rows),
        alarms=100 * figures.counts.support / figures.counts.decided if figures.counts.decided else None,
        flagged=tuple(sorted(filter(_flagged, free), key=_by_weight_of_label)),
        agents=agents,
        playbooks=playbooks,
        warnings=(*_paradox("agent", figures, agents), *_paradox("playbook", figures, playbooks)),
        audited=audited,
        enforced=enforced,
        fired={label.value: seen[label, True] for label in Label},
    )


def sample(judged: Iterable[Judged], seed: str) -> list[Judged]:
    """One labelled output that could be judged for each cluster, in order of cluster; whatever the order of input."""
    clusters: dict[str, dict[str, Judged]] = {}
    for each in judged:
        if each.fired is not None and each.case.label in _RANK:
            clusters.setdefault(each.case.cluster, {})[f"{each.case.task}/{each.case.n}"] = each
    return [found[draw(seed, cluster, found)] for cluster, found in sorted(clusters.items())]


def cause(judged: Judged, evidence: Evidence) -> bool | None:
    """Whether a rejected or edited output was turned down for what the gate finds; None: nobody can tell.

    Known causes (lessons' evidence) first; then: a person took a version that still has it (no); the person's words
    name what the gate found (yes); a person took a version that has it no more (yes).
    """
    known = evidence.blobs.get(judged.case.blob)
    if known is not None and evidence.own is not None:
        return known == evidence.own
    if judged.still is True:
        return False
    if judged.fired and judged.case.label is Label.REJECTED and _named(judged, evidence.terms):
        return True
    return True if judged.fired and judged.still is False else None


def _row(judged: Judged, evidence: Evidence) -> _Row:
    return _Row(judged, _cell(judged, evidence), 1.0 / judged.case.probability)


def _cell(judged: Judged, evidence: Evidence) -> str:
    label, why = judged.case.label, cause(judged, evidence)
    if label is Label.ACCEPTED:
        return "fp" if judged.fired else "tn"
    if label is Label.EDITED:
        if not judged.fired:
            return "tn"
        return "tp" if why else "fp" if why is False else "other"
    if judged.fired:
        return "tp" if why else "other"
    return "elsewhere" if why is False else "fn"


def _named(judged: Judged, terms: Iterable[str]) -> bool:
    """Whether the person's words name what the gate points at."""
    said, shown = judged.case.reason.lower(), f"{judged.excerpt} {judged.message}".lower()
    return any(term in said and term in shown for term in terms)


def _figures(rows: Sequence[_Row], left: Counts, audited: bool, enforced: bool) -> Figures:
    cells = [row.cell for row in rows]
    number = {name: cells.count(name) for name in ("tp", "fp", "fn", "tn", "other", "elsewhere")}
    counts = Counts(**number, gated=left.gated, unknown=left.unknown, errors=left.errors, evidence=left.evidence)

    def part(hits: Sequence[str], of: Sequence[str]) -> Share:
        return weighted((row.cell in hits, row.weight) for row in rows if row.cell in of)

    caught = part(["tp"], ["tp", "fn"])
    false_positives = part(["fp"], ["fp", "tn"])
    rejected = weighted((row.judged.case.label is Label.REJECTED or row.cell == "tp", row.weight) for row in rows)
    return Figures(
        counts,
        precision=part(["tp"], ["tp", "fp", "other"]),
        lenient=part(["tp"], ["tp", "fp"]),
        caught=caught,
        recall=caught if audited else None,
        false_positives=false_positives,
        fpr=false_positives if audited or not enforced else None,
        strict_fpr=part(["fp", "other"], ["fp", "other", "tn"]),
        base=rejected,
    )


def _groups(rows: Sequence[_Row], audited: bool, enforced: bool, key: Callable[[Case], str]) -> dict[str, Figures]:
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(key(row.judged.case), []).append(row)
    return {name: _figures(found[name], Counts(), audited, enforced) for name in sorted(found)}


def _paradox(kind: str, whole: Figures, groups: Mapping[str, Figures]) -> list[str]:
    """Simpson's paradox: what holds of all together holds of none of the groups."""
    lifts = [each.lift for each in groups.values() if each.counts.support >= MANY and each.lift is not None]
    if len(lifts) < 2 or whole.lift is None:
        return []
    if whole.lift > 1 >= max(lifts):
        return [f"better than chance over all, in no single {kind}: it tells {kind}s apart, not good from bad"]
    if whole.lift < 1 <= min(lifts):
        return [f"worse than chance over all, in no single {kind}: judge it by {kind}"]
    return []


def _is_evidence(case: Case, evidence: Evidence) -> bool:
    return case.task in evidence.tasks or case.blob in evidence.shown


def _flagged(judged: Judged) -> bool:
    return judged.fired is True and judged.case.label in _RANK


_RANK = {Label.ACCEPTED: 0, Label.EDITED: 1, Label.REJECTED: 2}


def _by_weight_of_label(judged: Judged) -> tuple[Any, ...]:
    return (_RANK[judged.case.label], judged.case.order, judged.case.task, judged.case.n)
