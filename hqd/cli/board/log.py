"""`hqd log`: main's history as a ledger, one line for each event, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hqd.cli import terminal
from hqd.cli.board.finding import find
from hqd.cli.board.reading import View, view
from hqd.cli.call import Call
from hqd.codec import layout
from hqd.codec.message import trailers
from hqd.errors import EXIT_OK
from hqd.model.names import slug_of

FORMAT = "%H%x1f%ct%x1f%an%x1f%B"


def log(call: Call, name: str | None, *, limit: int, as_json: bool) -> int:
    """Prints at most `limit` events (0: all), of one task or of all."""
    with view(call) as seen:
        found = list(_events(seen, name, limit))
        if as_json:
            terminal.data({"events": found})
        else:
            terminal.rows(("WHEN", "COMMIT", "TASK", "EVENT", "WHAT"), [_cells(event) for event in found])
    return EXIT_OK


def _events(seen: View, name: str | None, limit: int) -> Iterator[dict[str, Any]]:
    args = ["log", "--first-parent", "-z", f"--format={FORMAT}", "--extended-regexp", "--grep=^Hqd-(Event|Via): "]
    paths: tuple[str, ...] = ()
    if name is not None:
        paths = (layout.runs_folder(find(seen, name).id),)
    if limit:
        args.append(f"--max-count={limit}")
    text = seen.repo.git.read(*args, seen.tree.commit, "--", *paths).text
    for entry in text.split("\0"):
        if entry.strip():
            yield event_of(entry)


def event_of(entry: str) -> dict[str, Any]:
    """One commit as --json has it, from its message alone."""
    commit, moment, author, message = entry.split("\x1f", 3)
    known = trailers(message)
    attempt, cost, tokens = (known.get(f"Hqd-{key}", "") for key in ("Attempt", "Cost", "Tokens"))
    return {
        "commit": commit.strip(),
        "at": datetime.fromtimestamp(int(moment), UTC).isoformat(),
        "by": author,
        "subject": message.split("\n", 1)[0],
        "event": known.get("Hqd-Event"),
        "task": known.get("Hqd-Task"),
        "step": known.get("Hqd-Step"),
        "attempt": int(attempt) if attempt.isdigit() else None,
        "outcome": known.get("Hqd-Outcome"),
        "agent": known.get("Hqd-Agent"),
        "model": known.get("Hqd-Model"),
        "tokens": int(tokens) if tokens.isdigit() else None,
        "cost_usd": _number(cost),
        "gates": known.get("Hqd-Gates"),
        "via": known.get("Hqd-Via"),
        "message": _why(message),
    }


def _why(message: str) -> str | None:
    """The line between subject and trailers."""
    paragraphs = message.strip().split("\n\n")
    return paragraphs[1] if len(paragraphs) > 2 else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cells(event: dict[str, Any]) -> list[str]:
    subject = str(event["subject"]).removeprefix("hqd: ")
    slug = slug_of(event["task"]) if event["task"] else ""
    what = subject.removeprefix(f"{slug}: ")
    return [
        f"{datetime.fromisoformat(event['at']).astimezone():%m-%d %H:%M:%S}",
        str(event["commit"])[:9],
        slug,
        event["event"] or "",
        terminal.cut(what + (f"  ({event['message']})" if event["message"] else ""), 300),
    ]
