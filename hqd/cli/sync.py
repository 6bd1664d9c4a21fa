"""`hqd sync`: fetch, poll and push now, by the daemon or, where none runs, here."""

from __future__ import annotations

from hqd.cli.call import Call
from hqd.cli.words import word


def sync(call: Call, *, as_json: bool = False) -> int:
    """Prints what was found; 75 where origin or a forge cannot be had now."""
    return word(call, "sync", None, {}, as_json=as_json)
