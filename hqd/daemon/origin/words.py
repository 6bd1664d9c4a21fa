"""What people are told of origin: a line when something begins or ends, and the facts that `hqd status` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hqd.daemon.origin.line import SLOW, Call, Fault, News
from hqd.errors import joined

_MOST_LEFT = 50


class Words:
    """Says each thing once, by `note`. `url`: origin, for people."""

    def __init__(self, url: str, note: Callable[[str], None]) -> None:
        self._url, self._note = url, note
        self._fault: Fault | None = None
        self._slow: Call | None = None

    def hear(self, fault: Fault | None, slow: Call | None, *, goes_on: bool) -> None:
        """What stands now. `goes_on`: work needs no origin."""
        before, self._fault = self._fault, fault
        if fault is not None and (before is None or before.kind != fault.kind):
            follows = "work goes on" if goes_on else "nothing is claimed until it is back"
            self._note(joined(f"origin: {fault.message}", follows))
        elif fault is None and before is not None:
            self._note("origin is there again")
        if slow is not None and slow != self._slow:
            self._note(f"origin: {self._under_way(slow)} for {SLOW:.0f} s; it is waited for")
        self._slow = slow or self._slow

    def facts(self, news: News, slow: Call | None, why: str, left: Sequence[str]) -> dict[str, Any]:
        """`why`: what keeps main from being brought in line."""
        fault = news.fault
        waits = f"{self._under_way(slow)} since {slow.since:%H:%M:%S} UTC" if slow is not None else ""
        said = "; ".join(part for part in (fault.message if fault is not None else why, waits) if part)
        return {
            "url": self._url,
            "fetched": news.fetched.isoformat(timespec="seconds") if news.fetched is not None else None,
            "trouble": fault.kind if fault is not None else None,
            "message": said,
            "trouble_since": fault.since.isoformat(timespec="seconds") if fault is not None else None,
            "left_out": list(left[-_MOST_LEFT:]),
        }

    def _under_way(self, call: Call) -> str:
        return f"a {call.verb} {'to' if call.verb == 'push' else 'from'} {self._url} has been under way"


def advice(fault: Fault, url: str) -> str:
    """What a hold for this fault says."""
    if fault.kind == "policy":
        return (
            f"{url} refuses pushes to main ({fault.message}): let hqd push to it, or keep the HQ in a repository of its"
            " own with an unprotected main, and the work in [repos.NAME]"
        )
    return joined(fault.message, fault.remedy, ": ")
