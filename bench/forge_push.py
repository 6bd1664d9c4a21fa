"""Transitions pushed to a bare remote: a push each beside batches, and one host beside two on one HQ.

`pushing` moves tasks through the ledger and pushes as hqd does (`hosts = "one"`): after every transition, or by the
line to origin in batches. `hosts` runs the shared ledger (`hosts = "many"`) in processes of their own, each with a
clone of its own, one transition a push, as fast as they can: what a claim costs, and how long the unlucky wait.
`run` does both; a remote on the same disk is the least that a push can cost.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.ledger.shared import SharedLedger
from hqd.adapters.mainline import GitMainline
from hqd.adapters.remote import RemoteOf
from hqd.adapters.repository import GitRepository
from hqd.daemon.origin.line import Line, Pace
from hqd.errors import RepositoryBusy, StaleHead
from hqd.model.change import Transition
from hqd.model.remote import RefUpdate

MAIN = "refs/heads/main"
TARGETS = {"batches over a push each": 5.0}


@dataclass
class Clone:
    """An HQ with a ledger and its origin."""

    root: Path
    repository: GitRepository
    writer: Writer
    ledger: GitLedger
    remote: RemoteOf

    def transition(self, n: int, who: str = "a") -> Transition:
        path = f"workspace/runs/2026/11/22/{who}{n // 100:04}/{n:06}-claimed.toml"
        return Transition(message=f"hqd: {who}{n}\n", at=datetime.now(UTC), writes=((path, b"n = 1\n" * 200),))


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {f"GIT_{role}_{what}": "bench@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **who}


def _git(where: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=where, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout


def made(root: Path) -> Path:
    """A bare origin with one commit; its path."""
    bare, first = root / "origin.git", root / "first"
    _git(root, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(root, "init", "-q", "-b", "main", str(first))
    (first / "workspace").mkdir()
    (first / "hqd.toml").write_text("format = 1\n")
    (first / "workspace/.gitattributes").write_text("** -text !filter !ident\n")
    _git(first, "add", "-A")
    _git(first, "commit", "-qm", "Make an HQ")
    _git(first, "push", "-q", str(bare), "main")
    return bare


@contextmanager
def clone(bare: Path, root: Path) -> Iterator[Clone]:
    _git(root.parent, "clone", "-q", str(bare), str(root))
    _git(root, "sparse-checkout", "set", "--cone", "--sparse-index", "workspace/queue")
    repository = GitRepository.open(root, environment())
    writer = Writer(repository)
    ledger = GitLedger(writer)
    try:
        yield Clone(root, repository, writer, ledger, RemoteOf(repository.git, str(bare)))
    finally:
        ledger.close()
        writer.close()
        repository.close()


def each(transitions: int) -> float:
    """Transitions a second, each appended and pushed before the next."""
    with _folder() as root, clone(made(root), root / "hq") as hq:
        began = time.perf_counter()
        for n in range(transitions):
            (tip,) = hq.ledger.append(hq.repository.tip(), [hq.transition(n)])
            hq.remote.push([RefUpdate(MAIN, tip)])
        return transitions / (time.perf_counter() - began)


def batches(transitions: int, group: int, pace: float) -> dict[str, float]:
    """The same by the line to origin: `group` transitions a write, a push every `pace` seconds, until all is there."""
    with _folder() as root, clone(made(root), root / "hq") as hq:
        mainline = GitMainline(hq.ledger, hq.repository)
        arrived = threading.Event()
        line = Line(
            hq.remote, MAIN, hq.repository.tip, mainline.descends, Pace(lambda: 60.0, lambda: pace), threading.Event()
        )
        line.open(arrived.set)
        _wait(lambda: line.news.asked)
        line.clear(line.news.tip or "")
        pushed = line.pushed
        began = time.perf_counter()
        for start in range(0, transitions, group):
            hq.ledger.append(
                hq.repository.tip(), [hq.transition(n) for n in range(start, min(start + group, transitions))]
            )
            line.moved()
        written = time.perf_counter() - began
        _wait(lambda: line.news.tip == hq.repository.tip())
        took = time.perf_counter() - began
        line.close()
        return {
            "transitions_per_second": transitions / took,
            "written_per_second": transitions / written,
            "pushes": line.pushed - pushed,
        }


def pushing(quick: bool) -> dict[str, Any]:
    """2,000 transitions; "a push each" is measured on fewer and told as a rate."""
    count, alone = (300, 40) if quick else (2000, 200)
    rate = each(alone)
    found = {f"{group} a write": batches(count, group, 0.5) for group in (10, 50)}
    worst = min(result["transitions_per_second"] for result in found.values())
    return {
        "transitions": count,
        "a push each, per second": round(rate, 1),
        "batches": {name: {key: round(value, 1) for key, value in row.items()} for name, row in found.items()},
        "batches over a push each": round(worst / rate, 1),
    }


def host(bare: Path, root: Path, who: str, seconds: float) -> dict[str, Any]:
    """One host: as many transitions as it can win in `seconds`, one at a time; its waits."""
    with clone(bare, root) as hq:
        mainline = GitMainline(hq.ledger, hq.repository)
        seen = [hq.remote.fetch()[MAIN]]
        shared = SharedLedger(
            hq.ledger, hq.repository, hq.remote, shared=lambda: True,
            onto=lambda: (True, seen[-1]), saw=seen.append, won=seen.append,
        )  # fmt: skip
        print("ready", flush=True)
        sys.stdin.readline()
        waits: list[float] = []
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            while not _tried(shared, mainline, hq, seen, len(waits), who):
                pass
            waits.append(time.perf_counter() - began)
        return {"won": len(waits), "lost": shared.losses, "waits": waits}


def _tried(shared: SharedLedger, mainline: GitMainline, hq: Clone, seen: list[str], n: int, who: str) -> bool:
    tip = hq.repository.tip()
    if tip != seen[-1]:
        mainline.advance(tip, seen[-1], tip)
        tip = seen[-1]
    try:
        shared.append(tip, [hq.transition(n, who)])
    except (StaleHead, RepositoryBusy):
        return False
    return True


def hosts(count: int, seconds: float) -> dict[str, Any]:
    """`count` hosts at once on one remote."""
    with _folder() as root:
        bare = made(root)
        words = [sys.executable, "-m", "bench.forge_push"]
        children = [
            subprocess.Popen(
                [*words, str(bare), str(root / f"h{n}"), f"h{n}", str(seconds)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
            )
            for n in range(count)
        ]  # fmt: skip
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        rows = []
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            out, _ = child.communicate(timeout=seconds + 60)
            rows.append(json.loads(out.splitlines()[-1]))
        waits = sorted(wait for row in rows for wait in row["waits"])
        commits = int(_git(bare, "rev-list", "--count", "main"))
        return {
            "won_per_second": round(sum(row["won"] for row in rows) / seconds, 1),
            "of_each": [row["won"] for row in rows],
            "lost": [row["lost"] for row in rows],
            "median_wait_ms": round(1000 * statistics.median(waits), 1),
            "longest_wait_ms": round(1000 * waits[-1], 1),
            "nothing_lost": commits == 1 + sum(row["won"] for row in rows),
        }


def sharing(quick: bool) -> dict[str, Any]:
    seconds = 3.0 if quick else 15.0
    one, two = hosts(1, seconds), hosts(2, seconds)
    return {
        "one host": one,
        "two hosts": two,
        "two over one": round(two["won_per_second"] / one["won_per_second"], 2),
        "longest wait, ms": two["longest_wait_ms"],
    }


def run(quick: bool) -> dict[str, Any]:
    return {"pushing": pushing(quick), "hosts": sharing(quick)}


def show(result: dict[str, Any]) -> str:
    pushed, shared = result["pushing"], result["hosts"]
    ratio, target = pushed["batches over a push each"], TARGETS["batches over a push each"]
    lines = [f"a push each               {pushed['a push each, per second']:8} transitions/s"]
    for name, row in pushed["batches"].items():
        lines.append(f"{name:<25} {row['transitions_per_second']:8} transitions/s, {row['pushes']:.0f} pushes")
    lines.append(f"batches over a push each  {ratio:8} (target {target:g})")
    for name in ("one host", "two hosts"):
        row = shared[name]
        waits = f"wait {row['median_wait_ms']} ms, longest {row['longest_wait_ms']} ms"
        lines.append(
            f"{name:<25} {row['won_per_second']:8} claims/s, won {row['of_each']}, lost {row['lost']}, {waits}"
        )
    return "\n".join([*lines, f"two hosts over one        {shared['two over one']:8}"])


@contextmanager
def _folder() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="hqd-bench-push-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > until:
            raise TimeoutError("origin did not come in line")
        time.sleep(0.002)


if __name__ == "__main__":
    bare_, root_, who_, seconds_ = sys.argv[1:]
    print(json.dumps(host(Path(bare_), Path(root_), who_, float(seconds_))))
