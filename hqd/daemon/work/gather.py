"""Gathers the parts of a prompt from git: templates, documents, earlier outputs. Reads at the job's snapshot only."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from hqd.codec import layout
from hqd.core.context.choose import Unusable
from hqd.core.context.experiment import Arm, arm, held_out, key, matches
from hqd.core.context.source import Candidate, Text
from hqd.core.context.window import budget_of
from hqd.core.diagnosis import diagnose
from hqd.core.language.facts import facts
from hqd.core.prompt import Document, Parts, Prompt, assemble, unsent
from hqd.core.steps.typed import check_schema, schema_of
from hqd.daemon.context.collect import collect
from hqd.daemon.context.ground import Ground
from hqd.daemon.context.library import Library
from hqd.daemon.context.tally import CannotCount, Counting, Tally
from hqd.daemon.decisions import Decisions
from hqd.daemon.rulebook import PinnedFiles, Reader
from hqd.daemon.work.job import Job
from hqd.errors import Expected
from hqd.ports import History, Similar, Tree

_IN_THE_PROMPT = "the step's prompt places outputs, and they are counted there"


class MissingContext(Expected):
    """Something that a playbook requires is not there, or cannot be used. `manifest`: what else there was."""

    manifest: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Means:
    """What a prompt is gathered with. Where no provider counts, tokens are estimated."""

    history: History
    library: Library
    similar: Similar | None = None
    counting: Counting | None = None
    elsewhere: Callable[[str], History] | None = None  # target repositories, by name; raises Expected

    @cached_property
    def _others(self) -> dict[str, Library]:
        return {}

    def library_of(self, repo: str) -> Library:
        """The documents of a target repository; of the HQ where `repo` is empty. Raises Expected."""
        if not repo:
            return self.library
        if repo not in self._others:
            if self.elsewhere is None:
                raise Expected(f"repository {repo} is not to be had here")
            self._others[repo] = Library(self.elsewhere(repo))
        return self._others[repo]

    def ground_of(self, job: Job) -> Ground | None:
        """The target repository of a job at the commit that its work is built on; None: there is none, or not here."""
        if job.repo is None or self.elsewhere is None:
            return None
        try:
            tree = self.elsewhere(job.repo).tree(job.main)
            tree.entries("")
            return Ground(tree, self.library_of(job.repo), job.repo)
        except (Expected, KeyError):
            return None

    @cached_property
    def decisions(self) -> Decisions:
        """What is settled, by tree."""
        return Decisions(self.history)


def prompt(job: Job, means: Means, without: Collection[str] = ()) -> Prompt:
    """What this attempt is sent. Raises MissingContext, ExpressionFault."""
    tree, own = means.history.tree(job.snapshot), means.history.tree(job.commit)
    bare = parts(job, means.history, own)
    settled, placed = means.decisions.of(tree), bare.names_outputs
    target = means.ground_of(job)
    found = collect(
        job, tree, bare.facts, means.library, means.similar, outputs=not placed, settled=settled, target=target
    )
    bare, found = _in_its_arm(job, bare, found)
    load = partial(_loaded, means)
    limits = (job.rules.settings.limits, job.playbook.limits, job.step.limits)
    limit = min((each.context_tokens for each in limits if each.context_tokens is not None), default=None)
    try:
        tally = _tally(job, means, bare)
        if tally is not None:
            budget = budget_of(job.settings, limit, counted=True)
            with suppress(CannotCount):
                return assemble(bare, found, load, budget, tally.part, tally.name, without, whole=tally.whole)
        return assemble(bare, found, load, budget_of(job.settings, limit), without=without)
    except Unusable as fault:
        missing = MissingContext(fault.message)
        missing.manifest = unsent(bare, found, budget_of(job.settings, limit), fault)
        raise missing from fault


def _loaded(means: Means, candidate: Candidate) -> Text:
    """A candidate's text, from the repository that has it."""
    return means.library_of(candidate.repo).load(candidate)


def _in_its_arm(job: Job, bare: Parts, found: list[Candidate]) -> tuple[Parts, list[Candidate]]:
    """What the playbook's experiment leaves out for this task, and what the manifest says of it."""
    experiment = job.playbook.experiment
    if experiment is None:
        return bare, found
    mine = arm(experiment, job.playbook.name, job.task.id)
    meant = [each for each in found if each.problem is None and matches(experiment.source, each.source)]
    told = {
        "key": key(experiment, job.playbook.name),
        "source": experiment.source,
        "holdout": experiment.holdout,
        "effect": experiment.effect,
        "arm": mine.value,
        "applies": bool(meant) and not any(each.required for each in meant),
    }
    return replace(bare, experiment=told), held_out(found, experiment, mine)


def _tally(job: Job, means: Means, bare: Parts) -> Tally | None:
    """The provider's own counters, where it has such and a window is known that they could exceed."""
    settings = job.settings
    if settings is None or means.counting is None or not means.counting.asks(settings):
        return None
    return Tally(means.counting, settings, bare.schema, tools=settings.tools or job.step.tools)


def parts(job: Job, history: History, own: Tree) -> Parts:
    """The parts of this attempt's prompt but for documents; `own` has the task's records.

    Raises MissingContext, ExpressionFault.
    """
    known = facts(job.task, job.values, job.now, kin=job.kin)
    known["attempt"] = job.attempt
    template, path, blob = _template(job, history)
    made = Parts(
        template=template,
        template_path=path,
        template_blob=blob,
        facts=known,
        documents=(),
        outputs=(),
        findings=job.task.cursor.findings,
        mode=job.mode,
        failed_output=_failed_output(job, own),
        schema=schema(job, PinnedFiles(history, job.rules.pin)),
        diagnosis=diagnose(job.task.cursor.trials.get(job.step.name, ())),
        made={
            "task": job.task.id,
            "step": job.step.name,
            "attempt": job.attempt,
            "agent": job.agent,
            "commit": job.commit,
            "snapshot": job.snapshot,
            "now": job.now.isoformat(),
        },
    )
    return replace(made, outputs=_placed(job)) if made.names_outputs else made


def _placed(job: Job) -> tuple[Document, ...]:
    """Outputs that the step's prompt places itself; which of them it names is its own matter. Each counts there."""
    refs = sorted((name, ref) for name, ref in job.task.cursor.outputs.items() if not ref.stale)
    return tuple(
        Document(f"output:{name}", ref.blob, "prompt", job.values[ref.blob], why=_IN_THE_PROMPT, tokens=0)
        for name, ref in refs
        if name != job.step.name
    )


def schema(job: Job, tree: Reader) -> Mapping[str, Any] | None:
    """The JSON Schema of the step's typed output; None where it has none. Raises MissingContext."""
    written = job.step.output
    if written is None:
        return None
    if isinstance(written, str):
        path = f"{layout.PLAYBOOKS}/{written}"
        data = tree.read(path)
        if data is None:
            raise MissingContext(f"{path}: the schema of step {job.step.name} is not there")
        try:
            loaded = json.loads(data)
        except ValueError as fault:
            raise MissingContext(f"{path}: not JSON: {fault}") from fault
        wrong = check_schema(loaded) if isinstance(loaded, dict) else "not an object"
        if wrong is not None:
            raise MissingContext(f"{path}: not a JSON Schema: {wrong}")
        return dict(loaded)
    try:
        return schema_of(written)
    except ValueError as fault:
        raise MissingContext(f"playbook {job.playbook.name}: steps.{job.step.name}.output: {fault}") from fault


def _template(job: Job, history: History) -> tuple[str | None, str | None, str | None]:
    """Text, path and blob of the step's prompt, from the playbooks that the task is pinned to."""
    step = job.step
    other = _without_source(job)
    if other is not None:
        step = step.model_copy(update={"prompt": other, "prompt_text": None})
    if step.prompt_text is not None:
        return step.prompt_text, f"{layout.PLAYBOOKS}/{job.playbook.name}.toml", job.rules.pin.playbooks
    if step.prompt is None:
        return None, None, None
    path = f"{layout.PLAYBOOKS}/{step.prompt}"
    pinned = history.tree(job.rules.pin.playbooks)
    data, entry = pinned.read(step.prompt), pinned.entry(step.prompt)
    if data is None or entry is None:
        raise MissingContext(f"{path}: the prompt of step {step.name} is not there")
    return data.decode("utf-8", "replace"), path, entry.id


def _without_source(job: Job) -> str | None:
    """The prompt that an experiment has for tasks of the arm without its source."""
    experiment = job.playbook.experiment
    if experiment is None or job.step.name not in experiment.prompt:
        return None
    mine = arm(experiment, job.playbook.name, job.task.id)
    return experiment.prompt[job.step.name] if mine is Arm.WITHOUT else None


def _failed_output(job: Job, own: Tree) -> str | None:
    """The step's last output, which the findings are about; a fresh start does not see it."""
    if job.mode == "fresh" or not job.task.cursor.findings:
        return None
    path = job.task.cursor.last.get(job.step.name)
    data = own.read(path) if path is not None else None
    return data.decode("utf-8", "replace") if data is not None else None
