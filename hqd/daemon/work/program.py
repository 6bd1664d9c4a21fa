"""Starts the program of a `run` step and says how it ended, as an answer. Runs in a worker thread.

What it prints is its output. It may say more, or otherwise, in the file named by HQD_OUTPUT, as command agents do; how
it ended goes before what it says.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hqd.codec.own_words import own_words
from hqd.core.language.expressions import compile_text
from hqd.core.steps.program import key_of
from hqd.daemon.work.gather import MissingContext
from hqd.daemon.work.job import Job
from hqd.daemon.work.workshop import Workshop
from hqd.errors import Expected
from hqd.model.attempt import Answer
from hqd.model.duration import seconds
from hqd.model.failure import Failure
from hqd.model.playbook import RunProgram
from hqd.model.program import Ran

TRANSIENT_EXIT = 75
_SECRET = "secret:"  # noqa: S105 - how a reference begins
_LAST_LINES = 12


def act(job: Job, shop: Workshop, cwd: Path, known: Mapping[str, Any], stop: threading.Event) -> Answer:
    """Runs it to its end. Raises ExpressionFault, and MissingContext for a secret that is not to be had."""
    program = job.step.run
    assert program is not None  # noqa: S101 - only run steps come here
    argv = [compile_text(word).render(known) for word in program.argv]
    file = shop.scratch / f"{job.task.id}-{job.nonce}.json"
    env = {**shop.environment, **_environment(program, shop, known), **_own(job), "HQD_OUTPUT": str(file)}
    if any("\0" in text for text in (*argv, *env.values())):
        return _failed(Failure.AGENT_ERROR, "an argument or variable holds a NUL character, which no program can take")
    timeout = min(job.timeout, seconds(program.timeout))
    try:
        ran = shop.programs.run(argv, cwd, env, timeout, stop, file)
    except Expected as fault:
        return _failed(Failure.AGENT_ERROR, fault.message)
    finally:
        file.unlink(missing_ok=True)
    return _answer(ran, argv[0], timeout)


def _environment(program: RunProgram, shop: Workshop, known: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, text in program.env.items():
        if text.startswith(_SECRET):
            value = shop.vault.get(text.removeprefix(_SECRET))
            if value is None:
                raise MissingContext(f"{text}, for {name}, is not found")
            found[name] = value
        else:
            found[name] = compile_text(text).render(known)
    return found


def _own(job: Job) -> dict[str, str]:
    return {
        "HQD_KEY": key_of(job.task.id, job.step.name),
        "HQD_TASK": job.task.id,
        "HQD_STEP": job.step.name,
        "HQD_ATTEMPT": str(job.attempt),
    }


def _answer(ran: Ran, name: str, timeout: float) -> Answer:
    text = ran.stdout.decode("utf-8", "replace").rstrip("\n") + ("\n[… more was printed]" if ran.capped else "")
    raw = ran.stdout + (b"\n--- stderr ---\n" + ran.stderr if ran.stderr else b"")
    failure, message = _verdict(ran, name, timeout)
    said = Answer(text=text, raw=raw, failure=failure, message=message, stop=str(ran.exit))
    return _with_own_words(said, ran.written) if ran.written else said


def _with_own_words(answer: Answer, written: bytes) -> Answer:
    words = own_words(written)
    return replace(
        answer,
        text=words.text if words.spoke else answer.text,
        raw=answer.raw + b"\n--- HQD_OUTPUT ---\n" + written,
        usage=words.usage,
        model=words.model,
        failure=answer.failure or words.failure,
        message=answer.message or words.message,
        needs_human=words.needs_human,
        replan=words.replan,
        decisions=words.decisions,
    )


def _verdict(ran: Ran, name: str, timeout: float) -> tuple[Failure | None, str]:
    if ran.stopped:
        return Failure.INTERRUPTED, "hqd was told to stop while it ran"
    if ran.timed_out:
        return Failure.TIMEOUT, f"`{name}` ran longer than {timeout:g} s"
    if ran.exit == 0:
        return None, ""
    tail = "\n".join(ran.stderr.decode("utf-8", "replace").splitlines()[-_LAST_LINES:]).strip()
    how = f"was ended by signal {-ran.exit}" if ran.exit < 0 else f"exits with {ran.exit}"
    failure = Failure.TRANSIENT if ran.exit == TRANSIENT_EXIT else Failure.AGENT_ERROR
    return failure, f"`{name}` {how}" + (f": {tail}" if tail else "")


def _failed(failure: Failure, message: str) -> Answer:
    return Answer(text="", raw=b"", failure=failure, message=message)
