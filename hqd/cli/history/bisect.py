"""`hqd bisect PLAYBOOK`: its versions side by side, all judged by the gates of the newest one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from hqd.cli import terminal
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.gate import open_registry
from hqd.cli.history.past import archive_of, label_days, remarks_of
from hqd.cli.history.retold import Accepted, accepted, event_of, judging
from hqd.codec import layout
from hqd.codec.config import read_config
from hqd.core.evolve import UNCOUNTED
from hqd.core.gate_use import resolve_gates
from hqd.core.history.bisect import ENOUGH, Compared, Trial, Version, compare, versions
from hqd.core.replay.gating import Unknowable, regated
from hqd.core.report.share import percent
from hqd.daemon.rulebook import PinnedFiles
from hqd.errors import EXIT_OK, Misconfigured, Usage
from hqd.gates.registry import Registry
from hqd.model.board import Rules, Task
from hqd.model.corpus import Label, Past, PastEvent
from hqd.model.failure import Outcome
from hqd.model.gate import GateSpec
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Pin
from hqd.model.spelling import meant

METRICS = ("first_pass", "clean")


@dataclass(slots=True)
class Counted:
    """Cases and what had to be left out, by why."""

    trials: list[Trial] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1


def bisect(call: Call, name: str, *, step: str | None, metric: str, as_json: bool) -> int:
    """Prints each version's share and what every two neighbours say."""
    if metric not in METRICS:
        raise Usage(f"--metric {metric}", remedy="one of: " + ", ".join(METRICS))
    with view(call) as seen, ExitStack() as stack:
        rules, playbook = _newest(seen, name)
        name = playbook.name
        steps = _steps(playbook, step)
        with terminal.spinner("reading history"):
            past = archive_of(seen).past(seen.tree.commit)
            registry = open_registry(call, seen.repo.root, read_config(seen.tree), stack)
        counting = _Counting(seen, past, registry, rules, playbook, steps)
        counted = counting.first_pass() if metric == "first_pass" else counting.clean()
        made = counting.commits
    rows = versions(counted.trials)
    found = compare(rows)
    if as_json:
        terminal.data(_json(name, metric, rows, found, counted, made, remarks_of(past)))
    else:
        _print(name, metric, rows, found, counted, made, remarks_of(past))
    return EXIT_OK


def _newest(seen: View, name: str) -> tuple[Rules, Playbook]:
    rules = seen.current
    if rules is None:
        raise Misconfigured("no rules are in force", remedy="run `hqd check`, mend it, commit it")
    by_path = seen.committed.playbooks.get(name) if seen.committed is not None else None
    known = by_path.name if by_path is not None else name
    if known not in rules.playbooks:
        raise Usage(f"there is no playbook {name}", remedy=meant(name, rules.playbooks))
    return rules, rules.playbooks[known]


def _steps(playbook: Playbook, step: str | None) -> list[Step]:
    agents = [each for each in playbook.steps if each.kind is StepKind.AGENT]
    chosen = [each for each in agents if step in (None, each.name)]
    if not chosen:
        raise Usage(
            f"playbook {playbook.name} has no agent step {step or ''}".rstrip(),
            remedy=meant(step or "", [each.name for each in agents]),
        )
    return chosen


class _Counting:
    """Cases of one playbook over history."""

    def __init__(
        self, seen: View, past: Past, registry: Registry, rules: Rules, playbook: Playbook, steps: list[Step]
    ) -> None:
        self.seen, self.past, self.rules, self.playbook, self.steps = seen, past, rules, playbook, steps
        self.judge = judging(registry, seen.values)
        self.commits: dict[str, str] = {}  # version -> the commit that a claim first used it at
        self._versions: dict[tuple[str, str], str | None] = {}

    def tasks(self) -> Iterator[Accepted]:
        for each in accepted(self.seen, self.past):
            claim = each.first_claim
            if claim is not None and claim.playbook == self.playbook.name:
                yield each

    def first_pass(self) -> Counted:
        """The first try that counts at each step of each task, as the newest gates would have judged it."""
        counted = Counted()
        for each in self.tasks():
            for step in self.steps:
                end = _first_end(each, step.name)
                pin = end.pinned if end is not None else None
                if end is None or pin is None:
                    continue
                version, rules = self.version(pin, step.name, end.commit), self.seen.rules(pin)
                if version is None or rules is None:
                    counted.leave("its rules are not to be had")
                    continue
                good = self._passes(end, each.task, rules, step)
                if good is None:
                    counted.leave("no program can judge it by the newest gates")
                    continue
                counted.trials.append(Trial(version, end.order, step.name, _maker(end, rules), good))
        return counted

    def clean(self) -> Counted:
        """Each task that people have decided, under the version that made what they saw."""
        counted = Counted()
        by_task: dict[str, list[Any]] = {}
        for case in archive_of(self.seen).corpus(self.seen.tree.commit, label_days(self.seen)).cases:
            if case.playbook == self.playbook.name and case.label.decided and case.source != "audit":
                by_task.setdefault(case.task, []).append(case)
        names = [step.name for step in self.steps]
        for cases in by_task.values():
            mine = [case for case in cases if case.step in names]
            if not mine:
                counted.leave("people spoke of another step's output")
                continue
            pins = {_pin(case.pin) for case in mine}
            last = mine[-1]
            found = {self.version(pin, last.step, last.commit) if pin is not None else None for pin in pins}
            version, pin = found.pop() if len(found) == 1 else None, pins.pop()
            if version is None or pin is None:
                counted.leave("made under several versions, or under rules that are not to be had")
                continue
            rules = self.seen.rules(pin)
            maker = _named(last.agent, last.model, rules) if rules is not None else str(last.agent)
            good = all(case.label is Label.ACCEPTED for case in cases)
            counted.trials.append(Trial(version, last.order, last.step, maker, good))
        return counted

    def version(self, pin: Pin, step: str, commit: str) -> str | None:
        """The playbook's version in a pin: a hash of it and of the files that the step names. None: unreadable."""
        key = (pin.playbooks, step)
        if key not in self._versions:
            rules = self.seen.rules(pin)
            playbook = rules.playbooks.get(self.playbook.name) if rules is not None else None
            self._versions[key] = self._hash(pin, playbook, step) if playbook is not None else None
        found = self._versions[key]
        if found is not None:
            self.commits.setdefault(found, commit)
        return found

    def _hash(self, pin: Pin, playbook: Playbook, step: str) -> str:
        files = PinnedFiles(self.seen.history, pin)
        digest = hashlib.sha256(playbook.model_dump_json().encode())
        for each in playbook.steps:
            for name in (each.prompt, each.output):
                if each.name == step and isinstance(name, str):
                    digest.update(files.read(f"{layout.PLAYBOOKS}/{name}") or b"")
        return digest.hexdigest()[:8]

    def _passes(self, end: PastEvent, task: Task, rules: Rules, step: Step) -> bool | None:
        playbook = rules.playbooks.get(self.playbook.name)
        was = next((each for each in playbook.steps if each.name == step.name), None) if playbook is not None else None
        if playbook is None or was is None:
            return None
        event = event_of(end)
        text = self._text(end)
        try:
            again = regated(
                event,
                _specs(playbook, was, task, rules),
                _specs(self.playbook, step, task, self.rules),
                self.judge(task, event, text),
            )
        except Unknowable:
            return None
        return None if again.unjudged else again.event.outcome is Outcome.PASSED

    def _text(self, end: PastEvent) -> str | None:
        try:
            return self.seen.values[end.output_blob] if end.output_blob is not None else None
        except KeyError:
            return None


def _specs(playbook: Playbook, step: Step, task: Task, rules: Rules) -> tuple[GateSpec, ...]:
    last = [each.name for each in playbook.steps if each.kind is StepKind.AGENT][-1]
    own = task.document.header.gates if step.name == last else ()
    return resolve_gates((*step.gates_before, *step.gates, *playbook.gates, *own), rules.settings.gates)


def _first_end(each: Accepted, step: str) -> PastEvent | None:
    """The end of the first try at a step that counts."""
    for event in each.events:
        counts = event.outcome in (Outcome.PASSED.value, Outcome.FAILED.value)
        if event.event == "finished" and event.step == step and counts and event.failure not in UNCOUNTED:
            return event
    return None


def _pin(text: str | None) -> Pin | None:
    """The pin of a case, without lessons: they make no version of a playbook."""
    parts = (text or "").split(":")
    return Pin(playbooks=parts[0], settings=parts[1]) if len(parts) > 1 else None


def _maker(end: PastEvent, rules: Rules) -> str:
    return _named(end.agent, end.model, rules)


def _named(agent: str | None, model: str | None, rules: Rules) -> str:
    """Agent and model, and a mark of how the agent was set up: the same name may have been something else once."""
    settings = rules.settings.agents.get(agent or "")
    mark = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:4] if settings is not None else "gone"
    return f"{agent} ({model})#{mark}" if model else f"{agent}#{mark}"


def _json(
    name: str,
    metric: str,
    rows: tuple[Version, ...],
    found: tuple[Compared, ...],
    counted: Counted,
    made: dict[str, str],
    remarks: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "playbook": name,
        "metric": metric,
        "versions": [
            {
                "version": row.version,
                "first_used": made.get(row.version),
                "step": row.step,
                "maker": row.maker,
                **row.good.facts(),
            }
            for row in rows
        ],
        "compared": [
            {
                "before": each.before.version,
                "after": each.after.version,
                "step": each.after.step,
                "maker": each.after.maker,
                "difference": round(each.difference, 6),
                "interval": [round(each.low, 6), round(each.high, 6)],
                "said": each.said.value,
            }
            for each in found
        ],
        "left_out": counted.left_out,
        "remarks": list(remarks),
    }


def _print(
    name: str,
    metric: str,
    rows: tuple[Version, ...],
    found: tuple[Compared, ...],
    counted: Counted,
    made: dict[str, str],
    remarks: tuple[str, ...],
) -> None:
    by = "as people judged it" if metric == "clean" else "judged by the newest gates"
    terminal.title(f"{name}: {metric.replace('_', ' ')} by version, {by}")
    if not found:
        terminal.say(_nothing(rows, metric))
    heads = ("STEP", "AGENT", "VERSION", "FIRST USED", metric.upper().replace("_", " "))
    terminal.rows(
        heads,
        [[row.step, row.maker, row.version, made.get(row.version, "")[:9], str(row.good)] for row in rows],
        indent=2,
    )
    if found:
        terminal.say()
        terminal.title("Neighbours")
        body = [
            [each.after.step, each.after.maker, f"{each.before.version} -> {each.after.version}", _difference(each)]
            for each in found
        ]
        terminal.rows(("STEP", "AGENT", "VERSIONS", "DIFFERENCE"), body, indent=2)
        terminal.say(f"  intervals hold for all {len(found)} at once; below {ENOUGH} cases a side nothing is said")
    for why, count in counted.left_out.items():
        terminal.say(f"left out: {count}, {why}")
    for remark in remarks:
        terminal.say(f"missing: {remark}")


def _nothing(rows: tuple[Version, ...], metric: str) -> str:
    """Why no two versions stand side by side."""
    if not rows:
        return "nothing to compare yet: " + (
            "people have decided none of its tasks" if metric == "clean" else "none of its steps was tried"
        )
    if len({row.version for row in rows}) == 1:
        return "one version so far: there is nothing to compare it with"
    return "no two versions share step, agent, model and set-up: there is nothing to compare"


def _difference(each: Compared) -> str:
    counts = f"{each.before.good.n:.0f} and {each.after.good.n:.0f} cases"
    if each.said.value == "not enough":
        return f"not enough ({counts})"
    points = f"{_points(each.difference)}, {_points(each.low)} to {_points(each.high)}"
    return f"{each.said.value}: {points} ({counts})"


def _points(part: float) -> str:
    return f"{'+' if part > 0 else '-' if part < 0 else ''}{percent(abs(part))}"
