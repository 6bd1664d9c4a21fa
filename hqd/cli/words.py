"""A human's word on its way to the daemon: laid into the spool, answered by the daemon, or here where none runs."""

from __future__ import annotations

import re
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqd.adapters.instance import daemon_alive
from hqd.adapters.repository import GitRepository
from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.daemon import spool
from hqd.daemon.spool import Reply, Request
from hqd.errors import EXIT_OK, AlreadyRunning, HqdError, Temporary
from hqd.model.problem import one_line
from hqd.model.record import Person

PATIENCE = 60.0
"""Seconds that a living daemon gets to answer."""

_IDENTITY = re.compile(r"(?P<name>.*?) <(?P<email>[^<>]*)> \d+ [-+]\d{4}")


def word(call: Call, name: str, task: str | None, fields: Mapping[str, Any], *, wait: bool = True) -> int:
    """Says a word and prints the answer; the exit code. Raises Temporary where a daemon does not answer in time."""
    with call.repository() as repo:
        request = Request(
            id=f"{time.time_ns():x}-{secrets.token_hex(4)}",
            word=name,
            task=task,
            person=person(repo, call.env),
            fields={key: value for key, value in fields.items() if value is not None},
        )
        place = spool.send(repo.private, request)
        if not wait and daemon_alive(repo.private) is not None:
            terminal.say(f"said: {name}" + (f" {task}" if task else ""))
            return EXIT_OK
        try:
            with terminal.spinner("waiting for hqd"):
                reply = _reply(repo, place, request, call)
        except BaseException:  # also Ctrl-C: a word that nobody waits for must not be done later
            if spool.withdraw(repo.private, request.id):
                place.unlink(missing_ok=True)
            raise
    return _told(reply)


def _told(reply: Reply) -> int:
    if reply.ok:
        terminal.say(reply.message)
        return EXIT_OK
    sys.stderr.write(f"hqd: {one_line(reply.message)}\n")
    if reply.remedy:
        sys.stderr.write(f"  {one_line(reply.remedy)}\n")
    return reply.code


def _reply(repo: GitRepository, place: Path, request: Request, call: Call) -> Reply:
    """Waits for the daemon; where none runs, does a turn of its own. A daemon that starts or ends meanwhile is well."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        reply = spool.take_reply(place)
        if reply is not None:
            return reply
        if daemon_alive(repo.private) is None:
            answer_here(call)
            reply = spool.take_reply(place)
            if reply is not None:
                return reply
        time.sleep(0.03)
    raise Temporary(
        f"the daemon did not answer {request.word!r} within {PATIENCE:.0f} s",
        remedy="`hqd status` says what it waits for; then say it again",
    )


def answer_here(call: Call) -> None:
    """One turn that starts no work, under the HQ's lock. Another process that has it answers instead."""
    from hqd.bootstrap import answer_without_daemon

    try:
        answer_without_daemon(call.root(), call.env, _Quiet())
    except AlreadyRunning:
        return


class _Quiet:
    """Port Display of a turn that nobody looks at: only what stands in the way is told, once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def committed(self, written: object, commits: object) -> None:
        """The reply says it."""

    def note(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            sys.stderr.write(f"hqd: {one_line(text)}\n")

    def doing(self, rows: object, waiting: int) -> None:
        """Nothing is in flight."""


def person(repo: GitRepository, env: Mapping[str, str]) -> Person:
    """Who speaks: git's own idea of it (configuration and GIT_AUTHOR_*), else the login name."""
    login = env.get("USER") or env.get("LOGNAME") or "someone"
    try:
        found = _IDENTITY.fullmatch(repo.git.quick("var", "GIT_AUTHOR_IDENT", codes=(0, 1, 128)).text.strip())
    except HqdError:
        found = None
    if found is None or not found["name"].strip():
        return Person(name=login, email=f"{login}@localhost")
    return Person(name=found["name"], email=found["email"])
