"""`hqd backtest`: any gate, lesson or playbook on every past output in git history."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from hqd.adapters.archive import GitArchive, no_collection
from hqd.cli import terminal
from hqd.cli.backtest.gates import Given, Tested, gate_at, lesson_at, playbook_at, terms
from hqd.cli.backtest.run import Laboratory, Progress, Trial, together
from hqd.cli.backtest.tables import facts_of, facts_of_many, show, show_many
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.gate import open_registry, written
from hqd.cli.history.past import label_days
from hqd.codec.config import Config
from hqd.core.gate_use import resolve_gates
from hqd.core.history.backtest import Evidence
from hqd.errors import EXIT_OK, Usage
from hqd.gates.registry import Registry
from hqd.model.gate import GateSpec
from hqd.model.lesson import LessonStatus, Scope
from hqd.model.spelling import meant


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line."""

    what: str | None = None  # a lesson, a named gate or a playbook
    kind: str | None = None
    settings: tuple[str, ...] = ()
    playbook: str | None = None
    step: str | None = None
    as_of: str | None = None
    seed: str = "hqd"
    allow_commands: bool = False


def backtest(call: Call, asked: Asked, *, as_json: bool) -> int:
    """Prints what a gate would have been worth. Raises Usage, Misconfigured."""
    with (
        no_collection(),
        view(call) as seen,
        laboratory(call, seen, asked.as_of, allow_commands=asked.allow_commands) as bench,
    ):
        given = _given(call, seen, asked, bench)
        wrong = [f"{each.spec.name}: {fault}" for each in given.gates for fault in _faults(each.spec, bench.registry)]
        if wrong:
            raise Usage("; ".join(wrong), remedy="docs/gates.md has all kinds and their keys")
        there = existing(seen, bench.registry)
        trials: list[Trial] = []
        skipped: list[str] = []
        for each in given.gates:
            try:
                trials.append(bench.test(each, seed=asked.seed, existing=() if given.many else there))
            except Usage as fault:
                if not given.many:
                    raise
                skipped.append(f"{each.label}/{each.spec.name}: {fault.message}; not run")
        if not trials:
            raise Usage("; ".join(skipped), remedy="pass --allow-commands, or calibrate judges")
        if given.many:
            whole = together(trials, asked.seed)
            if as_json:
                terminal.data(facts_of_many(given.name, whole, trials, bench, skipped, asked.seed))
            else:
                show_many(given.name, whole, trials, bench, skipped)
        elif as_json:
            terminal.data(facts_of(trials[0], bench, asked.seed))
        else:
            show(trials[0], bench)
    return EXIT_OK


@contextmanager
def laboratory(
    call: Call, seen: View, revision: str | None = None, *, allow_commands: bool = False
) -> Iterator[Laboratory]:
    """History with its labels, and the gates of this HQ. Raises Usage for an unknown revision, Misconfigured."""
    with ExitStack() as stack:
        progress = stack.enter_context(_progress())
        registry = open_registry(call, call.root(), seen.committed or Config(None), stack)
        archive = GitArchive(seen.repo, progress)
        try:
            yield Laboratory(
                seen,
                archive,
                registry,
                revision=revision,
                label_days=label_days(seen),
                allow_commands=allow_commands,
                progress=progress,
            )
        except KeyError as fault:
            if revision is None or str(fault.args[0]) != revision:
                raise
            raise Usage(
                f"there is no commit {revision!r}", remedy="name a commit, a tag, or main@{yesterday}"
            ) from fault


def existing(seen: View, registry: Registry) -> tuple[Tested, ...]:
    """The gates that are in force now, of every agent step and lesson, with where they apply."""
    rules = seen.current
    if rules is None:
        return ()
    named = rules.settings.gates
    found = [
        Tested(spec, Scope(playbooks=(playbook.name,), steps=(step.name,)))
        for playbook in rules.playbooks.values()
        for step in playbook.steps
        if step.agent is not None
        for spec in resolve_gates((*step.gates, *playbook.gates), named)
    ]
    in_force = (LessonStatus.SHADOW, LessonStatus.WARN, LessonStatus.ENFORCE)
    lessons = [lesson for lesson in rules.lessons if lesson.gate is not None and lesson.status in in_force]
    found += [Tested(lesson.gate, lesson.scope) for lesson in lessons if lesson.gate is not None]
    return tuple(each for each in found if each.spec.kind in registry.kinds)


def _given(call: Call, seen: View, asked: Asked, bench: Laboratory) -> Given:
    if asked.kind is not None:
        if asked.what is not None:
            raise Usage("--kind is a gate of its own", remedy="leave the lesson or playbook out, or --kind")
        spec = written(asked.kind, asked.settings, bench.registry)
        return Given((Tested(spec, _scope(asked, bench), Evidence(terms=terms(spec))),), asked.kind)
    if asked.settings:
        raise Usage("--set goes with --kind")
    if asked.what is not None:
        lesson = lesson_at(call, seen, asked.what)
        if lesson is not None:
            return Given((_narrowed(lesson, _scope(asked, bench)),), asked.what)
        gate = gate_at(call, seen, asked.what, _scope(asked, bench))
        if gate is not None:
            return gate
        if asked.playbook is not None:
            raise Usage(f"two playbooks: {asked.what} and {asked.playbook}", remedy="name one of them")
    what = asked.what or asked.playbook
    if what is None:
        raise Usage("say what to test", remedy="--kind K --set k=v, a named gate, a lesson, or --playbook NAME[@REV]")
    return playbook_at(call, seen, what, asked.step)


def _scope(asked: Asked, bench: Laboratory) -> Scope:
    """Where --playbook and --step say. Raises Usage for one that neither the rules nor history know."""
    rules, cases = bench.seen.current, bench.corpus.cases
    playbooks = dict(rules.playbooks) if rules is not None else {}
    named, step = asked.playbook, asked.step
    known = {*playbooks, *(case.playbook for case in cases if case.playbook is not None)}
    if named is not None and named not in known:
        raise Usage(f"there is no playbook {named}", remedy=meant(named, known))
    steps = {case.step for case in cases if named in (None, case.playbook)}
    steps |= {each.name for name, playbook in playbooks.items() if named in (None, name) for each in playbook.steps}
    if step is not None and step not in steps:
        where = f"playbook {named} has" if named is not None else "there is"
        raise Usage(f"{where} no step {step}", remedy=meant(step, steps))
    return Scope(playbooks=(named,) if named is not None else (), steps=(step,) if step is not None else ())


def _narrowed(tested: Tested, scope: Scope) -> Tested:
    """A lesson in a smaller scope than its own."""
    smaller = {key: value for key, value in (("playbooks", scope.playbooks), ("steps", scope.steps)) if value}
    return replace(tested, scope=tested.scope.model_copy(update=smaller))


def _faults(spec: GateSpec, registry: Registry) -> Sequence[str]:
    return [fault for fault in registry.check(spec) if not fault.startswith("level: ")]


@contextmanager
def _progress() -> Iterator[Progress]:
    """Shows on a terminal how far a long piece of work has come; says nothing elsewhere."""
    shown = [0]

    def say(text: str) -> None:
        if terminal.redraws(sys.stderr):
            line = terminal.cut(text, 78)
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            shown[0] = 1

    try:
        yield say
    finally:
        if shown[0]:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
