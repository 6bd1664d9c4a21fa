"""`workspace/autonomy/NAME.toml`: full review of playbook NAME is restored, and why. Written by hqd, committed.

It is in force for as long as it is there: a person who has mended the cause removes it.
"""

from __future__ import annotations

import tomllib
from datetime import datetime

import tomli_w

from hqd.codec import layout
from hqd.model.change import Transition
from hqd.model.problem import one_line

MOST = 500


def restoring(playbook: str, why: str, task: str, at: datetime) -> Transition:
    """The commit that brings full review back."""
    text = one_line(" ".join(why.split()))[:MOST]
    body = {"playbook": playbook, "restored": at, "task": task, "why": text}
    told = "remove this file (and commit) when the cause is mended; until then people are asked for every review"
    data = f"# {told}\n".encode() + tomli_w.dumps(body).encode("utf-8", "replace")
    subject = f"hqd: {playbook}: full review restored"
    return Transition(message=f"{subject}\n\n{text}\n", at=at, writes=((layout.autonomy_path(playbook), data),))


def read_restored(data: bytes) -> tuple[str, str] | None:
    """(playbook, why); None for what is no such file."""
    try:
        known = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    playbook, why, at = known.get("playbook"), known.get("why", ""), known.get("restored")
    if not isinstance(playbook, str) or not isinstance(why, str):
        return None
    since = f" since {at:%Y-%m-%d %H:%M} UTC" if isinstance(at, datetime) else ""
    return playbook, f"all of its work is reviewed{since}: {one_line(why)[:MOST]}"
