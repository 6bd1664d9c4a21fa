"""An event as a commit message: `hqd: SLUG: STEP OUTCOME -> NEXT`, one line of why, and trailers.

Plain `git log` reads like a ledger. No value can forge a line or a trailer: everything is folded to one line, and
the line of why begins with a code of hqd's own.
"""

from __future__ import annotations

import re
from datetime import datetime

from hqd.codec.layout import slug_of
from hqd.model.record import EventKind, Record

MAX_SUBJECT = 160
MAX_VALUE = 500
_TRAILER = re.compile(r"([A-Za-z][A-Za-z0-9-]*): ?(.*)")


def message(record: Record, task: str, next_: str) -> str:
    """The whole commit message of one event. `next_` is a step, a state, or what else follows."""
    record = record.blinded() if record.audited else record
    result = record.outcome.value if record.outcome is not None else record.event.value
    what = f"{record.step} {result}" if record.step else result
    subject = _line(f"hqd: {slug_of(task)}: {what} -> {next_}", MAX_SUBJECT)
    parts = [subject]
    why = record.message or record.missing if record.failure is not None else record.missing or record.message
    if why:
        code = record.failure or record.reason or record.event
        parts.append(_line(f"{code.value}: {why}", MAX_VALUE))
    return "\n\n".join([*parts, "\n".join(f"{key}: {value}" for key, value in _trailers(record, task))]) + "\n"


def trailers(text: str) -> dict[str, str]:
    """The trailers of a commit message: its last paragraph, if that has trailers only. The first of a key counts."""
    paragraphs = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").strip())
    if len(paragraphs) < 2:
        return {}
    found: dict[str, str] = {}
    for line in paragraphs[-1].split("\n"):
        match = _TRAILER.fullmatch(line)
        if match is None:
            return {}
        found.setdefault(match[1], match[2].strip())
    return found


def _trailers(record: Record, task: str) -> list[tuple[str, str]]:
    usage = record.usage
    result = record.event is EventKind.FINISHED or record.outcome is not None
    claim = record.claim
    values: list[tuple[str, str | None]] = [
        ("Hqd-Event", record.event.value),
        ("Hqd-Task", task),
        ("Hqd-Step", record.step),
        ("Hqd-Attempt", None if record.attempt is None else str(record.attempt)),
        ("Hqd-Outcome", record.outcome.value if result and record.outcome is not None else None),
        ("Hqd-Pin", None if record.pin is None else str(record.pin)),
        ("Hqd-Agent", record.agent),
        ("Hqd-Model", record.model),
        ("Hqd-Tokens", str(usage.tokens) if usage is not None and usage.tokens else None),
        ("Hqd-Cost", dollars(usage.cost) if usage is not None and usage.cost is not None else None),
        ("Hqd-Gates", _gates(record) or None),
        ("Hqd-Claim", None if claim is None else f"{claim.nonce} {claim.host} {_time(claim.until)}"),
        ("Hqd-Via", None if record.via is None else record.via.value),
    ]
    return [(key, _line(value, MAX_VALUE)) for key, value in values if value]


def _gates(record: Record) -> str:
    return ", ".join(f"{gate.name}={gate.status.value}" for gate in record.gates if not gate.hidden)


def dollars(cost: float) -> str:
    """Dollars to the millionth, without idle zeros: `0.0123`."""
    return f"{cost:.6f}".rstrip("0").rstrip(".") or "0"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(text: str, limit: int) -> str:
    """One line: whatever git, a terminal or a parser could take for the end of it becomes a space."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(printable.encode("utf-8", "replace").decode("utf-8").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
