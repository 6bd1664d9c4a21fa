"""The port Programs over the one door that starts processes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from hqd.adapters import process
from hqd.adapters.written import written_to
from hqd.model.program import Ran

MAX_OUTPUT = 1_000_000
"""Bytes that are kept of what a program prints, and of what it writes to its file."""


class LocalPrograms:
    """Programs on this machine, in a session of their own, killed whole at the deadline."""

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        timeout: float,
        stop: threading.Event | None,
        file: Path | None = None,
    ) -> Ran:
        """See `ports.Programs`. Raises process.CannotStart."""
        ended = process.run(argv, env=env, timeout=timeout, cwd=cwd, stop=stop, max_stdout=MAX_OUTPUT)
        return Ran(
            exit=ended.exit,
            stdout=ended.stdout,
            stderr=ended.stderr,
            timed_out=ended.timed_out,
            stopped=ended.stopped,
            capped=ended.capped,
            written=written_to(file, MAX_OUTPUT) if file is not None else None,
        )
