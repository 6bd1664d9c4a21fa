"""Candidates for a prompt, by the rules of HQ, playbook and step: documents, outputs, children's work, similar work.

Everything is read at the job's snapshot. What a rule names and cannot be had is a candidate with a problem: it stands
in the manifest, and only a `required` one stops the attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from hqd.core import globs
from hqd.core.context.choose import NAMED
from hqd.core.context.source import Candidate, Layer
from hqd.core.decisions import NOTHING, Settled
from hqd.core.language.expressions import compile_expression, compile_text
from hqd.core.lessons.rules import within_cap
from hqd.core.lessons.scope import scoped, tells
from hqd.daemon.context.ground import Ground
from hqd.daemon.context.library import File, Library
from hqd.daemon.context.native import Scope, native, reads
from hqd.daemon.context.settled import decided
from hqd.daemon.work.job import Job
from hqd.errors import ExpressionFault
from hqd.model.gate import LESSON_GATE
from hqd.model.playbook import ContextRule, StepKind
from hqd.model.record import OutputRef
from hqd.ports import Similar, Tree

MOST_OF_RULE = 1_000
"""Documents that one glob may bring into the choice, by name; the manifest says how many it left alone."""

MAX_SCOPED = 100_000
"""Characters of a task in which paths are looked for."""

MOST_NAMED = 200
"""Words of a task that may be paths."""

_PATH = re.compile(r"(?<![\w@/:.-])(?:\./)?[\w.-]+(?:/[\w.-]+)*/?")

DEFAULT_OUTPUT = "default: the output of the step before"


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule where it stands."""

    rule: ContextRule
    place: str
    layer: Layer
    number: int

    def candidate(self, source: str, blob: str, told: str, **fields: Any) -> Candidate:
        rule = self.rule
        common: dict[str, Any] = {
            "source": source,
            "blob": blob,
            "rule": f"{self.place}: {told}",
            "layer": self.layer,
            "priority": rule.priority,
            "required": rule.required,
            "max_tokens": rule.max_tokens,
            "group": f"{self.place}#{self.number}",
            "stable": rule.when is None,
            "quarantine": rule.quarantine,
        }
        return Candidate(**{**common, **fields})


def collect(
    job: Job,
    tree: Tree,
    known: Mapping[str, Any],
    library: Library,
    similar: Similar | None,
    *,
    outputs: bool,
    settled: Settled = NOTHING,
    target: Ground | None = None,
) -> list[Candidate]:
    """All candidates. `settled`: the decisions of the tree. `target`: the repository that the task is about, whose rule
    files count in place of the HQ's; its documents are found by the same globs.

    `outputs`: whether outputs of steps may be among them (a prompt may place them itself).

    Raises ExpressionFault for a `when` that cannot be evaluated.
    """
    rules = [ruled for ruled in _rules(job) if ruled.rule.when is None or _holds(ruled.rule.when, known)]
    grounds = [Ground(tree, library), *([target] if target is not None else [])]
    at = grounds[-1]
    found = at.here(native(at.tree, at.library, scope_of(job, known, at), reads(job.settings), files=job.files))
    if job.repo is not None and target is None:
        problem = "its repository was not fetched yet: its documents are not known"
        found.append(Candidate(f"{job.repo}:", "", "target repository", problem=problem))
    own = [each for each in found if each.problem is not None and "reads it by itself" in each.problem]
    for ruled in rules:
        found += _included(ruled, grounds)
        if outputs:
            found += _outputs(ruled, job)
        found += _children(ruled, job)
        found += decided(ruled, job, settled)
        found += _similar(ruled, job, tree, similar)
    if outputs and not any(ruled.rule.outputs for ruled in rules):
        found += _output_before(job, known)
    found += _lessons(rules, job)
    general = [ruled for ruled in rules if not _has_source(ruled.rule)]
    return [_overruled(each, general, own) for each in found] if general or own else found


def scope_of(job: Job, known: Mapping[str, Any], ground: Ground) -> Scope:
    """What the task is about: where its step delivers to, the files of its accepted work, `inputs.files`, the files and
    folders of the repository that its text names, and its words."""
    paths = list(job.task.cursor.files)
    if job.step.deliver is not None:
        with suppress(ExpressionFault):  # it may name the output, which is yet to come
            paths.append(compile_text(job.step.deliver).render(dict(known)).strip())
    files = job.task.document.header.inputs.get("files")
    if isinstance(files, list | tuple):
        paths += [path for path in files if isinstance(path, str)]
    document = job.task.document
    paths += _named(f"{document.title}\n{document.text}", ground)
    inside = sorted({path.removeprefix("./") for path in paths if path and not globs.leaves(path)})
    return Scope(inside, " ".join((document.title, *document.header.tags, document.text)))


def _named(text: str, ground: Ground) -> Iterator[str]:
    """The files and folders (with `/` at the end) that are there and that a text names by their paths."""
    words = dict.fromkeys(word.rstrip(".") for word in _PATH.findall(text[:MAX_SCOPED]))
    paths = [word.removeprefix("./") for word in words if "/" in word or "." in word]
    for path in paths[:MOST_NAMED]:
        entry = ground.tree.entry(path.rstrip("/")) if not globs.leaves(path) else None
        if entry is not None:
            yield path.rstrip("/") + "/" if entry.is_folder else path


def _rules(job: Job) -> Iterator[Ruled]:
    places = (
        ("hqd.toml", Layer.HQ, job.rules.settings.context),
        (f"playbook {job.playbook.name}", Layer.PLAYBOOK, job.playbook.context),
        (f"step {job.step.name}", Layer.STEP, job.step.context),
    )
    for place, layer, group in places:
        for number, rule in enumerate(group):
            yield Ruled(rule, place, layer, number)


def _holds(source: str, known: Mapping[str, Any]) -> bool:
    return compile_expression(source).holds(known)


def _included(ruled: Ruled, grounds: Sequence[Ground]) -> Iterator[Candidate]:
    for glob in ruled.rule.include:
        told = f"include {glob}"
        if globs.leaves(glob):
            yield ruled.candidate(glob, "", told, problem="it leaves the repository")
            continue
        try:
            files = [(ground, file) for ground in grounds for file in ground.matching(glob)]
        except re.error as fault:
            yield ruled.candidate(glob, "", told, problem=f"it is no glob: {fault}")
            continue
        exclude = ruled.rule.exclude
        wanted = [each for each in files if not _excluded(each[1].path, exclude)] if exclude else files
        if len(wanted) < len(files):
            yield from _left_out(ruled, glob, [each for each in files if _excluded(each[1].path, exclude)])
        if not files:
            yield ruled.candidate(glob, "", told, problem="nothing matches it")
        elif not wanted and ruled.rule.required:
            yield ruled.candidate(glob, "", told, problem="all that matches it is excluded")
        most = len(wanted) if ruled.rule.required else MOST_OF_RULE
        for ground, file in wanted[:most]:
            yield ruled.candidate(ground.named(file.path), file.blob, told, problem=file.problem, repo=ground.repo)
        if len(wanted) > most:
            problem = f"beyond the first {most} of its rule: not looked at"
            yield ruled.candidate(f"{glob} ({len(wanted) - most} more)", "", told, problem=problem)


def _left_out(ruled: Ruled, glob: str, excluded: Sequence[tuple[Ground, File]]) -> Iterator[Candidate]:
    """What a rule excludes of what it names, for the account."""
    told = f"include {glob}"
    for ground, file in excluded[:NAMED]:
        source = ground.named(file.path)
        yield ruled.candidate(source, file.blob, told, problem="excluded by its rule", required=False, repo=ground.repo)
    if len(excluded) > NAMED:
        more = f"{glob} ({len(excluded) - NAMED} more)"
        yield ruled.candidate(more, "", told, problem="excluded by its rule", required=False)


def _outputs(ruled: Ruled, job: Job) -> Iterator[Candidate]:
    for name in ruled.rule.outputs:
        ref = job.task.cursor.outputs.get(name)
        fields: dict[str, Any] = {"stable": False, "heading": f"Result of step {name}"}
        if ref is None or ref.stale:
            problem = "it is stale" if ref is not None else "the step has no output yet"
            yield ruled.candidate(f"output:{name}", "", "outputs", problem=problem, **fields)
        else:
            yield ruled.candidate(f"output:{name}", ref.blob, "outputs", **fields)


def _output_before(job: Job, known: Mapping[str, Any]) -> Iterator[Candidate]:
    before = job.playbook.steps[: job.playbook.position(job.step.name)]
    agents = [step.name for step in before if step.kind is StepKind.AGENT and step.name in known["outputs"]]
    for name in agents[-1:]:
        yield Candidate(
            source=f"output:{name}",
            blob=job.task.cursor.outputs[name].blob,
            rule=DEFAULT_OUTPUT,
            priority=100,  # what the step goes on from comes before all background
            stable=False,
            heading=f"Result of step {name}",
        )


def _children(ruled: Ruled, job: Job) -> Iterator[Candidate]:
    wanted = ruled.rule.children
    if not wanted:
        return
    steps = job.task.cursor.children
    for name in wanted if isinstance(wanted, tuple) else tuple(steps):
        if name not in steps:
            yield ruled.candidate(f"children:{name}", "", "children", problem="the step has no children", stable=False)
        for task_id in steps.get(name, ()):
            child = job.kin.get(task_id)
            fields: dict[str, Any] = {"stable": False}
            refs = [ref for ref in child.cursor.outputs.values() if not ref.stale] if child is not None else []
            if child is None or not refs:
                yield ruled.candidate(f"child:{task_id}", "", "children", problem="it has no output", **fields)
                continue
            newest: OutputRef = max(refs, key=lambda ref: ref.n)
            fields["heading"] = f"Result of {child.document.title} ({task_id})"
            yield ruled.candidate(f"child:{task_id}", newest.blob, "children", **fields)


def _similar(ruled: Ruled, job: Job, tree: Tree, similar: Similar | None) -> Iterator[Candidate]:
    most = ruled.rule.similar
    if not most:
        return
    document = job.task.document
    query = f"{document.title}\n{document.text}"
    like = similar.find(tree, job.playbook.name, job.step.name, query, most + 1) if similar is not None else ()
    found = [each for each in like if each.task != job.task.id][:most]  # what it made itself, before it was done again
    told = f"similar {most}"
    if not found:
        problem = "there is no accepted work like it yet"
        yield ruled.candidate(f"similar:{job.playbook.name}/{job.step.name}", "", told, problem=problem, stable=False)
    for each in found:
        yield ruled.candidate(
            f"similar:{each.task}/{job.step.name}",
            each.blob,
            told,
            stable=False,
            score=each.score,
            heading=f"Accepted for a similar task ({each.task})",
            remark=each.remark,
        )


def _lessons(rules: Sequence[Ruled], job: Job) -> Iterator[Candidate]:
    """What lessons in force tell the agent, unless the nearest rule about lessons says `false`; capped together."""
    own = [ruled.rule for ruled in rules if ruled.rule.lessons is not None]
    if own and own[-1].lessons is False:
        return
    cap = job.rules.settings.lessons.context_tokens
    if own and own[-1].max_tokens is not None:
        cap = min(cap, own[-1].max_tokens)
    scope = scoped(job.rules, job.playbook.name, job.task.document.header.tags)
    mine = [
        (blob, lesson)
        for blob, lesson in zip(scope.pin.lessons, scope.lessons, strict=True)
        if tells(lesson, job.step, job.agent)
    ]
    _kept, leaving = within_cap([lesson for _blob, lesson in mine], cap)
    for blob, lesson in mine:
        problem = f"lessons take at most {cap} tokens of a prompt here" if lesson in leaving else None
        stable = not lesson.scope.tags and not lesson.scope.agents
        yield Candidate(
            source=f"{LESSON_GATE}{lesson.id}",
            blob=blob,
            rule=f"{LESSON_GATE}{lesson.id}",
            priority=own[-1].priority if own else 90,  # short, and paid for once already
            stable=stable,
            form="lesson",
            heading=f"Lesson {lesson.id}",
            problem=problem,
        )


def _overruled(each: Candidate, rules: Sequence[Ruled], own: Sequence[Candidate]) -> Candidate:
    """What rules without a source of their own say of every document, and what the agent reads by itself."""
    if each.problem is not None:
        return each
    for ruled in rules:
        rule = ruled.rule
        if _excluded(each.source, rule.exclude):
            return replace(each, problem=f"excluded by {ruled.place}")
        if rule.quarantine:
            each = replace(each, quarantine=True)
    if any(each.source == read.source for read in own) and not each.required:
        return replace(each, problem="the agent reads it by itself")
    return each


def _has_source(rule: ContextRule) -> bool:
    named = (rule.include, rule.outputs, rule.children, rule.decisions, rule.similar, rule.lessons)
    return any(bool(each) for each in named)


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    return any(globs.pattern(glob).fullmatch(path) or PurePosixPath(path).match(glob) for glob in patterns)
