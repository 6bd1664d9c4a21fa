"""Lessons: backtests over a whole history, how right its labels are, and whether the figures are honest.

`history` is a generated HQ of 10,000 tasks and some 40,000 attempts, made by real git acts with every fault and every
opinion known: seconds of `hqd backtest` with one program gate over all of it, cold (no index) and warm, as a person
would call it; labels against what people thought. `honesty`: intervals against the truth and coin-flip gates let in
over 500 small histories for each of five seeds; lessons of known precision against admission. `scar`: the scar-tissue
curve on recorded answers, where the data is there.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import lessons_honesty, lessons_replay, lessons_scar
from bench.lessons_history import Made, environment, make
from hqd.adapters.archive import FILE, GitArchive
from hqd.adapters.repository import GitRepository

GATE = ("--kind", "must_not_include", "--set", "values=TODO")
WARM = 3
TARGETS = {
    "cold_s": 10.0,
    "warm_s": 1.0,
    "decided": 0.95,
    "right": 0.99,
    "covered": 0.93,
    "coins_let_in": 0.05,
}


def run(quick: bool) -> dict[str, Any]:
    """quick: 300 tasks, and a fifth of the small histories."""
    place = Path(tempfile.mkdtemp(prefix="hqd-bench-"))
    try:
        made = make(place / "hq", tasks=300 if quick else 10_000)
        history = {
            "tasks": made.tasks,
            "attempts": made.attempts,
            "events": made.events,
            **backtests(made.root),
            **labels(made),
            "replay": lessons_replay.measure(made.root),
        }
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {
        "history": history,
        "honesty": lessons_honesty.run(quick),
        "scar": lessons_scar.curve(quick),
        "targets": TARGETS,
    }


def backtests(root: Path) -> dict[str, Any]:
    """Seconds, and seconds of CPU (git's included), of a whole call of `hqd backtest`."""
    (root / ".hqd" / FILE).unlink(missing_ok=True)
    cold, first = _call(root)
    warm = sorted((_call(root) for _ in range(WARM)), key=lambda each: each[0]["s"])
    return {"cold": cold, "warm": warm[WARM // 2][0], "same_numbers": all(each[1] == first for each in warm)}


def _call(root: Path) -> tuple[dict[str, float], bytes]:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    argv = [sys.executable, "-m", "hqd", "--hq", str(root), "backtest", *GATE, "--json"]
    env = environment() | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(argv, check=True, capture_output=True, env=env, cwd=root)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": round(seconds, 2), "cpu_s": round(cpu, 2), "load": round(os.getloadavg()[0], 1)}, done.stdout


def labels(made: Made) -> dict[str, Any]:
    """How many of the outputs that a person saw have a label, and how many of these are what the person thought."""
    repository = GitRepository.open(made.root, environment())
    try:
        cases = GitArchive(repository).corpus(None, 14.0).cases
    finally:
        repository.close()
    found = {(case.task, case.n): case.label for case in cases}
    decided = [key for key in made.truth if found[key].decided]
    right = sum(found[key].value == made.truth[key] for key in decided)
    unseen = sum(label.decided for key, label in found.items() if key not in made.truth)
    return {
        "seen": len(made.truth),
        "decided": len(decided) / len(made.truth),
        "right": right / len(decided),
        "decided_though_unseen": unseen,
    }


def show(result: Mapping[str, Any]) -> str:
    """The tables for people."""
    history, honest = result["history"], result["honesty"]
    lines = [
        f"  {history['tasks']} tasks, {history['attempts']} attempts, {history['events']} events",
        f"  cold {history['cold']}  warm {history['warm']}  same numbers: {history['same_numbers']}",
        f"  seen {history['seen']}: decided {history['decided']:.2%}, right {history['right']:.2%}",
        *_covered(honest["coverage"]),
        "  precision  base   strict fpr  let in  better than chance",
    ]
    lines += [
        f"  {row['precision']:9.3f}  {row['base']:.3f}  {row['strict_fpr']:10.4f}  {row['let_in']:6.2f}"
        f"  {row['better_than_chance']:18.2f}"
        for row in honest["planted"]
    ]
    return "\n".join([*lines, *_scar(result["scar"])])


def _covered(found: Mapping[str, Any]) -> list[str]:
    rows = {"all": found, **found["seeds"]}
    return [f"  covered, seed {name}: {each['covered']}, coins {each['coins_let_in']}" for name, each in rows.items()]


def _scar(found: Mapping[str, Any]) -> list[str]:
    if "skipped" in found:
        return [f"  scar tissue: {found['skipped']}"]
    windows = found["windows"].items()
    rows = [
        f"  escapes in the {name} {found['window']}: {each['lessons']['mean']} with lessons, "
        f"{each['control']['mean']} without, {each['below_control']:.0%} below"
        for name, each in windows
    ]
    return [*rows, f"  good outputs stopped: {found['false_positives']}"]
