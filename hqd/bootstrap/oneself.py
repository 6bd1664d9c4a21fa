"""Commands that the daemon lets a process of its own do: what reads all of history has no place beside the loop."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hqd
from hqd.adapters import process
from hqd.adapters.environment import for_oneself
from hqd.errors import Expected

PATIENCE = 900.0
"""Seconds that such a command may take."""


def asking(root: Path, env: Mapping[str, str], words: Sequence[str]) -> Callable[[threading.Event], Mapping[str, Any]]:
    """Runs `hqd WORDS` over the HQ and gives its JSON. Raises Expected for what it says on failure."""
    checkout = Path(hqd.__file__).resolve().parents[1]
    own = {} if checkout.name in ("site-packages", "dist-packages") else {"PYTHONPATH": str(checkout)}

    def ask(stop: threading.Event) -> Mapping[str, Any]:
        argv = (sys.executable, "-m", "hqd", "--hq", str(root), *words)
        done = process.run(argv, env={**for_oneself(env), **own}, timeout=PATIENCE, cwd=root, stop=stop)
        try:
            told = json.loads(done.stdout) if done.ok else None
        except ValueError:
            told = None
        if not isinstance(told, dict):
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[-300:]
            raise Expected(f"hqd {' '.join(words)}: {said or 'no answer'}")
        return told

    return ask
