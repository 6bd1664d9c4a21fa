"""Durable transitions per second of the ledger beside GitPython's command style and the git command line.

One transition moves a task file to another state folder and adds one record of 1.2 kB, in one commit of its own. All
methods run in turn in every round, on repositories of the same content on the same disk; figures are medians of the
rounds. CPU is that of this process and of all git processes. Only the ledger and `git CLI, core.fsync=all` are durable.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import git as gitpython

from hqd.adapters.ledger import (
    GitLedger,
    Upkeep,
    Writer,
    direct,
    fastimport,
    journal,
    ledger,
    moving,
    prepare,
    refs,
    writer,
)
from hqd.adapters.repository import GitRepository
from hqd.adapters.sparse import Sparse
from hqd.codec import layout
from hqd.model.change import Transition

TODAY = date(2026, 11, 22)
AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WAITING = 300
FILES_PER_FINISHED = 4  # task, result, two records
FINISHED_PER_DAY = 100
DURABLE = ("-c", "core.fsync=all")
TARGETS = {
    "K=50 over GitPython commands": 12.0,
    "K=50 over git CLI fsync": 16.0,
    "K=1 over GitPython commands": 1.6,
    "K=1 over git CLI fsync": 2.2,
    "CPU, 10000 over 100 finished": 1.3,
    "CPU, 100000 over 100 finished": 2.0,
}


@dataclass
class Sample:
    """One method in one round."""

    per_s: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


def run(quick: bool) -> dict[str, Any]:
    """quick: fewer transitions and rounds, and no repository of 100,000 finished tasks."""
    rounds = 2 if quick else 5
    place = Path(tempfile.mkdtemp(prefix="hqd-bench-", dir=on_disk()))
    env = environment(place)
    try:
        speed = throughput(place, env, rounds, 10 if quick else 40)
        sizes = (100, 1_000) if quick else (100, 10_000, 100_000)
        growing = growth(place, env, sizes, rounds=2 if quick else 3)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    ratios = speed["ratios"] | growing["ratios"]
    result = {
        "file_system": file_system(place.parent),
        "throughput": speed["rows"],
        "growth": growing["rows"],
        "ratios": {name: {"measured": round(value, 2), "target": TARGETS.get(name)} for name, value in ratios.items()},
        "where_the_time_goes_at_K=1_ms": speed["where"],
    }
    print_table(result)
    return result


def throughput(place: Path, env: Mapping[str, str], rounds: int, n: int) -> dict[str, Any]:
    """Transitions per second, all methods in turn."""
    source = make_hq(place / "source", env, finished=100)
    methods: dict[str, Callable[[Path, int], Sample]] = {
        "GitPython commands": lambda root, at: gitpython_commands(root, at, n, env),
        "git CLI": lambda root, at: git_cli(root, at, n, env, ()),
        "git CLI fsync": lambda root, at: git_cli(root, at, n, env, DURABLE),
        "hqd K=50": lambda root, at: with_ledger(root, at, 5 * n, 50, env),
        "hqd K=10": lambda root, at: with_ledger(root, at, 5 * n, 10, env),
        "hqd K=1": lambda root, at: with_ledger(root, at, n, 1, env),
    }
    roots = {}
    for name in methods:
        roots[name] = place / name.replace(" ", "-")
        shutil.copytree(source, roots[name], symlinks=True)
        if name.startswith("hqd"):
            make_sparse(roots[name], env)
    samples: dict[str, list[Sample]] = defaultdict(list)
    for round_ in range(rounds):
        for name, method in methods.items():
            samples[name].append(method(roots[name], round_))
    rows = {
        name: {
            field: round(statistics.median(getattr(one, field) for one in found), 2)
            for field in ("per_s", "cpu_ms", "p50_ms", "p99_ms")
        }
        for name, found in samples.items()
    }
    ratios = {
        f"{ours} over {other}": statistics.median(
            mine.per_s / theirs.per_s for mine, theirs in zip(samples[f"hqd {ours}"], samples[other], strict=True)
        )
        for ours in ("K=50", "K=1")
        for other in ("GitPython commands", "git CLI fsync")
    }
    with timed() as parts:
        with_ledger(roots["hqd K=1"], rounds, 3 * n, 1, env)
    where = {name: round(sum(times) * 1e3 / (3 * n), 2) for name, times in parts.items()}
    return {"rows": rows, "ratios": ratios, "where": where}


def growth(place: Path, env: Mapping[str, str], sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """CPU per transition by the number of finished tasks, for 50 at a time and one at a time."""
    roots = {size: make_hq(place / f"finished-{size}", env, size, sparse=True) for size in sizes}
    cpu: dict[tuple[int, int], list[float]] = defaultdict(list)
    for round_ in range(rounds):
        for size, root in roots.items():
            cpu[size, 50].append(with_ledger(root, round_, 600, 50, env).cpu_ms)
            cpu[size, 1].append(with_ledger(root, round_, 60, 1, env).cpu_ms)
    rows = {
        f"{size} finished": {
            "cpu_ms_K=50": round(statistics.median(cpu[size, 50]), 2),
            "cpu_ms_K=1": round(statistics.median(cpu[size, 1]), 2),
            "files": size * FILES_PER_FINISHED,
            "index_kB": round((root / ".git/index").stat().st_size / 1000, 1),
        }
        for size, root in roots.items()
    }
    ratios = {}
    for size in sizes[1:]:
        for k, suffix in ((50, ""), (1, ", K=1")):
            over = [big / small for big, small in zip(cpu[size, k], cpu[sizes[0], k], strict=True)]
            ratios[f"CPU, {size} over {sizes[0]} finished{suffix}"] = statistics.median(over)
    return {"rows": rows, "ratios": ratios}


def with_ledger(root: Path, round_: int, n: int, together: int, env: Mapping[str, str]) -> Sample:
    """`n` transitions, `together` in a batch, as the daemon does it: with upkeep behind."""
    repo = GitRepository.open(root, env)
    prepare(repo)
    opened = Writer(repo)
    book = GitLedger(opened)
    upkeep = Upkeep(repo, book)
    upkeep.tick(0.0)
    upkeep.wait()
    warm, *todo = transitions(root, round_, n + 1)
    book.append(repo.tip(), [transition(*warm)])  # starts its long-lived git processes; their CPU counts all the same

    def batches() -> Iterator[int]:
        for start in range(0, n, together):
            batch = todo[start : start + together]
            book.append(repo.tip(), [transition(*one) for one in batch])
            upkeep.tick(1.0)
            yield len(batch)
        upkeep.wait()
        book.close()
        repo.close()

    try:
        return measure(batches())
    finally:
        upkeep.close()
        book.close()
        opened.close()
        repo.close()


def gitpython_commands(root: Path, round_: int, n: int, env: Mapping[str, str]) -> Sample:
    """`repo.git.mv`, `add`, `commit`, as most programs over GitPython do it. Not durable."""
    repo = gitpython.Repo(root)
    repo.git.update_environment(**env)

    def each() -> Iterator[int]:
        for old, new, record, data in transitions(root, round_, n):
            repo.git.mv(old, new)
            write_record(root, record, data)
            repo.git.add(record)
            repo.git.commit("-q", "-m", f"hqd: {Path(new).stem}: step passed -> next")
            yield 1

    try:
        return measure(each())
    finally:
        repo.close()


def git_cli(root: Path, round_: int, n: int, env: Mapping[str, str], options: tuple[str, ...]) -> Sample:
    """The same three commands by subprocess."""

    def git(*args: str) -> None:
        subprocess.run(["git", *options, *args], cwd=root, env=env, check=True, capture_output=True)

    def each() -> Iterator[int]:
        for old, new, record, data in transitions(root, round_, n):
            git("mv", old, new)
            write_record(root, record, data)
            git("add", record)
            git("commit", "-q", "-m", f"hqd: {Path(new).stem}: step passed -> next")
            yield 1

    return measure(each())


def measure(steps: Iterator[int]) -> Sample:
    """Runs the steps; each yields how many transitions it made."""
    times: list[float] = []
    made = 0
    cpu, start = cpu_seconds(), time.perf_counter()
    last = start
    end = start
    for count in steps:
        end = time.perf_counter()
        times.append((end - last) * 1e3)
        last = end
        made += count
    spent = cpu_seconds() - cpu
    times.sort()
    return Sample(made / (end - start), spent * 1e3 / made, statistics.median(times), times[int(len(times) * 0.99)])


def cpu_seconds() -> float:
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


@contextmanager
def timed() -> Iterator[dict[str, list[float]]]:
    """Wall time of the steps of an append, by name."""
    steps: list[tuple[str, Any, str]] = [
        ("append, all of it", ledger.GitLedger, "append"),
        ("plan: read the trees that change", ledger.GitLedger, "_plan"),
        ("look at the person's work, twice", moving.Mover, "survey"),
        ("read the index, twice", writer.Writer, "index"),
        ("pack by fast-import: 2 fsyncs", fastimport.FastImport, "build"),
        ("journal: 1 fsync", journal.Journal, "begin"),
        ("main by update-ref: 1 fsync", refs.RefMover, "move"),
        ("index and files, without git", direct.DirectWriting, "write"),
        ("index and files by read-tree: 1 process", moving.Mover, "write"),
        ("durability of folder entries: 2 fsyncs", ledger, "sync_folder"),
    ]
    found: dict[str, list[float]] = {name: [] for name, _, _ in steps}
    originals = [(owner, method, getattr(owner, method)) for _, owner, method in steps]
    for name, owner, method in steps:
        setattr(owner, method, _watched(getattr(owner, method), found[name]))
    try:
        yield found
    finally:
        for owner, method, original in originals:
            setattr(owner, method, original)


def _watched(call: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
    def inner(*args: Any, **more: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*args, **more)
        finally:
            times.append(time.perf_counter() - start)

    return inner


def transitions(root: Path, round_: int, n: int) -> list[tuple[str, str, str, bytes]]:
    """(old path, new path, record path, record): every task goes to and fro between queue/ and active/."""
    at = {
        path.name: state
        for state in ("queue", "active")
        for path in (root / layout.WORKSPACE / state).glob("*.md")
        if layout.TASK_ID.fullmatch(path.stem)
    }
    names = sorted(at)
    rng = random.Random(round_)
    found = []
    for i in range(n):
        name = names[i % len(names)]
        old, new = at[name], "active" if at[name] == "queue" else "queue"
        at[name] = new
        number = time.time_ns() % 10**12
        record = f"{layout.runs_folder(name[:-3])}/{round_:03}{i:05}{number}-claimed.toml"
        found.append((f"{layout.WORKSPACE}/{old}/{name}", f"{layout.WORKSPACE}/{new}/{name}", record, record_text(rng)))
    return found


def transition(old: str, new: str, record: str, data: bytes) -> Transition:
    message = f"hqd: {Path(new).stem}: step passed -> next\n\nHqd-Event: finished\nHqd-Task: {Path(new).stem}\n"
    return Transition(message=message, at=AT, renames=((old, new),), writes=((record, data),))


def record_text(rng: random.Random) -> bytes:
    """1.2 kB that compress like a record does."""
    words = ("claimed", "research", "passed", "tokens", "cost", "gate", "output", "2026-11-22T12:00:00Z", "attempt")
    lines = [f'{rng.choice(words)}_{n} = "{rng.choice(words)} {rng.getrandbits(40):x}"' for n in range(60)]
    return "\n".join(lines)[:1200].encode()


def write_record(root: Path, record: str, data: bytes) -> None:
    path = root / record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def make_hq(root: Path, env: Mapping[str, str], finished: int, sparse: bool = False) -> Path:
    """An HQ with waiting and finished tasks in one pack and one commit; checked out, sparse or whole."""

    def git(*args: str, text: bytes | None = None) -> None:
        subprocess.run(["git", *args], cwd=root, env=env, check=True, capture_output=True, input=text)

    root.mkdir()
    git("init", "-q", "-b", "main")
    with tempfile.TemporaryFile() as script:
        script.write(b"commit refs/heads/main\ncommitter p <p@example.org> 1790000000 +0000\ndata 5\nstart\n")
        for path, data in files_of(finished):
            script.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
        script.write(b"\ndone\n")
        script.seek(0)
        subprocess.run(
            ["git", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done", "--date-format=raw"],
            cwd=root, env=env, check=True, stdin=script,
        )  # fmt: skip
    if sparse:
        git("sparse-checkout", "set", "--cone", "--sparse-index", "--stdin", text=b"workspace/queue\n")
    git("reset", "-q", "--hard", "main")
    if sparse:
        make_sparse(root, env)
    os.sync()
    return root


def make_sparse(root: Path, env: Mapping[str, str]) -> None:
    """The checkout that the daemon keeps."""
    repo = GitRepository.open(root, env)
    with Writer(repo) as opened:
        Sparse(opened).apply("index", TODAY)
    repo.close()


def files_of(finished: int) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(1)
    yield layout.SETTINGS, b"format = 1\n"
    yield "workspace/.gitattributes", layout.ATTRIBUTES.encode()
    for folder in layout.KEPT_FOLDERS:
        yield f"{folder}/.gitkeep", b""
    for n in range(WAITING):
        yield f"workspace/queue/20261122-waiting-{n:06x}.md", f"# Waiting {n}\n\n{'text ' * 60}\n".encode()
    for n in range(finished):
        day = TODAY - timedelta(days=120 + n // FINISHED_PER_DAY)
        task = f"{day:%Y%m%d}-finished-{n:06x}"
        yield f"workspace/done/{day:%Y/%m/%d}/{task}.md", f"# Finished {n}\n".encode()
        yield f"workspace/done/{day:%Y/%m/%d}/{task}.result.md", b"result %d\n" % rng.getrandbits(64)
        for number, event in ((1, "claimed"), (2, "done")):
            yield f"{layout.runs_folder(task)}/{number:03}-{event}.toml", b"cost = %d\n" % rng.getrandbits(64)


def environment(place: Path) -> dict[str, str]:
    """git without the person's configuration."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(place),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "p",
        "GIT_AUTHOR_EMAIL": "p@example.org",
        "GIT_COMMITTER_NAME": "p",
        "GIT_COMMITTER_EMAIL": "p@example.org",
    }


def on_disk() -> Path:
    """A place for temporary files that is not memory, if there is one."""
    places = (Path(tempfile.gettempdir()), Path.cwd())
    return next((place for place in places if file_system(place) != "tmpfs"), places[0])


def file_system(path: Path) -> str:
    asked = subprocess.run(["stat", "-f", "-c", "%T", str(path)], check=False, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


def print_table(result: Mapping[str, Any]) -> None:
    print(f"{'method':24}{'per s':>10}{'CPU ms':>10}{'p50 ms':>10}{'p99 ms':>10}   ({result['file_system']})")
    for name, row in result["throughput"].items():
        print(f"{name:24}{row['per_s']:10.1f}{row['cpu_ms']:10.2f}{row['p50_ms']:10.2f}{row['p99_ms']:10.2f}")
    print("p50, p99: per call; a call of K=50 makes 50 transitions\n")
    for name, row in result["growth"].items():
        print(
            f"{name:24}CPU ms: K=50 {row['cpu_ms_K=50']:.2f}, K=1 {row['cpu_ms_K=1']:.2f}; index {row['index_kB']} kB"
        )
    print()
    for name, row in result["ratios"].items():
        print(f"{name:36}{row['measured']:8.2f}   target {row['target'] or '-'}")
    print()
    for name, value in result["where_the_time_goes_at_K=1_ms"].items():
        print(f"{name:44}{value:8.2f} ms")
