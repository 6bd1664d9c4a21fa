"""Words of people on their way to the daemon: one small JSON file each, under .git/hqd/requests.

Level-triggered and crash-proof: a request lies there until it is answered; the answer lies under replies until
it is read. A command that finds no daemon takes the HQ's lock and answers its own request by one turn.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hqd.errors import EXIT_FAILURE
from hqd.model.record import Person

REQUESTS = "requests"
REPLIES = "replies"


@dataclass(frozen=True, slots=True)
class Request:
    """`word`: retry, drop, approve, request-changes, reject, answer, pause, resume, apply, adopt, sync."""

    id: str
    word: str
    task: str | None
    person: Person
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """`code` is the exit code of the command that asked, where the word was refused."""

    ok: bool
    message: str
    remedy: str = ""
    code: int = EXIT_FAILURE


def send(private: Path, request: Request) -> Path:
    """Leaves a request, whole or not at all; returns where its reply will be."""
    body = {
        "id": request.id,
        "word": request.word,
        "task": request.task,
        "person": request.person.model_dump(),
        "fields": request.fields,
    }
    _write(private / REQUESTS / f"{request.id}.json", body)
    return private / REPLIES / f"{request.id}.json"


def waiting(private: Path) -> tuple[Request, ...]:
    """The requests that lie there, oldest first. What is no request is left alone."""
    folder = private / REQUESTS
    try:
        paths = sorted(folder.glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    except FileNotFoundError:
        return ()
    found = []
    for path in paths:
        try:
            body = json.loads(path.read_bytes())
            found.append(
                Request(body["id"], body["word"], body["task"], Person(**body["person"]), dict(body["fields"]))
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(request for request in found if (folder / f"{request.id}.json").exists())


def answer(private: Path, request_id: str, reply: Reply) -> None:
    """Leaves the reply, then takes the request away: a crash between the two only answers twice."""
    _write(private / REPLIES / f"{request_id}.json", asdict(reply))
    (private / REQUESTS / f"{request_id}.json").unlink(missing_ok=True)


def take_reply(path: Path) -> Reply | None:
    """The reply, if it is there; taken away."""
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    path.unlink(missing_ok=True)
    return Reply(
        bool(body["ok"]), str(body["message"]), str(body.get("remedy", "")), int(body.get("code", EXIT_FAILURE))
    )


def withdraw(private: Path, request_id: str) -> bool:
    """Takes a request back; False where it has been taken up already."""
    try:
        (private / REQUESTS / f"{request_id}.json").unlink()
    except FileNotFoundError:
        return False
    return True


def _write(path: Path, body: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(json.dumps(body).encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
