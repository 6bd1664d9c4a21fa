"""A human's word on its way to the daemon: laid into the spool, answered by the daemon, or here where none runs."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hqd.adapters.instance import daemon_alive
from hqd.adapters.repository import GitRepository
from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.daemon.people import spool
from hqd.daemon.people.spool import Reply, Request
from hqd.errors import EXIT_OK, AlreadyRunning, Expected, HqdError, Temporary, Usage
from hqd.model.record import Person

PATIENCE = 60.0
"""Seconds that a living daemon gets to answer."""

MOST_TURNS = 3
"""How often a word is tried here, where no daemon runs and something stands in the way."""

_IDENTITY = re.compile(r"(?P<name>.*?) <(?P<email>[^<>]*)> \d+ [-+]\d{4}")


class Refused(Expected):
    """hqd's answer is no: why, what helps, and the exit code are the reply's."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.message, remedy=reply.remedy)
        self.exit_code = reply.code


def word(
    call: Call, name: str, task: str | None, fields: Mapping[str, Any], *, wait: bool = True, as_json: bool = False
) -> int:
    """Says a word and prints the answer. Raises Refused; Temporary where a daemon does not answer in time."""
    with call.repository() as repo:
        meant = _open_task(repo, task) if as_json and task is not None else None
        request = Request(
            id=f"{time.time_ns():x}-{secrets.token_hex(4)}",
            word=name,
            task=task,
            person=person(repo, call.env),
            fields={key: value for key, value in fields.items() if value is not None},
        )
        sweep(repo.private)
        place = spool.send(repo.private, request)
        if not wait and daemon_alive(repo.private) is not None:
            message = f"said: {name}" + (f" {task}" if task else "")
            terminal.answer(_facts(repo, name, meant, message, "left") if as_json else {}, [message], as_json=as_json)
            return EXIT_OK
        try:
            with terminal.spinner("waiting for hqd"):
                reply = _reply(repo, place, request, call)
        except BaseException:  # also Ctrl-C: a word that nobody waits for must not be done later
            if spool.withdraw(repo.private, request.id):
                place.unlink(missing_ok=True)
            raise
        if not reply.ok:
            raise Refused(reply)
        facts = _facts(repo, name, meant, reply.message, "done") if as_json else {}
        terminal.answer(facts, [reply.message], as_json=as_json)
    return EXIT_OK


def _open_task(repo: GitRepository, name: str) -> str | None:
    """The id of the task that hqd will take this name for; None where it will refuse it."""
    from hqd.cli.board.reading import View
    from hqd.daemon.people.desk import find

    try:
        return find(View(repo).tasks, name).id
    except Usage:
        return None


def _facts(repo: GitRepository, name: str, task: str | None, message: str, outcome: str) -> dict[str, Any]:
    """An answer for --json. `outcome`: done, or left for the daemon; `state`, `landed`: the task's on main by now."""
    from hqd.cli.board.finding import told
    from hqd.cli.board.origin import origin_facts
    from hqd.cli.board.reading import View

    last = told(View(repo).tree, task).last if task is not None else None
    found = {
        "task": task,
        "word": "retry" if name == "retry-many" else name,
        "outcome": outcome,
        "message": message,
        "state": last.to.value if last is not None else None,
        "landed": last.cursor.landed if last is not None else None,
    }
    return {**found, "origin": origin_facts(repo)} if name == "sync" else found


def _reply(repo: GitRepository, place: Path, request: Request, call: Call) -> Reply:
    """Waits for the daemon; where none runs, does a turn of its own. A daemon that starts or ends meanwhile is well."""
    until = time.monotonic() + PATIENCE
    quiet, turns = _Quiet(), 0
    while time.monotonic() < until:
        reply = spool.take_reply(place)
        if reply is not None:
            return reply
        if daemon_alive(repo.private) is None:
            turns += answer_here(call, quiet)
            reply = spool.take_reply(place)
            if reply is not None:
                return reply
            if turns >= MOST_TURNS:
                raise Temporary(quiet.last or "hqd cannot act now", remedy="then say it again")
        time.sleep(0.03)
    raise Temporary(
        f"the daemon did not answer {request.word!r} within {PATIENCE:.0f} s",
        remedy="`hqd status` says what it waits for; then say it again",
    )


def answer_here(call: Call, quiet: _Quiet) -> int:
    """A turn that starts no work, under the HQ's lock: 1. Another process has the lock and answers instead: 0."""
    from hqd.bootstrap import answer_without_daemon

    try:
        answer_without_daemon(call.root(), call.env, quiet)
    except AlreadyRunning:
        return 0
    return 1


def look(repo: GitRepository, env: Mapping[str, str]) -> None:
    """A living daemon looks at once instead of at its next round; waits a moment until it has."""
    if daemon_alive(repo.private) is None:
        return
    request = Request(f"{time.time_ns():x}-look", "look", None, person(repo, env), {})
    place = spool.send(repo.private, request)
    until = time.monotonic() + 5.0
    while spool.take_reply(place) is None:
        if time.monotonic() > until:
            spool.withdraw(repo.private, request.id)
            return
        time.sleep(0.02)


def sweep(private: Path) -> None:
    """Takes away replies that nobody has come for in an hour."""
    before = time.time() - 3600
    for path in (private / spool.REPLIES).glob("*.json"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()


class _Quiet:
    """Port Display of a turn that nobody looks at: keeps what stands in the way."""

    def __init__(self) -> None:
        self.last = ""

    def committed(self, written: object, commits: object) -> None:
        """The reply says it."""

    def note(self, text: str) -> None:
        self.last = text

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
