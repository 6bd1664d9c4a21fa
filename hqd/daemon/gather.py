"""Gathers the parts of a prompt from git: templates, documents, earlier outputs. Reads at the job's snapshot only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from hqd.codec import layout
from hqd.core.diagnosis import diagnose
from hqd.core.expressions import compile_expression
from hqd.core.facts import facts
from hqd.core.prompt import Document, Parts
from hqd.core.typed import check_schema, schema_of
from hqd.daemon.job import Job
from hqd.errors import Expected
from hqd.model.playbook import ContextRule, StepKind
from hqd.ports import Tree

MAX_DOCUMENT = 400_000
"""Bytes of one background document; a longer one is left out, and the manifest says so."""


class MissingContext(Expected):
    """Something that a playbook requires is not there, or cannot be used."""


def parts(job: Job, tree: Tree, own: Tree) -> Parts:
    """The parts of this attempt's prompt: documents from `tree`, the task's own records from `own`.

    Raises MissingContext, ExpressionFault.
    """
    known = facts(job.task, job.values, job.now, kin=job.kin)
    known["attempt"] = job.attempt
    template, path, blob = _template(job, tree)
    return Parts(
        template=template,
        template_path=path,
        template_blob=blob,
        facts=known,
        documents=tuple(_documents(job, tree, known)),
        outputs=tuple(_outputs(job, known)),
        findings=job.task.cursor.findings,
        mode=job.mode,
        failed_output=_failed_output(job, own),
        schema=schema(job, tree),
        diagnosis=diagnose(job.task.cursor.trials.get(job.step.name, ())),
    )


def schema(job: Job, tree: Tree) -> Mapping[str, Any] | None:
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


def _template(job: Job, tree: Tree) -> tuple[str | None, str | None, str | None]:
    step = job.step
    if step.prompt_text is not None:
        return step.prompt_text, f"{layout.PLAYBOOKS}/{job.playbook.name}.toml", job.rules.pin.playbooks
    if step.prompt is None:
        return None, None, None
    path = f"{layout.PLAYBOOKS}/{step.prompt}"
    data, entry = tree.read(path), tree.entry(path)
    if data is None or entry is None:
        raise MissingContext(f"{path}: the prompt of step {step.name} is not there")
    return data.decode("utf-8", "replace"), path, entry.id


def _documents(job: Job, tree: Tree, known: Mapping[str, Any]) -> Iterator[Document]:
    """What `include` rules name, HQ first, then playbook, then step; each path once, by priority."""
    rules = [
        (place, rule)
        for place, group in (
            ("hqd.toml", job.rules.settings.context),
            (f"playbook {job.playbook.name}", job.playbook.context),
            (f"step {job.step.name}", job.step.context),
        )
        for rule in group
        if rule.include
    ]
    seen: set[str] = set()
    for place, rule in sorted(rules, key=lambda item: -item[1].priority):
        if rule.when is not None and not compile_expression(rule.when).evaluate(dict(known)):
            continue
        yield from _included(rule, place, tree, seen)


def _included(rule: ContextRule, place: str, tree: Tree, seen: set[str]) -> Iterator[Document]:
    for pattern in rule.include:
        paths = [path for path in matching(tree, pattern) if not _excluded(path, rule)]
        if not paths and rule.required:
            raise MissingContext(f"{place}: context `{pattern}` is required, and nothing matches it")
        for path in paths:
            if path in seen:
                continue
            seen.add(path)
            entry, data = tree.entry(path), tree.read(path)
            if entry is None or data is None:
                continue
            yield _document(path, entry.id, data, f"{place}: include {pattern}", rule)


def _document(path: str, blob: str, data: bytes, rule_name: str, rule: ContextRule) -> Document:
    if len(data) > MAX_DOCUMENT or b"\0" in data:
        why = "binary" if b"\0" in data else f"larger than {MAX_DOCUMENT} bytes"
        if rule.required:
            raise MissingContext(f"{path}: required, but {why}")
        return Document(path, blob, rule_name, "", "dropped", why)
    return Document(path, blob, rule_name, data.decode("utf-8", "replace"), why="matches its rule")


def _excluded(path: str, rule: ContextRule) -> bool:
    return any(PurePosixPath(path).match(pattern) for pattern in rule.exclude)


def matching(tree: Tree, pattern: str) -> list[str]:
    """The files of a tree that a glob names, sorted. `*` and `?` stay within a folder, `**` crosses folders."""
    parts = pattern.strip("/").split("/")
    if ".." in parts or pattern.startswith("/"):
        return []
    return sorted(_walk(tree, "", parts))


def _walk(tree: Tree, folder: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        return
    head, rest = parts[0], parts[1:]
    for entry in tree.entries(folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if head == "**":
            if entry.is_folder:
                yield from _walk(tree, path, parts)
            yield from _step_in(tree, path, entry.name, entry.is_folder, entry.mode, rest)
        else:
            yield from _step_in(tree, path, entry.name, entry.is_folder, entry.mode, parts)


def _step_in(tree: Tree, path: str, name: str, folder: bool, mode: str, parts: list[str]) -> Iterator[str]:
    if not parts or not PurePosixPath(name).match(parts[0]):
        return
    if folder:
        yield from _walk(tree, path, parts[1:])
    elif len(parts) == 1 and mode in ("100644", "100755"):
        yield path


def _outputs(job: Job, known: Mapping[str, Any]) -> Iterator[Document]:
    """Outputs of earlier steps: those that a rule names, else the one of the nearest agent step before."""
    wanted = [name for rule in job.step.context for name in rule.outputs]
    rule = "outputs"
    if not wanted:
        before = job.playbook.steps[: job.playbook.position(job.step.name)]
        agents = [step.name for step in before if step.kind is StepKind.AGENT and step.name in known["outputs"]]
        wanted, rule = agents[-1:], "default: the output of the step before"
    for name in wanted:
        ref = job.task.cursor.outputs.get(name)
        if ref is not None and not ref.stale:
            yield Document(f"output:{name}", ref.blob, rule, job.values[ref.blob], why=rule)


def _failed_output(job: Job, own: Tree) -> str | None:
    """The step's last output, which the findings are about; a fresh start does not see it."""
    if job.mode == "fresh" or not job.task.cursor.findings:
        return None
    path = job.task.cursor.last.get(job.step.name)
    data = own.read(path) if path is not None else None
    return data.decode("utf-8", "replace") if data is not None else None
