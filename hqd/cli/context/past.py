"""`hqd context TASK STEP --attempt N`: what a past attempt was sent, from its manifest, and made again from git."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

from hqd.bootstrap import mirrored
from hqd.cli import terminal
from hqd.cli.board.finding import Told, find
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.cli.context import preview
from hqd.daemon.context.rebuild import CannotRebuild, rebuild
from hqd.errors import EXIT_OK, Usage
from hqd.model.record import Record


def past(call: Call, name: str, step: str, attempt: int, *, as_json: bool, text: bool) -> int:
    """Prints the account of an attempt, with `text` the very bytes, made again.

    Raises Usage for an attempt that nobody made; with `text` CannotRebuild.
    """
    with view(call) as seen:
        story = find(seen, name)
        record = _record(story, step, attempt)
        if text:
            terminal.raw(_again(call, seen, record))
            return EXIT_OK
        told = {"task": story.id, "step": step, **facts(story, record), "rebuilt": True, "missing": None}
        try:
            _again(call, seen, record)
        except CannotRebuild as fault:
            told |= {"rebuilt": False, "missing": fault.message}
    if as_json:
        terminal.data(told)
        return EXIT_OK
    preview.show(told)
    missing = told["missing"]
    again = (
        "can be made again from git, byte for byte (--text)" if missing is None else f"cannot be made again: {missing}"
    )
    terminal.say(f"what was sent {again}")
    return EXIT_OK


def facts(story: Told, record: Record) -> dict[str, Any]:
    """The manifest as --json has it. What an older hqd did not write is null."""
    manifest = json.loads(story.tree.read(str(record.manifest)) or b"{}")
    return preview.facts(manifest) | {
        "agent": record.agent,
        "attempt": record.attempt,
        "prompt_sha256": manifest.get("prompt_sha256"),
    }


def _again(call: Call, seen: View, record: Record) -> bytes:
    with ExitStack() as stack:
        elsewhere = mirrored(seen.repo.private, call.env, stack)
        return rebuild(seen.history, record, seen.tree.commit, elsewhere)


def _record(story: Told, step: str, attempt: int) -> Record:
    asked = [record for record in story.finished() if record.manifest is not None]
    found = [record for record in asked if (record.step, record.attempt) == (step, attempt)]
    if not found:
        known = ", ".join(f"{record.step} {record.attempt}" for record in asked) or "none yet"
        raise Usage(
            f"{story.id} has no attempt {attempt} at {step} that was sent a prompt", remedy=f"there are: {known}"
        )
    return found[-1]
