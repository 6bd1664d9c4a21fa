"""Runs a gate over all past outputs, each once: verdicts are kept by (gate, output) in the archive's index.

Labels are read and stored before any gate runs. Programs that are pure functions only, unless commands are allowed;
judges never.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqd.adapters.archive import GitArchive
from hqd.cli.backtest.gates import Tested
from hqd.cli.backtest.subject import Surroundings, looks_at_output_only, plain
from hqd.cli.board.reading import View
from hqd.core.history.backtest import Backtest, Evidence, Judged, backtest
from hqd.errors import Expected, Usage
from hqd.gates.kind import Cost
from hqd.gates.many import judge_of
from hqd.gates.registry import Registry
from hqd.model.corpus import Case, Corpus, Label
from hqd.model.gate import GateResult, GateSpec, GateStatus
from hqd.model.lesson import Scope

_EVERY = 2_000  # outputs between two words on progress
Progress = Callable[[str], None]
_Judge = Callable[[str, Any], GateResult]


@dataclass(frozen=True, slots=True)
class Trial:
    """One gate's backtest, with what it took. `judged`: verdicts for every output in scope."""

    tested: Tested
    found: Backtest
    judged: tuple[Judged, ...]
    version: str
    seconds: float
    ran: int  # verdicts that were not kept from before
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class _Said:
    fired: bool | None
    message: str = ""
    excerpt: str = ""


class Laboratory:
    """One HQ's history with its labels, and a registry. `revision`: nothing later is read."""

    def __init__(
        self,
        seen: View,
        archive: GitArchive,
        registry: Registry,
        *,
        revision: str | None,
        label_days: float,
        allow_commands: bool = False,
        progress: Progress = lambda _text: None,
    ) -> None:
        self.seen = seen
        self.archive = archive
        self.registry = registry
        self.revision = revision
        self.corpus: Corpus = archive.corpus(revision, label_days)
        self._allow_commands = allow_commands
        self._progress = progress
        self._around: Surroundings | None = None

    def test(self, tested: Tested, *, seed: str = "hqd", existing: Sequence[Tested] = ()) -> Trial:
        """Backtests one gate. `existing`: gates that are there already, for what it catches beyond them.

        Raises Usage for a gate that may not run here.
        """
        start = time.monotonic()
        self._may_run(tested.spec)
        everywhere = tested.scope == Scope()
        cases = [case for case in self.corpus.cases if everywhere or tested.covers(case)]
        said, ran = self._verdicts(tested.spec, cases)
        loud = [case for case, word in zip(cases, said, strict=True) if word.fired and case.label.decided]
        corrected = [case._replace(blob=case.corrected) for case in loud if case.corrected is not None]
        later, more = self._verdicts(tested.spec, corrected, aside=True)
        still = {_key(case): word for case, word in zip(corrected, later, strict=True)}
        rows = [self._judged(case, word, still) for case, word in zip(cases, said, strict=True)]
        rows = self._caught(rows, tested.spec, existing)
        enforced = self.enforced(tested.spec)
        found = backtest(rows, seed=seed, evidence=tested.evidence, enforced=enforced)
        version = self.registry.written_version(tested.spec)
        return Trial(tested, found, tuple(rows), version, time.monotonic() - start, ran + more)

    def enforced(self, spec: GateSpec) -> bool:
        """Whether this very gate could stop outputs of this history."""
        return self.registry.written_version(spec) in set(self.corpus.facts.get("enforced", ()))

    def _may_run(self, spec: GateSpec) -> None:
        cost = self.registry.cost(spec)
        if cost is Cost.JUDGE:
            raise Usage(f"{spec.name} asks a model or a person", remedy="calibrate judges: `hqd gate calibrate`")
        if cost is Cost.DEAR and not self._allow_commands:
            raise Usage(f"{spec.name} starts a program for every past output", remedy="pass --allow-commands")

    def _judged(self, case: Case, said: _Said, still: Mapping[tuple[str, int], _Said]) -> Judged:
        own = tuple(sorted(set(case.red.split(",")))) if case.red else ()
        if not said.fired:
            return Judged(case, said.fired, None, said.message, said.excerpt, own)
        after = still.get(_key(case))
        return Judged(case, True, after.fired if after is not None else None, said.message, said.excerpt, own)

    def _caught(self, rows: list[Judged], spec: GateSpec, existing: Sequence[Tested]) -> list[Judged]:
        """Marks what other gates catch as well: those that failed when it was made, and those there are now."""
        rows = [row if spec.name not in row.caught else _without(row, spec.name) for row in rows]
        places = [place for place, row in enumerate(rows) if row.fired and row.case.label.decided]
        own = self.registry.written_version(spec)
        for other in existing:
            name, inside = other.spec.name, [place for place in places if other.covers(rows[place].case)]
            if self.registry.cost(other.spec) is not Cost.CHEAP or self.registry.written_version(other.spec) == own:
                continue
            said, _ran = self._verdicts(other.spec, [rows[place].case for place in inside])
            for place, word in zip(inside, said, strict=True):
                row = rows[place]
                if word.fired and name not in row.caught:
                    rows[place] = row._replace(caught=(*row.caught, name))
        return rows

    def _verdicts(self, spec: GateSpec, cases: Sequence[Case], aside: bool = False) -> tuple[list[_Said], int]:
        """What a gate says of each case, in their order, and how many verdicts had to be made.

        `aside`: the blobs are not those that the attempts recorded.
        """
        simple = looks_at_output_only(spec, self.registry)
        gate = self._gate_hash(spec)
        known = self.archive.verdicts(gate) if cases else {}
        places = [_place(case, simple, aside) for case in cases]
        missing = {place: case for place, case in zip(places, cases, strict=True) if place not in known}
        fresh: list[tuple[str, str]] = []
        try:
            for place, said in self._run(spec, missing, simple):
                known[place] = written = _written(said)
                if said.fired is not None:
                    fresh.append((place, written))
        finally:
            if fresh:
                self.archive.keep_verdicts(gate, fresh)
        return [_QUIET if known[place] == "0" else _read(known[place]) for place in places], len(missing)

    def _run(self, spec: GateSpec, missing: dict[str, Case], simple: bool) -> Iterator[tuple[str, _Said]]:
        by_blob: dict[str, list[str]] = {}
        for place, case in missing.items():
            by_blob.setdefault(case.blob, []).append(place)
        done = 0
        judge = judge_of(self.registry, spec) if simple else None
        for blob, data in self.archive.texts(list(by_blob)):
            for place in by_blob[blob]:
                yield place, self._one(spec, missing[place], data, judge)
                done += 1
                if done % _EVERY == 0:
                    self._progress(f"{spec.name}: {done} of {len(missing)} outputs")

    def _one(self, spec: GateSpec, case: Case, data: bytes | None, judge: _Judge | None) -> _Said:
        if data is None:
            return _Said(None, "the output is not in this clone")
        if judge is not None:
            bare = plain(case, data)
            return _said(judge(bare.output, bare.data))
        try:
            subject = self._surroundings().subject(case, data)
        except Expected as fault:
            return _Said(None, fault.message)
        return _said(self.registry.run((spec,), subject)[0])

    def _surroundings(self) -> Surroundings:
        if self._around is None:
            self._around = Surroundings(self.seen, self.archive, self.revision)
        return self._around

    def _gate_hash(self, spec: GateSpec) -> str:
        parts = (
            self.registry.written_version(spec),
            spec.target,
            str(spec.negate),
            spec.when or "",
            spec.message or "",
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _said(result: GateResult) -> _Said:
    if result.status is GateStatus.PASS:
        return _QUIET
    if result.status is GateStatus.FAIL:
        shown = next((each.excerpt for each in result.evidence if each.excerpt), "")
        return _Said(True, result.message[:300], shown[:300])
    return _Said(False if result.status is GateStatus.SKIP else None, result.message[:300])


def _key(case: Case) -> tuple[str, int]:
    return case.task, case.n


def _place(case: Case, simple: bool, aside: bool) -> str:
    """What a verdict is kept under: the blob where it says all, else the attempt."""
    if simple:
        return f"{case.blob}.json" if case.path.endswith(".json") else case.blob
    return f"{case.task}/{case.n}/{case.blob}" if aside else f"{case.task}/{case.n}"


def _written(said: _Said) -> str:
    if said is _QUIET or (said.fired is False and not said.message):
        return "0"
    return json.dumps([said.fired, said.message, said.excerpt], ensure_ascii=False)


_QUIET = _Said(False)


def _read(kept: str) -> _Said:
    return _Said(*json.loads(kept))


def _without(row: Judged, name: str) -> Judged:
    return row._replace(caught=tuple(each for each in row.caught if each != name))


def together(trials: Sequence[Trial], seed: str) -> Backtest:
    """All gates of a playbook as one: it fires where any of them does."""
    merged: dict[tuple[str, int], Judged] = {}
    terms: frozenset[str] = frozenset()
    for trial in trials:
        terms |= trial.tested.evidence.terms
        for row in trial.judged:
            old = merged.get(_key(row.case))
            merged[_key(row.case)] = row if old is None else _either(old, row)
    rows = sorted(merged.values(), key=lambda row: (row.case.order, row.case.task, row.case.n))
    evidence = Evidence(terms=terms)
    return backtest(rows, seed=seed, evidence=evidence, enforced=any(trial.found.enforced for trial in trials))


def _either(one: Judged, other: Judged) -> Judged:
    """The word of two gates together."""
    loud = one if one.fired else other
    fired = True if loud.fired else None if one.fired is None or other.fired is None else False
    still = True if one.still or other.still else loud.still
    return loud._replace(fired=fired, still=still)


def labels(cases: Iterable[Case]) -> dict[str, int]:
    """How many outputs have which label."""
    found = {label.value: 0 for label in Label}
    for case in cases:
        found[case.label.value] += 1
    return found
