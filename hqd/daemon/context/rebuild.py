"""The prompt of a past attempt, made again to the byte: from its manifest, the blobs that it names, and the template.

What was chosen is not decided anew: the manifest says which blobs were sent, in which form, and where they were cut.
The task, its facts, findings and its template are read at the commits that the manifest names. The committed
`prompt.md` is not looked at: it is what a rebuilt prompt can be compared with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hqd.codec import layout
from hqd.codec.config import read_config
from hqd.core.context.cut import shortened
from hqd.core.context.source import path_of
from hqd.core.prompt import MANIFEST_VERSION, Document, Prompt, compose, document_of
from hqd.daemon.book import Book, parse
from hqd.daemon.context.library import form_of
from hqd.daemon.kin import Kin
from hqd.daemon.rulebook import PinnedFiles
from hqd.daemon.work.gather import Means, parts, prompt
from hqd.daemon.work.job import Job
from hqd.daemon.work.values import Values
from hqd.errors import Expected
from hqd.model.board import Rules, Task
from hqd.model.record import EventKind, Pin, Record
from hqd.model.task import State
from hqd.ports import History, Tree


class CannotRebuild(Expected):
    """Something that an attempt was made from is not in git any more, or was written by an hqd that said less."""


Elsewhere = Callable[[str], History]
"""Target repositories, by name. Raises Expected."""


def rebuild(history: History, record: Record, revision: str = "HEAD", elsewhere: Elsewhere | None = None) -> bytes:
    """What the attempt of a `finished` record was sent, as UTF-8. `revision`: a commit that has the manifest.

    Raises CannotRebuild, also where the result is not what was sent.
    """
    if record.manifest is None:
        raise CannotRebuild("this attempt was sent nothing")
    try:
        data = history.tree(revision).read(record.manifest)
        manifest = json.loads(data or b"{}")
        if manifest.get("v") != MANIFEST_VERSION:
            raise CannotRebuild(f"its manifest is of version {manifest.get('v')}, not {MANIFEST_VERSION}")
        if "unsent" in manifest:
            raise CannotRebuild(f"this attempt was sent nothing: {manifest['unsent']}")
        text = _text(history, manifest, elsewhere)
    except KeyError as fault:
        raise CannotRebuild(f"{fault.args[0]} is not in git any more") from fault
    except ValueError as fault:
        raise CannotRebuild(f"its manifest cannot be read: {fault}") from fault
    sent = text.encode("utf-8", "surrogatepass")
    if hashlib.sha256(sent).hexdigest() != manifest["prompt_sha256"]:
        raise CannotRebuild("what comes out is not what was sent: this hqd composes prompts in another way")
    return sent


def _text(history: History, manifest: Mapping[str, Any], elsewhere: Elsewhere | None) -> str:
    made = manifest["made"]
    own = history.tree(made["commit"])
    job = _job(history, own, made)
    bare = parts(job, history, own)
    rows = [row for row in manifest["sources"] if row["status"] != "dropped" and row["rule"] != "prompt"]
    documents = tuple(_document(_history_of(row, history, elsewhere), row) for row in rows)
    return compose(replace(bare, documents=documents)).text


def again(means: Means, manifest: Mapping[str, Any], rules: Rules | None) -> Prompt:
    """What a past attempt would have been sent under other rules (None: its own): gathered anew at its own snapshot.

    Raises CannotRebuild, also where the rules do not know its playbook or step; MissingContext, ExpressionFault and
    KeyError.
    """
    if manifest.get("v") != MANIFEST_VERSION:
        raise CannotRebuild(f"its manifest is of version {manifest.get('v')}, not {MANIFEST_VERSION}")
    made = manifest["made"]
    return prompt(_job(means.history, means.history.tree(made["commit"]), made, rules), means)


def _history_of(row: Mapping[str, Any], history: History, elsewhere: Elsewhere | None) -> History:
    repo = row.get("repo")
    if repo and elsewhere is None:
        raise CannotRebuild(f"{row['source']} is in repository {repo}, which is not to be had here")
    return elsewhere(repo) if repo and elsewhere is not None else history


def _document(history: History, row: Mapping[str, Any]) -> Document:
    text = form_of(path_of(row["source"], row.get("repo", "")), row.get("form", "whole"), history.blob(row["blob"]))
    if row["status"] == "cut":
        text = shortened(text, row["chars"], row["mark"])
    return document_of(row, text)


def _job(history: History, own: Tree, made: Mapping[str, Any], other: Rules | None = None) -> Job:
    """The job as the worker had it, from the claim's own commit; with `other`, under those rules."""
    book = Book()
    claim = book.newest(own, made["task"])
    if claim is None or claim.event is not EventKind.CLAIMED:
        raise CannotRebuild(f"commit {made['commit'][:12]} is not the claim of this attempt")
    path = layout.task_path(made["task"], State.ACTIVE)
    entry = own.entry(path)
    document, _faults = parse(path, own.read(path) or b"")
    task = Task(made["task"], State.ACTIVE, document, entry.id if entry else "", claim.cursor, claim.n, claim)
    known = dict(Kin(book).of({task.id: task}, own).closed)
    if claim.cursor.children:
        known.update(book.read(own).tasks)
    pin = claim.pin or claim.cursor.pin
    if pin is None:
        raise CannotRebuild("its claim names no pin")
    now = datetime.fromisoformat(made["now"])
    rules = other or _rules(history, pin)
    playbook = rules.playbooks.get(claim.playbook or "")
    if playbook is None:
        raise CannotRebuild(f"no playbook {claim.playbook}")
    if all(step.name != claim.step for step in playbook.steps):
        raise CannotRebuild(f"no step {claim.step} in {playbook.name}")
    return Job.of(claim, task, rules, made["commit"], known, Values(history), (0.0, 0), now)


def _rules(history: History, pin: Pin) -> Rules:
    config = read_config(PinnedFiles(history, pin))
    if config.settings is None:
        raise CannotRebuild("the rules that it was pinned to cannot be read")
    return Rules(pin, config.settings, config.by_name)
