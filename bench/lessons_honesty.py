"""Are the figures honest? Small made-up histories with selection by gates, retries, siblings and late reverts, of which
everything is known. The labels, clusters, counts, intervals and admissions are hqd's own pure functions (`core.labels`,
`core.cases`, `core.backtest`, `core.backtest_admit`); only git is left out: events and changes are handed over as the
archive would have read them.

The truth of a figure is its value over a very large history of the same town, counted with what the town knows instead
of what history tells: which outputs have which fault, and what people thought.
"""

from __future__ import annotations

import heapq
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hqd.core.history.admission import admit
from hqd.core.history.backtest import Backtest, Evidence, Judged, backtest
from hqd.core.history.cases import cases
from hqd.core.history.clusters import Origin, clusters
from hqd.core.history.labels import Contents, label
from hqd.core.history.wilson import interval
from hqd.model.corpus import Change, Past, PastEvent

DAY = 86_400.0
LABEL_DAYS = 14.0
LARGE = 40_000  # tasks of the history that gives the truth


@dataclass(frozen=True, slots=True)
class Rates:
    """A town. `fault`: share of outputs with the fault that the gate is for; `other`: with another one."""

    fault: float = 0.15
    other: float = 0.10
    stopped: float = 0.3  # share of outputs that an older gate stops, twice as often the faulty ones
    overlooked: float = 0.05  # faults that a reviewer lets pass; half of them are reverted later
    named: float = 0.7  # rejections whose words name the fault
    mended: float = 0.9  # of retries have the fault no more
    siblings: float = 0.3  # share of tasks that come from one of a few schedules, and err alike
    late: float = 0.02  # good work that is taken back after the label days: no fault of it
    hit: float = 0.9  # share of faulty outputs on which the planted gate fires
    false: float = 0.005  # share of others
    coin: float = 0.05  # how often the coin-flip gate fires


@dataclass(slots=True)
class Output:
    """What the town knows of one output. `verdict`: what the person came to in the end."""

    task: str
    n: int
    cluster: str
    faulty: bool
    other: bool
    fires: bool
    coin: bool
    verdict: str = ""  # accepted, rejected, or empty: nobody saw it
    own: bool = False  # rejected for the fault that the gate is for, and history can tell (words, or a correction)


class Small:
    """One history, as the archive would have read it, and what is true of it."""

    def __init__(self, rates: Rates, tasks: int, rng: random.Random, *, told: bool = True) -> None:
        self.rates = rates
        self.rng = rng
        self.told = told  # False: only the truth is wanted
        self.outputs: list[Output] = []
        self.events: list[PastEvent] = []
        self.changes: list[Change] = []
        self.origins: dict[str, Origin] = {}
        self._at = 0.0
        self._landed: dict[str, str] = {}  # commit -> blob
        self._pending: list[tuple[float, str, str]] = []  # (when, commit, path) of reverts to come
        groups = max(2, int(tasks * rates.siblings / 12))
        self._bias = [rng.random() < rates.fault for _ in range(groups)]
        for number in range(tasks):
            self._task(number)
        while self._pending:
            self._revert(self._pending[0][0])

    def past(self) -> Past:
        return Past(f"{len(self.events):040x}", self.events, self.changes, (), len(self.events))

    def _task(self, number: int) -> None:
        rng, rates = self.rng, self.rates
        self._at += 3600.0
        self._revert(self._at)
        task = f"20260101-t{number}-{number % (1 << 24):06x}"
        group = rng.randrange(len(self._bias)) if rng.random() < rates.siblings else None
        source = f"schedule:s{group}@x" if group is not None else None
        cluster = f"s{group}" if group is not None else task
        self.origins[task] = Origin(source=source)
        self._event(task, "accepted", 1, "inbox", "queue")
        n, told = 1, False
        for attempt in range(1, 12):
            output = self._output(task, n + 2, cluster, group, told)
            n += 2
            chance = rates.stopped * (2 if output.faulty else 1) * (1 if attempt < 6 else 0)
            if rng.random() < chance:
                self._finished(output, attempt, "failed")
                continue
            self._finished(output, attempt, "passed")
            self._event(task, "review_opened", n + 1, "active", "review", step="ok")
            bad = (output.faulty or output.other) and rng.random() > rates.overlooked
            if not bad:
                self._land(output, n + 2)
                return
            output.verdict = "rejected"
            named = rng.random() < rates.named
            words = "the fault" if output.faulty else "the other thing"
            finding = [{"source": "human:Ada", "text": f"no: {words}" if named else "once more, please", "step": "ok"}]
            said = {"findings": finding, "children": ["write"]}
            self._event(task, "feedback", n + 2, "review", "queue", step="write", via="cli", **said)
            output.own = output.faulty and named
            n, told = n + 2, True
            if rng.random() < 0.1:
                self._event(task, "dropped", n + 1, "queue", "dropped", via="cli")
                return

    def _output(self, task: str, n: int, cluster: str, group: int | None, told: bool) -> Output:
        rng, rates = self.rng, self.rates
        share = rates.fault if group is None else (0.6 if self._bias[group] else rates.fault / 2)
        mended = told and rng.random() < rates.mended
        faulty = not mended and rng.random() < share
        other = not mended and rng.random() < rates.other
        fires = rng.random() < (rates.hit if faulty else rates.false)
        output = Output(task, n, cluster, faulty, other, fires, rng.random() < rates.coin)
        self.outputs.append(output)
        return output

    def _land(self, output: Output, n: int) -> None:
        rng, rates = self.rng, self.rates
        output.verdict = "accepted"
        path, commit = f"content/{output.task}.md", f"{len(self.changes) + 1:040x}"
        order = self._event(output.task, "landed", n, "review", "queue", via="cli", landed=commit)
        self._landed[commit] = _blob(output)
        files = ((path, None, _blob(output)),)
        self.changes.append(Change(order, commit, self._at, "Ada", "Merge", (), output.task, files))
        overlooked = output.faulty or output.other
        if overlooked and rng.random() < 0.5:
            output.verdict = "rejected"
            heapq.heappush(self._pending, (self._at + rng.uniform(0.1, 0.9) * LABEL_DAYS * DAY, commit, path))
        elif rng.random() < rates.late:
            heapq.heappush(self._pending, (self._at + rng.uniform(1.1, 2) * LABEL_DAYS * DAY, commit, path))

    def _revert(self, until: float) -> None:
        while self._pending and self._pending[0][0] <= until:
            at, commit, path = heapq.heappop(self._pending)
            order = len(self.events) + len(self.changes)
            files = ((path, self._landed[commit], None),)
            self.changes.append(Change(order, f"{order:039x}r", at, "Ada", "Take it back", (commit,), None, files))

    def _finished(self, output: Output, attempt: int, outcome: str) -> None:
        work: dict[str, Any] = {"base": "b", "head": "h", "files": [f"content/{output.task}.md"]}
        self._event(
            output.task, "finished", output.n, "active", "queue", step="write", attempt=attempt, agent="a",
            outcome=outcome, failure="gate" if outcome == "failed" else None, output_blob=_blob(output),
            work=work if outcome == "passed" else {},
        )  # fmt: skip

    def _event(self, task: str, kind: str, n: int, was: str, to: str, **said: Any) -> int:
        order = len(self.events) + len(self.changes)
        if self.told:
            head = {name: said.pop(name, None) for name in ("via", "step", "attempt", "agent", "outcome", "failure")}
            blob = said.pop("output_blob", None)
            event = PastEvent(
                order=order, commit="", task=task, n=n, event=kind, at=self._at, was=was, to=to, round=1, by="Ada",
                playbook="p", pin=None, model=None, reason=None, output="o.md", output_blob=blob, cost=0.0, tokens=0,
                record="", record_blob="", rest=json.dumps(said), **head,
            )  # fmt: skip
            self.events.append(event)
        return order


def _blob(output: Output) -> str:
    return f"{output.task}/{output.n}"


def judged(small: Small, *, coin: bool = False) -> list[Judged]:
    """The history's cases, labelled by hqd, with the verdicts of the planted gate, or of the coin."""
    contents = Contents(lambda _commit, _path: None, lambda *_blobs: None)
    labelled = label(small.past(), contents, LABEL_DAYS)
    fires = {_blob(each): each.coin if coin else each.fires for each in small.outputs}
    return [
        Judged(
            case,
            fires[case.blob],
            fires[case.corrected] if case.corrected is not None else None,
            message="the fault" if not coin else "heads",
        )
        for case in cases(labelled, clusters(small.origins))
    ]


def figures(small: Small, *, coin: bool = False) -> Backtest:
    return backtest(judged(small, coin=coin), evidence=Evidence(terms=frozenset({"the fault"})))


# -- the truth -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Truth:
    """Values of a very large history. `base`: share of rejections among what people saw."""

    precision: float
    false_positives: float
    strict_fpr: float
    base: float


def truth(rates: Rates, rng: random.Random, tasks: int = LARGE, *, coin: bool = False) -> Truth:
    """Counted over outputs that people saw, one drawn at random for each cluster, by what the town knows."""
    small = Small(rates, tasks, rng, told=False)
    taken = {each.task: each for each in small.outputs if each.verdict == "accepted"}
    drawn: dict[str, list[Output]] = {}
    for each in small.outputs:
        if each.verdict:
            drawn.setdefault(each.cluster, []).append(each)
    cells = {"tp": 0, "fp": 0, "tn": 0, "other": 0, "fn": 0}
    for members in drawn.values():
        each = rng.choice(members)
        fires = each.coin if coin else each.fires
        if each.verdict == "accepted":
            cells["fp" if fires else "tn"] += 1
            continue
        version = taken.get(each.task)
        mended = version is not None and not version.fires
        known = each.faulty and not (version is not None and version.fires) and (each.own or mended)
        cells[("tp" if known and not coin else "other") if fires else "fn"] += 1
    fired = cells["tp"] + cells["fp"] + cells["other"]
    clean = cells["fp"] + cells["tn"]
    return Truth(
        precision=cells["tp"] / max(1, fired),
        false_positives=cells["fp"] / max(1, clean),
        strict_fpr=(cells["fp"] + cells["other"]) / max(1, clean + cells["other"]),
        base=1 - clean / max(1, sum(cells.values())),
    )


# -- what is measured ----------------------------------------------------------------------------------------------


def settings(rng: random.Random) -> Rates:
    """A town at random: who reviews, what stops, who errs."""
    return Rates(
        fault=rng.uniform(0.06, 0.3), other=rng.uniform(0.03, 0.2), stopped=rng.uniform(0.0, 0.5),
        overlooked=rng.uniform(0.0, 0.12), named=rng.uniform(0.4, 0.95), mended=rng.uniform(0.7, 0.98),
        siblings=rng.uniform(0.0, 0.5), late=rng.uniform(0.0, 0.05), hit=rng.uniform(0.5, 1.0),
        false=rng.uniform(0.0, 0.05), coin=rng.choice((0.01, 0.03, 0.1, 0.3, 0.5)),
    )  # fmt: skip


SEEDS = (7, 19, 43, 71, 101)
"""Each is a draw of its own of towns and histories: what holds for one alone may be its luck."""


def coverage(histories: int, seeds: Sequence[int] = SEEDS, towns: int = 25) -> dict[str, Any]:
    """How often the 95 % intervals cover the truth; coin-flip gates let in.

    `histories` for each seed. Over all seeds, and seed by seed.
    """
    each = [_covered(histories, seed, towns) for seed in seeds]
    whole = _Tally()
    for found in each:
        whole.add(found)
    return {**whole.facts(), "seeds": {str(seed): found.facts() for seed, found in zip(seeds, each, strict=True)}}


FIGURES = ("precision", "false_positives", "strict_fpr", "base")


@dataclass(slots=True)
class _Tally:
    """Counts over histories. `inside` of `asked`: intervals that cover the truth; `right` of `seen`: labels."""

    histories: int = 0
    inside: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    coins: int = 0
    right: int = 0
    seen: int = 0

    def add(self, other: _Tally) -> None:
        self.inside += other.inside
        self.asked += other.asked
        for name in ("histories", "coins", "right", "seen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def facts(self) -> dict[str, Any]:
        low, high = interval(self.coins, self.histories)
        return {
            "histories": self.histories,
            "covered": {name: round(self.inside[name] / self.asked[name], 4) for name in FIGURES},
            "coins_let_in": {
                "of": self.histories,
                "let_in": self.coins,
                "share": round(self.coins / self.histories, 4),
                "interval": [round(low, 4), round(high, 4)],
            },
            "labels_right": round(self.right / self.seen, 4),
        }


def _covered(histories: int, seed: int, towns: int) -> _Tally:
    rng = random.Random(seed)
    found = _Tally()
    for _town in range(towns):
        rates = settings(rng)
        real = truth(rates, rng)
        for _each in range(histories // towns):
            small = Small(rates, rng.randrange(120, 420), rng)
            shares = figures(small).figures
            for name in FIGURES:
                share, value = getattr(shares, name), getattr(real, name)
                if share.n:
                    found.asked[name] += 1
                    found.inside[name] += share.low <= value <= share.high
            found.histories += 1
            found.coins += admit(figures(small, coin=True), max_fpr=1.0).admitted
            right, seen = labels_right(small)
            found.right, found.seen = found.right + right, found.seen + seen
    return found


def labels_right(small: Small) -> tuple[int, int]:
    """(labels that are what the person thought, outputs that one saw)."""
    known = {_blob(each): each.verdict for each in small.outputs if each.verdict}
    right = sum(known[each.case.blob] == each.case.label.value for each in judged(small) if each.case.blob in known)
    return right, len(known)


KNOWN = Rates(siblings=0.2, overlooked=0.002, named=0.995, mended=0.99, late=0.01, other=0.08)
"""A town in which the cause of a rejection nearly always comes out: elsewhere no lesson has a precision of 0.98."""


def planted(each: int, tasks: int = 400, lessons: int = 25, seed: int = 11) -> list[dict[str, float]]:
    """Lessons of true precision from the base rate up to 0.98: how often each is let in. `each`: histories for one."""
    rng = random.Random(seed)
    base = truth(KNOWN, rng).base
    rows = []
    for number in range(lessons):
        town = _of_precision(base + (0.98 - base) * number / (lessons - 1))
        real = truth(town, rng)
        both = [figures(Small(town, tasks, rng)) for _ in range(each)]
        rows.append(
            {
                "precision": round(real.precision, 3),
                "base": round(real.base, 3),
                "strict_fpr": round(real.strict_fpr, 4),
                "let_in": sum(admit(found).admitted for found in both) / each,
                "better_than_chance": sum(admit(found, max_fpr=1.0).admitted for found in both) / each,
            }
        )
    return rows


def _of_precision(wanted: float) -> Rates:
    """The town in which the gate fires so often on outputs without the fault that it comes to that true precision.

    The same random numbers for every try, so that precision only falls as false firings rise.
    """
    low, high = 0.0, 1.0
    for _halving in range(14):
        middle = (low + high) / 2
        found = truth(replace(KNOWN, false=middle), random.Random(5), LARGE // 4).precision
        low, high = (middle, high) if found > wanted else (low, middle)
    return replace(KNOWN, false=(low + high) / 2)


def run(quick: bool) -> dict[str, Any]:
    """quick: fewer histories."""
    return {
        "coverage": coverage(100, SEEDS[:1]) if quick else coverage(500),
        "planted": planted(10 if quick else 40, lessons=7 if quick else 25),
    }
