"""Where commands print. Calm tables on a terminal, plain aligned text otherwise, one JSON object with --json.

Law: nothing that people, agents or files say can steer the terminal; every cell is folded to one line first.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from hqd.model.problem import one_line

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1
Row = Sequence[str]


def say(text: str = "") -> None:
    """One line."""
    sys.stdout.write(one_line(text) + "\n")


def remark(text: str) -> None:
    """One line for a person that is no part of the answer, so that a pipe carries the answer alone."""
    sys.stderr.write(one_line(text) + "\n")


def block(text: str) -> None:
    """Text of several lines; what could steer a terminal is made visible."""
    for line in text.splitlines():
        say(line)


def raw(data: bytes) -> None:
    """Bytes as they are: for pipes and files. A terminal gets them made harmless."""
    if sys.stdout.isatty():
        block(data.decode("utf-8", "replace"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def data(value: Mapping[str, Any]) -> None:
    """One JSON object, with the version of its shape first."""
    body = {"schema_version": SCHEMA_VERSION, **value}
    sys.stdout.write(json.dumps(body, indent=2, ensure_ascii=False, default=_plain) + "\n")


_DUMB = ("dumb", "unknown")


def plain() -> bool:
    """Whether the person wants no styles (https://no-color.org), or the terminal cannot show them."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in _DUMB


def redraws(stream: TextIO) -> bool:
    """Whether what was written there can be written over."""
    return stream.isatty() and os.environ.get("TERM") not in _DUMB


def console(**more: Any) -> Console:
    """rich's console, which by itself keeps bold and dim under NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False, **(more | ({"color_system": None} if plain() else {})))


def answer(facts: Mapping[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """What a command has done: lines for people, or the same as one JSON object."""
    if as_json:
        data(facts)
        return
    for line in lines:
        say(line)


def rows(heads: Row, body: Sequence[Row], indent: int = 0) -> None:
    """A table whose last column takes what is left: wrapped on a terminal, in full otherwise."""
    clean = [[one_line(cell) for cell in row] for row in body]
    if not clean:
        return
    if sys.stdout.isatty():
        _rich(heads, clean, indent)
        return
    sys.stdout.write(aligned(heads, clean, indent))


def aligned(heads: Row, body: Sequence[Row], indent: int = 0) -> str:
    """The table as plain text; `heads` empty: none are shown."""
    shown = [list(heads), *body] if heads else list(body)
    columns = max(len(row) for row in shown)
    widths = [max((len(row[place]) for row in shown if place < len(row)), default=0) for place in range(columns)]
    lines = []
    for row in shown:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return "\n".join(lines) + "\n"


def _rich(heads: Row, body: Sequence[Row], indent: int) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=bool(heads), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    columns = max(len(row) for row in body)
    for place in range(columns):
        last = place == columns - 1
        table.add_column(heads[place] if heads else "", no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    console().print(Padding(table, (0, 0, 0, indent)))


def title(text: str) -> None:
    """A heading: bold on a terminal."""
    if sys.stdout.isatty() and not plain():
        sys.stdout.write(f"\x1b[1m{one_line(text)}\x1b[0m\n")
    else:
        say(text)


def width() -> int:
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 10_000


def cut(text: str, limit: int) -> str:
    """One line of at most `limit` characters."""
    line = one_line(text)
    return line if len(line) <= limit else line[: max(0, limit - 1)] + "…"


@contextmanager
def spinner(text: str) -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is waited for; nothing elsewhere. What is yielded takes other words for it."""
    if not redraws(sys.stderr):
        yield lambda words: None
        return
    done, shown = threading.Event(), [text]

    def turn() -> None:
        place = 0
        while not done.wait(0.12):
            sys.stderr.write(f"\r{'⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'[place % 10]} {one_line(shown[0])} \x1b[K")
            sys.stderr.flush()
            place += 1

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield lambda words: shown.__setitem__(0, words)
    finally:
        done.set()
        thread.join()
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def age(since: datetime | None, now: datetime) -> str:
    """`42s`, `7m`, `3h`, `5d`; empty where it is not known."""
    if since is None:
        return ""
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def dollars(cost: float | None) -> str:
    """`$0.0123`; empty where it is not known, or nothing."""
    if not cost:
        return ""
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.4f}"


def _plain(value: object) -> object:
    """What JSON lacks: times as ISO 8601, everything else by its text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
