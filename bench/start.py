"""What each command costs before its own work: processor seconds of whole processes, on an HQ with next to nothing.

The HQ has one task and the least settings, so that nearly all of a command is starting Python and importing. Commands
take turns, round by round, so that a machine that slows down slows all of them. The first round is not counted: it
compiles, and checks the rules, which the board then remembers.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NOTHING, LIBRARIES = "python -c pass", "import typer, pydantic"
COMMANDS = (
    "--help",
    "add --title Names --text Short.",
    "log",
    "status",
    "show tea",
    "why tea",
    "check",
    "gate --kind word_count --set min=1 hqd.toml",
    "context tea work",
    "lessons list",
    "lessons check",
    "backtest --kind word_count --set min=1",
    "report",
    "doctor",
    "pause",
    "approve tea --no-wait",
    "retry tea --no-wait",
)


def run(quick: bool) -> dict[str, Any]:
    rounds = 2 if quick else 9
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "hq"
        for words in (f"init --minimal --agent none {root}", f"--hq {root} add --title Tea", f"--hq {root} pause"):
            subprocess.run(
                [sys.executable, "-m", "hqd", *words.split()], env=env, check=True, stdout=subprocess.DEVNULL
            )
        calls = {
            NOTHING: [sys.executable, "-c", "pass"],
            LIBRARIES: [sys.executable, "-c", LIBRARIES],
            **{f"hqd {words}": [sys.executable, "-m", "hqd", *words.split()] for words in COMMANDS},
        }
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for count in range(rounds + 1):
            for name, argv in calls.items():
                seconds = processor_seconds(argv, root, env)
                if count:
                    spent[name].append(seconds)
    return {
        "rounds": rounds,
        "cpu_s": {name: round(statistics.median(times), 3) for name, times in spent.items()},
        "fastest_cpu_s": {name: round(min(times), 3) for name, times in spent.items()},
    }


def processor_seconds(argv: list[str], root: Path, env: dict[str, str]) -> float:
    """User and system time of one process and of what it waited for, git included. Its exit code does not matter."""
    nothing = subprocess.DEVNULL
    before = os.times()
    subprocess.run(argv, cwd=root, env=env, check=False, stdin=nothing, stdout=nothing, stderr=nothing)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def show(result: dict[str, Any]) -> str:
    rows = [f"{'':<52}{'median':>8}{'least':>8}   processor seconds, {result['rounds']} rounds"]
    rows += [
        f"{name:<52}{median:>8.3f}{result['fastest_cpu_s'][name]:>8.3f}" for name, median in result["cpu_s"].items()
    ]
    return "\n".join(rows)
