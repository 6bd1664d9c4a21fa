"""Tells a person what happens, one line after the other: styled and asking on a terminal, plain lines otherwise."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from hqd.model.problem import one_line

INDENT = "   "
WIDEST = 110  # columns; longer lines are hard to follow


class Teller:
    """Knows nothing of what it tells. Nothing that agents or files say can steer the terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self.on_terminal = self._console.is_terminal
        self.asks = self.on_terminal and sys.stdin.isatty()

    def chapter(self, title: str) -> None:
        """A heading after an empty line."""
        self._print("")
        self._print(title, "bold")

    def say(self, text: str, style: str = "", *, indent: str = INDENT) -> None:
        """One paragraph: wrapped on a terminal, one line elsewhere."""
        line = one_line(text)
        if not self.on_terminal:
            self._print(indent + line)
            return
        width = min(WIDEST, shutil.get_terminal_size().columns)
        for part in textwrap.wrap(line, max(40, width), initial_indent=indent, subsequent_indent=indent) or [""]:
            self._print(part, style)

    def show(self, lines: Iterable[str], style: str = "dim", *, indent: str = INDENT + "│ ") -> None:
        """Text as it stands in a file or was printed by a command; of a difference, what was added is green."""
        for line in lines:
            added = line.startswith("+") and not line.startswith("+++")
            self._print(indent + one_line(line), "green" if added else style)

    def command(self, words: str) -> None:
        """A command, as it is run now."""
        self._print(f"{INDENT}$ {one_line(words)}", "cyan")

    def wait(self, what: str) -> None:
        """On a terminal: goes on when the person presses Enter."""
        if not self.asks:
            return
        try:
            self._console.input(Text(f"{INDENT}[Enter] {what} ", style="bold yellow"))
        except EOFError:
            self._print("")

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))
