"""Tells a person what happens, one line after the other: styled and asking on a terminal, plain lines otherwise."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

from rich.text import Text

from hqd.cli.terminal import console
from hqd.model.problem import one_line

INDENT = "   "
WIDEST = 110  # columns; longer lines are hard to follow


class Teller:
    """Knows nothing of what it tells. Nothing that agents or files say can steer the terminal."""

    def __init__(self) -> None:
        self._console = console(soft_wrap=True)
        self.on_terminal = self._console.is_terminal
        self.asks = self.on_terminal and sys.stdin.isatty()

    def chapter(self, title: str) -> None:
        """A heading after an empty line."""
        self._print("")
        self._print(title, "bold")

    def say(self, text: str, style: str = "", *, indent: str = INDENT) -> None:
        """One paragraph: wrapped on a terminal, one line elsewhere."""
        for part in self._wrapped(one_line(text), indent):
            self._print(indent + part, style)

    def show(self, lines: Iterable[str], style: str = "dim", *, indent: str = INDENT + "│ ") -> None:
        """Text as it stands in a file or was printed by a command; of a difference, what was added is green."""
        for line in lines:
            added = line.startswith("+") and not line.startswith("+++")
            for part in self._wrapped(one_line(line), indent):
                self._print(indent + part, "green" if added else style)

    def command(self, words: str) -> None:
        """A command, as it is run now."""
        self._print(f"{INDENT}$ {one_line(words)}", "cyan")

    def wait(self, what: str) -> None:
        """On a terminal: goes on when the person presses Enter. `what`: what happens then."""
        if not self.asks:
            return
        try:
            self._console.input(Text(f"{INDENT}Enter: {what} ", style="bold yellow"))
        except EOFError:
            self._print("")

    def _wrapped(self, line: str, indent: str) -> list[str]:
        if not self.on_terminal:
            return [line]
        width = min(WIDEST, shutil.get_terminal_size().columns) - len(indent)
        own = " " * (len(line) - len(line.lstrip()))
        return textwrap.wrap(line, max(40, width), subsequent_indent=own) or [""]

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))
