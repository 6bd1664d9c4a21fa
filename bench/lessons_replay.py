"""Report, router replay and replay of decisions over a generated history: seconds, and that nothing differs by itself.

`measure(root)` is what `bench/lessons.py` calls with the root of a history by `bench/lessons_history.py`. Cold: no
`.hqd/` beside it. Commands run as processes of their own, as people run them; `cpu` is theirs with all that they start.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.lessons_history import environment
from hqd.cli.board.reading import view
from hqd.cli.call import Call
from hqd.cli.history.past import archive_of, many_values
from hqd.cli.history.replay import replayed, tried_of
from hqd.cli.history.retold import accepted
from hqd.core.report.facts import facts_of
from hqd.core.report.page import figures
from hqd.core.report.story import stories

TARGETS = {"report_cold_s": 10.0, "router_s": 20.0}
ROUTER = 'accepts = { when = "task.text|length % 2 == 0" }'
"""A rule that takes every other task: each is asked for, none by luck."""


def measure(root: Path) -> dict[str, Any]:
    """All figures of one history."""
    return {
        "targets": TARGETS,
        "tasks": _events(root)[0],
        "events": _events(root)[1],
        "report": report_times(root),
        "router": router_time(root),
        "decisions": decisions_time(root),
    }


def report_times(root: Path) -> dict[str, Any]:
    """`hqd report`: cold, warm, and as html; and how much of the warm one is the figures themselves."""
    shutil.rmtree(root / ".hqd", ignore_errors=True)
    found = {"cold": _command(root, "report", "--format", "json")}
    found["warm"] = _command(root, "report", "--format", "json")
    found["html"] = _command(root, "report", "--format", "html")
    with view(_call(root)) as seen, many_values():
        archive = archive_of(seen)
        past, cases = archive.past(seen.tree.commit), archive.corpus(seen.tree.commit).cases
        found["figures_only"] = _timed(lambda: figures(stories(facts_of(past.events), cases), without=True))
    return found


def router_time(root: Path) -> dict[str, Any]:
    """Where every task would have gone under another `accepts`: with all of history read from a warm index."""
    with view(_call(root)) as seen:
        archive_of(seen).past(seen.tree.commit)
        text = ROUTER + "\n" + _playbook(root, "memo")

        def ask() -> Mapping[str, Any]:
            with ExitStack() as stack:
                tried = tried_of(text.encode(), "memo.toml", root / "playbooks")
                routing = replayed(_call(root), seen, tried, None, stack, walks=False).routing
            return {"tasks": routing.tasks, "moved": len(routing.moved), "unexplained": routing.unexplained}

        return _timed(ask)


def decisions_time(root: Path) -> dict[str, Any]:
    """Every decision of every task again, under the playbook of then; `different` and the sums must be nothing."""
    rows = {}
    for name in ("article", "brief", "note", "patch", "memo"):
        file = root / "playbooks" / f"{name}.toml"
        took = _command(root, "replay", "--playbook", str(file), "--json", keep=True)
        told = json.loads(str(took.pop("out")))
        rows[name] = {
            **took,
            "tasks": told["tasks"],
            **told["decisions"],
            "saved": told["saved"],
        }
    return rows


def _events(root: Path) -> tuple[int, int]:
    with view(_call(root)) as seen:
        past = archive_of(seen).past(seen.tree.commit)
        return sum(1 for _each in accepted(seen, past)), len(past.events)


def _playbook(root: Path, name: str) -> str:
    return (root / "playbooks" / f"{name}.toml").read_text(encoding="utf-8")


def _call(root: Path) -> Call:
    return Call(environment(), root, root)


def _command(root: Path, *words: str, keep: bool = False) -> dict[str, Any]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", str(root), *words],
        check=True,
        capture_output=True,
        env={**environment(), "PYTHONPATH": path},
        cwd=root,
    )
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found: dict[str, Any] = {"s": round(seconds, 2), "cpu_s": round(cpu, 2), "bytes": len(done.stdout)}
    return {**found, "out": done.stdout.decode()} if keep else found


def _timed(act: Callable[[], object]) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    found = act()
    took = {"s": round(time.perf_counter() - began, 2), "cpu_s": round(time.process_time() - cpu, 2)}
    return {**took, **found} if isinstance(found, Mapping) else took


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path(sys.argv[1]).resolve()), indent=1) + "\n")
