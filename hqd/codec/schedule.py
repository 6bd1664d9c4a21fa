"""`workspace/schedules/NAME.toml`: up to when the schedule of playbook NAME is settled. Written by hqd, committed.

Main's tree is where it survives: a clone knows what was dropped, and a restart drops nothing twice, as a task and
this file come in one commit. A changed cron line or time zone begins anew from now.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from typing import Any

import tomli_w

from hqd.model.playbook import Schedule


def read_until(data: bytes, schedule: Schedule) -> datetime | None:
    """Up to when it is settled; None where the file is of another schedule, or is not to be read."""
    try:
        table: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None
    until = table.get("until")
    same = (table.get("cron"), table.get("tz")) == (schedule.cron, schedule.tz)
    return until.astimezone(UTC) if same and isinstance(until, datetime) and until.tzinfo is not None else None


def write_until(schedule: Schedule, until: datetime) -> bytes:
    head = "# Written by hqd: up to when this schedule is settled. Delete and commit to begin anew from now.\n"
    table = {"cron": schedule.cron, "tz": schedule.tz, "until": until.astimezone(UTC)}
    return (head + tomli_w.dumps(table)).encode()
