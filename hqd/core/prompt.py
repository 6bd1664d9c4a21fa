"""A prompt: what an attempt is sent, and the manifest that says why. Pure: same parts in, same bytes out.

The stable part (documents) comes first and is the same for all tasks of a step, so that a provider's cache
hits; the task and what was wrong last time come last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hqd.core.expressions import compile_text
from hqd.core.typed import ask_for
from hqd.model.record import Finding

CHARS_PER_TOKEN = 3.5
"""A careful estimate for English prose and code: real tokenizers give 3.5 to 4.5."""


def estimate_tokens(text: str) -> int:
    """Tokens by length; marked as an estimate wherever it is shown."""
    return int(len(text) / CHARS_PER_TOKEN) + 1 if text else 0


@dataclass(frozen=True, slots=True)
class Document:
    """One background document: where it came from (path or `output:STEP`), its blob, its rule, its text."""

    source: str
    blob: str
    rule: str
    text: str
    status: Literal["kept", "cut", "dropped"] = "kept"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a prompt is made of."""

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


def compose(parts: Parts) -> Prompt:
    """The prompt of one attempt. Raises ExpressionFault for a template that cannot be rendered."""
    stable = "".join(_section(f"Document: {doc.source}", doc.text) for doc in _kept(parts.documents))
    source = parts.template if parts.template is not None else DEFAULT_TEMPLATE
    sections = [compile_text(source).render(dict(parts.facts)).strip() + "\n"]
    task = parts.facts["task"]
    if "task.text" not in source:
        sections.append(_section(f"Task: {task['title']}", task["text"]))
    if "outputs." not in source and "outputs[" not in source:
        sections += [
            _section(f"Result of step {doc.source.removeprefix('output:')}", doc.text) for doc in parts.outputs
        ]
    if parts.schema is not None:
        sections.append(_section("Form of the answer", ask_for(parts.schema)))
    sections += _last_time(parts)
    if parts.diagnosis is not None:
        sections.append(_section("Diagnosis", parts.diagnosis))
    prompt = "\n".join(sections)
    return Prompt(stable, prompt, _manifest(parts, stable, prompt))


def _kept(documents: Sequence[Document]) -> list[Document]:
    return [doc for doc in documents if doc.status != "dropped"]


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


def _manifest(parts: Parts, stable: str, prompt: str) -> dict[str, Any]:
    sources = [
        {
            "source": doc.source,
            "blob": doc.blob,
            "rule": doc.rule,
            "tokens": estimate_tokens(doc.text),
            "status": doc.status,
            "why": doc.why,
        }
        for doc in (*parts.documents, *parts.outputs)
    ]
    if parts.template_path is not None:
        sources.insert(
            0,
            {
                "source": parts.template_path,
                "blob": parts.template_blob,
                "rule": "prompt",
                "tokens": estimate_tokens(parts.template or ""),
                "status": "kept",
                "why": "the step's prompt",
            },
        )
    return {
        "v": 1,
        "sources": sources,
        "tokens": estimate_tokens(stable) + estimate_tokens(prompt),
        "counter": "estimate: characters / 3.5",
        "stable_sha256": hashlib.sha256(stable.encode()).hexdigest(),
        "prompt_sha256": hashlib.sha256((stable + prompt).encode()).hexdigest(),
        "mode": parts.mode,
        "findings": len(parts.findings),
        "diagnosis": parts.diagnosis is not None,
    }
