"""A prompt: what an attempt is sent, and the manifest that says why. Pure: same parts in, same bytes out.

The stable part (documents that are the same for all tasks of a step) comes first, so that a provider's cache hits;
then the documents that this task calls for, the step's prompt, the task, and what was wrong last time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hqd.core.context.choose import DoesNotFit, Unusable, choose
from hqd.core.context.source import Candidate, Load
from hqd.core.context.source import Document as Document
from hqd.core.context.tokens import ESTIMATE, Counter, Whole
from hqd.core.context.tokens import estimate_tokens as estimate_tokens
from hqd.core.context.window import Budget
from hqd.core.language.expressions import compile_text
from hqd.core.steps.typed import ask_for
from hqd.model.record import Finding

MANIFEST_VERSION = 2
"""2: sources tell how they were cut, and what the prompt was made from is named by commit and blob."""

UNSENT = 200
"""Documents that the manifest names of an attempt that was sent nothing; the required ones come first."""

_TRIES = 6
"""How often fewer documents are tried where a counter finds the whole to be more than its parts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a prompt is made of. `made` names, for the manifest, what it was made from."""

    template: str | None
    template_path: str | None
    template_blob: str | None
    facts: Mapping[str, Any]
    documents: Sequence[Document]
    outputs: Sequence[Document]
    findings: Sequence[Finding]
    mode: str
    failed_output: str | None
    schema: Mapping[str, Any] | None
    diagnosis: str | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    experiment: Mapping[str, Any] | None = None  # the arm of the task, for the manifest

    @property
    def names_outputs(self) -> bool:
        """Whether the step's own prompt places the outputs of other steps."""
        source = self.template or ""
        return "outputs." in source or "outputs[" in source


@dataclass(frozen=True, slots=True)
class Prompt:
    """`stable + prompt` is what is sent. `manifest` is a JSON-able account of every source."""

    stable: str
    prompt: str
    manifest: dict[str, Any]

    @property
    def text(self) -> str:
        return self.stable + self.prompt


DEFAULT_TEMPLATE = "Do this task. Answer with the result itself, not with a description of what you did.\n"


def assemble(
    parts: Parts,
    candidates: Sequence[Candidate],
    load: Load,
    budget: Budget,
    count: Counter = estimate_tokens,
    counter: str = ESTIMATE,
    without: Collection[str] = (),
    whole: Whole | None = None,
) -> Prompt:
    """The prompt with those of the candidates that fit. Raises Unusable, ExpressionFault.

    `whole`: counts a whole request, by default like `count`. Its word is the last: where it is above the budget,
    documents go until it is not.
    """
    whole = whole or (lambda stable, prompt: count(stable + prompt) if stable + prompt else 0)
    say = partial(compose, count=count, counter=counter, budget=budget, whole=whole)
    fixed = int(say(parts).manifest["tokens"])
    if budget.known and fixed > budget.tokens:
        message = f"the task itself, with what belongs to it, has {fixed} tokens; the budget is {budget.tokens}"
        raise DoesNotFit(f"{message} (window {budget.window}, {budget.reserved} for the answer)")
    room = budget.tokens - fixed
    for _try in range(_TRIES):
        documents = choose(candidates, load, _wrapped, count, room, budget.tokens, without)
        made = say(replace(parts, documents=documents))
        over = int(made.manifest["tokens"]) - budget.tokens
        if over <= 0 or not any(document.sent for document in documents):
            return made
        room -= over + max(1, room // 20)
    documents = choose(candidates, load, _wrapped, count, 0, budget.tokens, without)  # raises for what is required
    return say(replace(parts, documents=documents))


def compose(
    parts: Parts,
    *,
    count: Counter = estimate_tokens,
    counter: str = ESTIMATE,
    budget: Budget | None = None,
    whole: Whole | None = None,
) -> Prompt:
    """The prompt of one attempt from chosen documents. Raises ExpressionFault for a template that cannot be rendered.

    Documents whose source is a task's own output (`output:STEP`, …) have a heading that says so.
    """
    sent = [document for document in parts.documents if document.sent]
    stable = "".join(_of(document) for document in sent if document.stable)
    source = parts.template if parts.template is not None else DEFAULT_TEMPLATE
    called_for = "".join(_of(document) for document in sent if not document.stable and not document.heading)
    rendered = compile_text(source).render(dict(parts.facts)).strip()
    sections = [called_for + rendered + "\n"]
    task = parts.facts["task"]
    if "task.text" not in source:
        sections.append(_section(f"Task: {task['title']}", task["text"]))
    if not parts.names_outputs:
        sections += [_of(document) for document in parts.outputs]
    sections += [_of(document) for document in sent if not document.stable and document.heading]
    if parts.schema is not None:
        sections.append(_section("Form of the answer", ask_for(parts.schema)))
    sections += _last_time(parts)
    if parts.diagnosis is not None:
        sections.append(_section("Diagnosis", parts.diagnosis))
    prompt = "\n".join(sections)
    tokens = whole(stable, prompt) if whole is not None else count(stable + prompt)
    return Prompt(stable, prompt, _manifest(parts, stable, prompt, rendered, tokens, count, counter, budget))


def _of(document: Document) -> str:
    return _section(document.heading or f"Document: {document.source}", document.text)


def _wrapped(candidate: Candidate, text: str) -> str:
    return _section(candidate.heading or f"Document: {candidate.source}", text) + "\n"


def _last_time(parts: Parts) -> list[str]:
    """Findings, and for a retry the output that they are about. A fresh start gets the findings alone."""
    if not parts.findings:
        return []
    points = "\n".join(f"- {finding.text}" for finding in parts.findings)
    if parts.mode == "fresh":
        note = f"An earlier try at this was not good enough. Do it anew, and mind these points:\n\n{points}\n"
        return [_section("What went wrong before", note)]
    sections = []
    if parts.failed_output:
        sections.append(_section("Your previous answer", parts.failed_output))
    sections.append(
        _section("What is wrong with it", f"{points}\n\nAnswer again, complete, with these points mended.\n")
    )
    return sections


def _section(title: str, text: str) -> str:
    return f"# {title}\n\n{text.strip()}\n\n"


def _manifest(
    parts: Parts,
    stable: str,
    prompt: str,
    rendered: str,
    tokens: int,
    count: Counter,
    counter: str,
    budget: Budget | None,
) -> dict[str, Any]:
    """`tokens` is the whole, which counts towards the budget; `other_tokens` what the sources do not add up to: the
    task, what was wrong last time, the form of the answer. Parts counted one by one may be a few more than the whole:
    it is then below zero.
    """
    sources = [_row(document, count) for document in (*parts.documents, *parts.outputs)]
    if parts.template_path is not None:
        template = Document(
            parts.template_path,
            parts.template_blob or "",
            "prompt",
            "",
            why="the step's prompt",
            tokens=count(rendered) if rendered else 0,
        )
        sources.insert(0, _row(template, count))
    return {
        "v": MANIFEST_VERSION,
        "sources": sources,
        "tokens": tokens,
        "other_tokens": tokens - sum(row["tokens"] or 0 for row in sources if row["status"] != "dropped"),
        "budget": budget.tokens if budget is not None else None,
        "window": budget.window if budget is not None else None,
        "reserved": budget.reserved if budget is not None else None,
        "margin": budget.margin if budget is not None else None,
        "counter": counter,
        "stable_tokens": count(stable) if stable else 0,
        "stable_sha256": hashlib.sha256(stable.encode("utf-8", "surrogatepass")).hexdigest(),
        "prompt_sha256": hashlib.sha256((stable + prompt).encode("utf-8", "surrogatepass")).hexdigest(),
        "mode": parts.mode,
        "findings": len(parts.findings),
        "diagnosis": parts.diagnosis is not None,
        **({"experiment": dict(parts.experiment)} if parts.experiment is not None else {}),
        "made": dict(parts.made),
    }


def unsent(parts: Parts, candidates: Sequence[Candidate], budget: Budget, fault: Unusable) -> dict[str, Any]:
    """The manifest of an attempt that was sent nothing, since something required cannot be sent; that stands first."""
    nothing = "nothing was sent"
    rows = [
        {
            "source": each.source,
            "blob": each.blob,
            "rule": each.rule,
            "tokens": fault.tokens if failing else None,
            "status": "dropped",
            "why": fault.why if failing else each.problem or nothing,
        }
        for failing, each in sorted(
            ((one.required and one.source == fault.source, one) for one in candidates),
            key=lambda pair: (not pair[0], not pair[1].required, pair[1].source, pair[1].rule),
        )
    ]
    if len(rows) > UNSENT:
        more = f"({len(rows) - UNSENT} more)"
        rows[UNSENT:] = [{**rows[-1], "source": more, "blob": "", "tokens": None, "why": nothing}]
    return {
        "v": MANIFEST_VERSION,
        "sources": rows,
        "tokens": 0,
        "other_tokens": 0,
        "budget": budget.tokens,
        "window": budget.window,
        "reserved": budget.reserved,
        "margin": budget.margin,
        "counter": ESTIMATE,
        "stable_tokens": 0,
        "unsent": fault.message,
        "made": dict(parts.made),
    }


def _row(document: Document, count: Counter) -> dict[str, Any]:
    """One source of the manifest; what is plain by default is left out, but for the fixed keys."""
    tokens = document.tokens if document.tokens is not None else count(document.text) if document.text else None
    row: dict[str, Any] = {
        "source": document.source,
        "blob": document.blob,
        "rule": document.rule,
        "tokens": tokens,
        "status": document.status,
        "why": document.why,
    }
    if not document.stable:
        row["stable"] = False
    plainly = (("form", "whole"), ("heading", ""), ("chars", None), ("mark", None), ("score", None), ("repo", ""))
    for key, plain in plainly:
        value = getattr(document, key)
        if value != plain:
            row[key] = value
    if document.flags:
        row["flags"] = list(document.flags)
    return row


def document_of(row: Mapping[str, Any], text: str) -> Document:
    """A source of a manifest as a document again; `text`: as it was sent."""
    return Document(
        source=row["source"],
        blob=row["blob"],
        rule=row["rule"],
        text=text,
        status=row["status"],
        why=row["why"],
        tokens=row["tokens"],
        stable=row.get("stable", True),
        form=row.get("form", "whole"),
        heading=row.get("heading", ""),
        chars=row.get("chars"),
        mark=row.get("mark"),
        score=row.get("score"),
        flags=tuple(row.get("flags", ())),
        repo=row.get("repo", ""),
    )
