"""How main stands to origin, read from git and from what the daemon last said. Asks nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hqd.adapters.mainline import AGREED, NAME, SAID
from hqd.adapters.remote import FETCHED
from hqd.adapters.repository import GitRepository
from hqd.cli import terminal


def origin_facts(repo: GitRepository) -> dict[str, Any] | None:
    """For --json; None where this HQ follows no origin.

    `ahead`, `behind`: commits that the other side lacks, as of the last fetch (`fetched`); `since`: when the oldest
    unpushed commit was made; `trouble`: down, credentials, missing, policy, or nothing.
    """
    there = repo.resolve(f"{FETCHED}{NAME}/{repo.branch}")
    said = _said(repo)
    if there is None and not said:
        return None
    ahead, behind = _counts(repo, there) if there is not None else (0, 0)
    return {
        "url": said.get("url"),
        "ahead": ahead,
        "behind": behind,
        "since": _oldest(repo, there) if ahead and there is not None else None,
        "fetched": said.get("fetched"),
        "trouble": said.get("trouble"),
        "message": said.get("message") or "",
        "left_out": said.get("left_out") or [],
        "agreed": repo.resolve(AGREED),
    }


def origin_line(facts: dict[str, Any], now: datetime) -> str:
    """One line for people; empty where main is in line and nothing is wrong."""
    parts = []
    if facts["ahead"]:
        since = datetime.fromisoformat(facts["since"]) if facts["since"] else None
        age = f" since {terminal.age(since, now)}" if since is not None else ""
        parts.append(f"{facts['ahead']} commit{'s' * (facts['ahead'] > 1)} not pushed{age}")
    if facts["behind"]:
        parts.append(f"{facts['behind']} commit{'s' * (facts['behind'] > 1)} behind")
    if facts["message"]:
        parts.append(str(facts["message"]))
    if facts["left_out"]:
        parts.append(f"{len(facts['left_out'])} of hqd's own left out, the last: {facts['left_out'][-1]}")
    return f"origin: {'; '.join(parts)}" if parts else ""


def _said(repo: GitRepository) -> dict[str, Any]:
    try:
        found = json.loads((repo.private / SAID).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _counts(repo: GitRepository, there: str) -> tuple[int, int]:
    span = f"{there}...{repo.ref}"
    text = repo.git.quick("rev-list", "--count", "--left-right", span, codes=(0, 128)).text.split()
    return (int(text[1]), int(text[0])) if len(text) == 2 else (0, 0)


def _oldest(repo: GitRepository, there: str) -> str | None:
    lines = repo.git.quick("log", "--format=%ct", f"{there}..{repo.ref}", codes=(0, 128)).text.split()
    return datetime.fromtimestamp(min(int(line) for line in lines), UTC).isoformat() if lines else None
