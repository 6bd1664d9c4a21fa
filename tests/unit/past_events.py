"""Events of history by hand, as the archive would have read them."""

from __future__ import annotations

import json
from typing import Any

from hqd.model.corpus import Change, Past, PastEvent

DAY = 86_400.0
_EAGER = ("via", "step", "attempt", "playbook", "agent", "outcome", "failure", "reason", "output_blob")


class Line:
    """A first-parent line in the making: events and changes of files, one commit each."""

    def __init__(self) -> None:
        self.events: list[PastEvent] = []
        self.changes: list[Change] = []
        self.now = 0.0
        self._n: dict[str, int] = {}

    def event(
        self, kind: str, *, task: str = "t", was: str = "queue", to: str = "queue", by: str = "Ada", **said: Any
    ) -> int:
        self.now += 60
        self._n[task] = n = self._n.get(task, 0) + 1
        head = {name: said.pop(name, None) for name in _EAGER}
        order = len(self.events) + len(self.changes)
        self.events.append(
            PastEvent(
                order=order, commit=f"e{order}", task=task, n=n, event=kind, at=self.now, was=was, to=to, round=1,
                by=by, pin=None, model=None, output="o.md", cost=0.0, tokens=0, record="", record_blob="",
                rest=json.dumps(said), **head,
            )
        )  # fmt: skip
        return order

    def wrote(
        self, blob: str, step: str = "write", *, files: tuple[str, ...] = ("a.md",), task: str = "t", **said: Any
    ) -> None:
        work = {"base": "base", "head": f"head-{blob}", "files": list(files)} if files else {}
        fields: dict[str, Any] = {"agent": "worker", "outcome": "passed", "attempt": 1, "work": work, **said}
        self.event("finished", task=task, was="active", step=step, output_blob=blob, **fields)

    def opened(self, task: str = "t") -> None:
        self.event("review_opened", task=task, was="active", to="review", step="approve")

    def change(
        self, commit: str, path: str, before: str | None, after: str | None, *, reverts: tuple[str, ...] = (),
        work: str | None = None, later: float = 60.0,
    ) -> None:  # fmt: skip
        self.now += later
        order = len(self.events) + len(self.changes)
        self.changes.append(Change(order, commit, self.now, "Ben", "a change", reverts, work, ((path, before, after),)))

    def landed(
        self, blob: str | None, *, path: str = "a.md", task: str = "t", via: str | None = "cli", was: str = "review"
    ) -> str:
        """The commit that brings `blob`, and the event that says so."""
        commit = f"c{len(self.changes)}{task}"
        self.change(commit, path, None, blob, work=task)
        self.event("landed", task=task, was=was, via=via, by="Ada" if via else "hqd", landed=commit)
        return commit

    def past(self, last: int | None = None) -> Past:
        """Everything, or as of the commit of order `last`."""
        end = last if last is not None else len(self.events) + len(self.changes)
        return Past(
            "tip",
            [each for each in self.events if each.order <= end],
            [each for each in self.changes if each.order <= end],
            last=end,
        )
