"""The whole daemon as a process: commits per second, from drop to claim, start with a long history, memory.

Throughput stands beside bare GitPython commands (`repo.git.mv`, `add`, `commit`: no agents, no records, not durable)
in the same rounds, on repositories of the same content on the same disk. Agents are recorded ones that do nothing; the
100 attempts in flight are with a real HTTP server on 127.0.0.1 that speaks the Messages API, slowly.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.ledger import TODAY, environment, file_system, gitpython_commands, make_sparse, on_disk
from hqd import __version__
from hqd.codec import layout
from hqd.codec.message import message
from hqd.codec.record import write_record
from hqd.core.evolve import evolve
from hqd.daemon.book import new_task
from hqd.model.record import Event, EventKind, Record
from hqd.model.task import State, TaskDocument, TaskHeader
from hqd.testing.messages_server import MessagesServer, drip

CHECKOUT = Path(__file__).resolve().parents[1]
STEPS = 3
SETTINGS = """format = 1
[limits]
concurrency = {concurrency}
[agents.nobody]
provider = "replay"
answers = "answers.jsonl"
[agents.model]
provider = "anthropic"
model = "claude-sonnet-4-5"
base_url = "{url}"
"""
PLAYBOOK = 'name = "general"\n' + "".join(f'[[steps]]\nname = "step{n}"\nagent = "nobody"\n' for n in range(STEPS))
ONE_STEP = 'name = "general"\n[[steps]]\nname = "step"\nagent = "nobody"\n'
MODEL = 'name = "general"\n[[steps]]\nname = "step"\nagent = "model"\n'
TARGETS = {
    "commits/s over GitPython commands": 4.0,
    "drop to claim, p50 ms": 60.0,
    "drop to claim, p99 ms": 250.0,
    "start to first claim, s": 3.0,
    "idle MB": 90.0,
    "100 in flight MB": 200.0,
}


def run(quick: bool) -> dict[str, Any]:
    """quick: fewer tasks, drops and rounds, and a short history."""
    place = Path(tempfile.mkdtemp(prefix="hqd-bench-", dir=on_disk()))
    env = environment(place) | {"PYTHONPATH": str(CHECKOUT), "XDG_CACHE_HOME": str(place / "cache"), "USER": "p"}
    rounds = 1 if quick else 3
    try:
        speed = throughput(place, env, rounds, tasks=30 if quick else 300, commands=10 if quick else 40)
        drops = latency(place, env, rounds, drops=10 if quick else 100)
        start = starting(place, env, rounds, finished=200 if quick else 10_000, waiting=50 if quick else 1_000)
        held = memory(place, env, rounds, attempts=10 if quick else 100)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    measured = {
        "commits/s over GitPython commands": speed["ratio"],
        "drop to claim, p50 ms": drops["p50_ms"],
        "drop to claim, p99 ms": drops["p99_ms"],
        "start to first claim, s": start["first_claim_s"],
        "idle MB": held["idle_mb"],
        "100 in flight MB": held["in_flight_mb"],
    }
    return {
        "file_system": file_system(place.parent),
        "rounds": rounds,
        "throughput": speed,
        "drop_to_claim": drops,
        "start": start,
        "memory": held,
        "against_targets": {name: {"measured": measured[name], "target": TARGETS[name]} for name in TARGETS},
    }


def throughput(place: Path, env: Mapping[str, str], rounds: int, tasks: int, commands: int) -> dict[str, Any]:
    """`tasks` files moved into the inbox of an idle daemon, until the last is in done/; beside GitPython, in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    per_task: list[float] = []
    for round_ in range(rounds):
        hq = make_hq(place / f"speed-{round_}", env, PLAYBOOK, concurrency=8)
        with daemon(hq, env):
            before = commits(hq, env)
            start = time.perf_counter()
            drop(hq, [f"task-{number:04}" for number in range(tasks)])
            wait(lambda hq=hq: in_done(hq) >= tasks, 300)
            seconds = time.perf_counter() - start
            made = commits(hq, env) - before
        assert made == tasks * (2 + 2 * STEPS), made
        ours.append(made / seconds)
        per_task.append(made / tasks)
        bare = make_hq(place / f"bare-{round_}", env, PLAYBOOK, waiting=300)
        theirs.append(gitpython_commands(bare, round_, commands, dict(env)).per_s)
    return {
        "tasks": tasks,
        "commits_per_task": statistics.median(per_task),
        "hqd_commits_per_s": round(statistics.median(ours), 1),
        "gitpython_commits_per_s": round(statistics.median(theirs), 1),
        "ratio": round(statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)), 2),
    }


def latency(place: Path, env: Mapping[str, str], rounds: int, drops: int) -> dict[str, Any]:
    """From the rename of a file into the inbox until main holds its claim."""
    p50, p99, worst = [], [], []
    for round_ in range(rounds):
        hq = make_hq(place / f"latency-{round_}", env, ONE_STEP, concurrency=4)
        times = []
        with daemon(hq, env):
            for number in range(drops):
                base = tip(hq)
                start = time.perf_counter()
                drop(hq, [f"drop-{number:04}"])
                wait(lambda hq=hq, base=base: tip(hq) != base, 10, pace=0.0005)
                times.append((time.perf_counter() - start) * 1e3)
                first = git(
                    hq, env, "log", "--reverse", "--format=%(trailers:key=Hqd-Event,valueonly)", f"{base}..main"
                )
                assert first.split()[:2] == ["accepted", "claimed"], first
                wait(lambda hq=hq, number=number: in_done(hq) > number, 10)
                time.sleep(0.05)  # the daemon is idle before the next one
        times.sort()
        p50.append(statistics.median(times))
        p99.append(times[min(len(times) - 1, int(len(times) * 0.99))])
        worst.append(times[-1])
    return {
        "drops": drops,
        "p50_ms": round(statistics.median(p50), 1),
        "p99_ms": round(statistics.median(p99), 1),
        "worst_ms": round(max(worst), 1),
    }


def starting(place: Path, env: Mapping[str, str], rounds: int, finished: int, waiting: int) -> dict[str, Any]:
    """From the start of the process until main holds the first claim."""
    hq = make_hq(place / "history", env, ONE_STEP, concurrency=4, waiting=waiting, finished=finished)
    make_sparse(hq, env)
    times = []
    for round_ in range(rounds):
        copy = place / f"history-{round_}"
        shutil.copytree(hq, copy, symlinks=True)
        git(copy, env, "status", "--short")  # the copy's index learns the new dates, as after any git command
        base = tip(copy)
        start = time.perf_counter()
        with daemon(copy, env, ready=False):
            wait(lambda copy=copy, base=base: tip(copy) != base, 120, pace=0.001)
            times.append(time.perf_counter() - start)
        shutil.rmtree(copy)
    return {"finished": finished, "waiting": waiting, "first_claim_s": round(statistics.median(times), 2)}


def memory(place: Path, env: Mapping[str, str], rounds: int, attempts: int) -> dict[str, Any]:
    """Resident memory of the daemon's process; that of its git children beside it."""
    idle, busy, children = [], [], []
    for round_ in range(rounds):
        with MessagesServer(lambda _request: drip("some slow words " * 40, 0.5)) as server:
            hq = make_hq(place / f"memory-{round_}", env, MODEL, concurrency=attempts, url=server.url)
            with daemon(hq, {**env, "ANTHROPIC_API_KEY": "sk-of-the-scripted-server"}) as process:
                time.sleep(1)
                idle.append(resident(process.pid))
                children.append(sum(resident(child) for child in children_of(process.pid)))
                drop(hq, [f"task-{number:04}" for number in range(attempts)])
                wait(lambda server=server: len(server.messages) >= attempts, 120)
                peak = 0.0
                for _ in range(20):
                    peak = max(peak, resident(process.pid))
                    time.sleep(0.1)
                busy.append(peak)
    return {
        "attempts": attempts,
        "idle_mb": round(statistics.median(idle), 1),
        "in_flight_mb": round(statistics.median(busy), 1),
        "idle_git_children_mb": round(statistics.median(children), 1),
    }


# -- an HQ and its daemon -----------------------------------------------------------------------------------------


@contextmanager
def daemon(hq: Path, env: Mapping[str, str], *, ready: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """`hqd run` as a process; idle when the `with` begins, if `ready`."""
    with (hq.parent / f"{hq.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hqd", "--hq", str(hq), "run"], env=dict(env), stdout=log, stderr=log, cwd=hq.parent
        )
    try:
        if ready:
            wait((hq / ".git/hqd/daemon.json").exists, 30)
        yield process
        assert process.poll() is None, (hq.parent / f"{hq.name}.log").read_text()
    finally:
        for _ in range(2):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        process.wait(timeout=60)


def make_hq(
    root: Path,
    env: Mapping[str, str],
    playbook: str,
    *,
    concurrency: int = 4,
    url: str = "http://127.0.0.1:9",
    waiting: int = 0,
    finished: int = 0,
) -> Path:
    """An HQ in one commit, with `waiting` accepted tasks in queue/ and `finished` ones in done/."""
    root.mkdir()
    git(root, env, "init", "-q", "-b", "main")
    with tempfile.TemporaryFile() as script:
        script.write(b"commit refs/heads/main\ncommitter p <p@example.org> 1790000000 +0000\ndata 5\nstart\n")
        for path, data in _files(SETTINGS.format(concurrency=concurrency, url=url), playbook, waiting, finished):
            script.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
        script.write(b"\ndone\n")
        script.seek(0)
        subprocess.run(
            ["git", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done", "--date-format=raw"],
            cwd=root, env=dict(env), check=True, stdin=script,
        )  # fmt: skip
    git(root, env, "reset", "-q", "--hard", "main")
    os.sync()
    return root


def _files(settings: str, playbook: str, waiting: int, finished: int) -> Iterator[tuple[str, bytes]]:
    yield layout.SETTINGS, settings.encode()
    yield "playbooks/general.toml", playbook.encode()
    yield "answers.jsonl", b'{"answer": "done"}\n'
    yield "workspace/.gitattributes", layout.ATTRIBUTES.encode()
    for folder in layout.KEPT_FOLDERS:
        yield f"{folder}/.gitkeep", b""
    for number in range(waiting):
        task = f"20261122-waiting-{number:06x}"
        yield layout.task_path(task, State.QUEUE), _text(number)
        yield layout.record_path(task, 1, "accepted"), _accepted(task, datetime(2026, 11, 22, tzinfo=UTC))
    for number in range(finished):
        day = TODAY - timedelta(days=120 + number // 100)
        task = f"{day:%Y%m%d}-finished-{number:06x}"
        yield layout.task_path(task, State.DONE, day), _text(number)
        yield layout.result_path(task, day), b"done\n"
        yield (
            layout.record_path(task, 1, "accepted"),
            _accepted(task, datetime(day.year, day.month, day.day, tzinfo=UTC)),
        )
        yield layout.record_path(task, 2, "done"), b"# %d\n" % number


def _text(number: int) -> bytes:
    return f"# Task {number}\n\n{'Some words of it. ' * 20}\n".encode()


def _accepted(task: str, at: datetime) -> bytes:
    """The record of the acceptance, as the daemon writes it."""
    event = Event(event=EventKind.ACCEPTED, to=State.QUEUE, at=at, source=f"workspace/inbox/{task}.md")
    document = TaskDocument(header=TaskHeader(), title=task, text="")
    after = evolve(new_task(task, document, "", event.source), event)
    record = Record(
        **dict(event), n=1, hqd=__version__, host="bench", from_=State.INBOX, round=1, cursor=after.cursor
    )  # fmt: skip
    assert message(record, task, "step")
    return write_record(record)


def drop(hq: Path, names: list[str]) -> None:
    """Files that arrive whole, one rename each."""
    outside = hq.parent / "outside"
    outside.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (outside / name).write_bytes(_text(number))
    for name in names:
        (outside / name).rename(hq / layout.INBOX / f"{name}.md")


def in_done(hq: Path) -> int:
    """How many tasks are in done/ of the working tree."""
    days = (hq / "workspace/done").glob("*/*/*")
    return sum(name.endswith(".result.md") for day in days for name in os.listdir(day))  # noqa: PTH208 - polled


def tip(hq: Path) -> str:
    try:
        return (hq / ".git/refs/heads/main").read_text().strip()
    except FileNotFoundError:
        return ""


def commits(hq: Path, env: Mapping[str, str]) -> int:
    return int(git(hq, env, "rev-list", "--count", "main"))


def git(root: Path, env: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, env=dict(env), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def wait(condition: Callable[[], bool], seconds: float, pace: float = 0.005) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pace)


def resident(pid: int) -> float:
    """Megabytes of memory that a process holds."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def children_of(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(word) for word in words]
