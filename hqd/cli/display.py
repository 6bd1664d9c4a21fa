"""What the daemon shows: a live screen on a terminal, one structured line per event otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hqd.cli import terminal
from hqd.daemon.batch import Written
from hqd.model.names import slug_of
from hqd.model.problem import one_line
from hqd.model.record import EventKind
from hqd.model.task import State

_STYLES = {
    State.DONE: "green",
    State.BLOCKED: "red",
    State.REVIEW: "yellow",
    State.DROPPED: "dim",
    State.ACTIVE: "cyan",
}
_QUIET_EVENTS = frozenset({EventKind.CLAIMED})

Row = tuple[str, str, int, str, float]


def line(written: Written, commit: str) -> str:
    """One event as `key=value` words: for journals, grep and people."""
    event = written.event.blinded() if written.event.audited else written.event
    words = [f"event={event.event.value}"]
    if written.after is not None:
        words += [f"task={written.after.id}", f"state={event.to.value}"]
    if written.hold is not None:
        words += [f"hold={written.hold.name}", f"on={written.hold.on}"]
    for key in ("step", "attempt", "agent", "outcome", "failure", "reason"):
        value = getattr(event, key)
        if value is not None:
            words.append(f"{key}={value}")
    if event.usage is not None and event.usage.cost is not None:
        words.append(f"cost={event.usage.cost:.4f}")
    said = event.missing or event.message
    if said:
        words.append("message=" + _quoted(said))
    return " ".join([*words, f"commit={commit[:12]}"])


def _quoted(text: str) -> str:
    clean = one_line(text)[:300].replace('"', "'")
    return f'"{clean}"'


class Lines:
    """One line per event on standard output, notes too; what systemd's journal gets."""

    def __init__(self, *, stamps: bool) -> None:
        self._stamps = stamps

    def committed(self, written: Sequence[Written], commits: Sequence[str]) -> None:
        for each in written:
            self._print(line(each, commits[each.place] if commits else ""))

    def note(self, text: str) -> None:
        self._print("note=" + _quoted(text))

    def doing(self, rows: Sequence[Row], waiting: int) -> None:
        """Progress is for screens."""

    def close(self) -> None:
        """Nothing is held."""

    def _print(self, text: str) -> None:
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} " if self._stamps else ""
        sys.stdout.write(f"{stamp}{text}\n")
        sys.stdout.flush()


class Screen:
    """Events scroll by; below them stands what is in flight."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._shown = 0.0

    def committed(self, written: Sequence[Written], commits: Sequence[str]) -> None:
        for each in written:
            if each.event.event not in _QUIET_EVENTS:
                self._live.console.print(_pretty(each))

    def note(self, text: str) -> None:
        self._live.console.print(Text(f"  {one_line(text)}", style="yellow"))

    def doing(self, rows: Sequence[Row], waiting: int) -> None:
        if time.monotonic() - self._shown < 0.1:
            return
        self._shown = time.monotonic()
        table = Table.grid(padding=(0, 2))
        for task, step, attempt, doing, seconds in rows[:12]:
            table.add_row("  ▸", Text(slug_of(task)), Text(step), f"attempt {attempt}", Text(doing), f"{seconds:.0f} s")
        if len(rows) > 12:
            table.add_row("", f"and {len(rows) - 12} more")
        table.add_row("", Text(f"{len(rows)} running, {waiting} waiting · Ctrl-C ends hqd", style="dim"))
        self._live.update(table, refresh=True)

    def close(self) -> None:
        self._live.update(Text(""), refresh=True)
        self._live.stop()


def _pretty(written: Written) -> Text:
    event = written.event.blinded() if written.event.audited else written.event
    text = Text(f"{event.at.astimezone():%H:%M:%S}  ", style="dim")
    if written.hold is not None:
        lifted = event.event is EventKind.LIFTED
        text.append(f"{written.hold.on} {event.event.value}: ", style="bold green" if lifted else "bold red")
        return text.append(one_line(f"{event.message} ({event.by})" if lifted else written.hold.missing))
    name = slug_of(written.after.id) if written.after is not None else ""
    text.append(f"{name if len(name) <= 34 else name[:33] + '…':<34} ", style="bold")
    what = " ".join(str(part) for part in (event.step, event.outcome or event.event) if part is not None)
    failed = event.failure is not None
    text.append(f"{what:<26}", style="red" if failed else _STYLES.get(event.to, "default"))
    text.append(f" → {event.to.value}", style=_STYLES.get(event.to, "default"))
    said = event.missing or event.message
    if said:
        text.append(f"\n{'':10}{one_line(said)[:200]}", style="dim")
    return text


def for_terminal(*, service: bool) -> Lines | Screen:
    """A screen where a person looks on, lines otherwise; the journal stamps its own time."""
    console = terminal.console()
    return Screen(console) if terminal.redraws(sys.stdout) and not service else Lines(stamps=not service)
