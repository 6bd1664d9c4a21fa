"""How a program that a gate or a `run` step started has ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """`exit` is negative for a signal, as in `subprocess`. Output is what was kept of it; `capped`: there was more.

    `written`: what it wrote to the file that it was given; None: nothing.
    """

    exit: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    stopped: bool = False
    capped: bool = False
    written: bytes | None = None
