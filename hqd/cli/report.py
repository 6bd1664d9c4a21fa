"""`hqd report recovery`: what each rung of the ladders is worth, from records alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.finding import every_task, told
from hqd.cli.reading import View, view
from hqd.core.report_recovery import Row, recovery
from hqd.errors import EXIT_OK, Usage
from hqd.model.record import Record

SCHEMA_VERSION = 1


def report_recovery(call: Call, *, since: str | None, as_json: bool) -> int:
    """Prints per failure class and rung: tried, accepted, cost; names the rungs that never help."""
    begin = _day(since)
    with view(call) as seen:
        rows = recovery(_stories(seen, begin))
    never = [row for row in rows if row.never]
    if as_json:
        terminal.data({"schema_version": SCHEMA_VERSION, "since": since, "rungs": [_facts(row) for row in rows]})
        return EXIT_OK
    if not rows:
        terminal.title("no failed attempt was tried again yet" + (f" since {since}" if since else ""))
        return EXIT_OK
    heads = ("class", "rung", "tried", "accepted", "95 % interval", "cost")
    terminal.rows(heads, [_cells(row) for row in rows])
    for row in never:
        terminal.title(f"{row.rung} after {row.failure} has never helped: 0 of {row.tried}, at most {row.high:.0%}")
    return EXIT_OK


def _stories(seen: View, begin: datetime | None) -> Iterator[tuple[Record, ...]]:
    """The records of every task with anything since `begin`; a task that began before is told from there on."""
    for task in every_task(seen.tree):
        records = told(seen.tree, task).records
        yield tuple(record for record in records if begin is None or record.at >= begin)


def _facts(row: Row) -> dict[str, Any]:
    return {
        "failure": row.failure,
        "rung": row.rung,
        "tried": row.tried,
        "accepted": row.accepted,
        "interval": [round(row.low, 4), round(row.high, 4)],
        "cost_usd": row.cost,
        "never_helps": row.never,
    }


def _cells(row: Row) -> list[str]:
    cost = terminal.dollars(row.cost) or "$0"
    return [row.failure, row.rung, str(row.tried), str(row.accepted), f"{row.low:.0%} to {row.high:.0%}", cost]


def _day(text: str | None) -> datetime | None:
    """Midnight UTC of a day as people write it. Raises Usage."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as fault:
        raise Usage(f"{text!r} is no day", remedy="write it as 2026-11-22") from fault
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
