"""Following 500 open pull requests: what a poll costs, how soon a merge is noticed, what a restart asks.

The real daemon, over HTTP on 127.0.0.1, against a fake GitHub with a bare repository behind it. The HQ is made with its
tasks in review/ as if they had come there by themselves; it follows origin every ten minutes only, so that a merge is
noticed by what the forge says. A poll is what lies between two lists of what changed; it is taken where nothing has
changed. Requests answered 304 do not count against GitHub's limit. Noticed: main of the HQ has the `landed` event; the
person merges by squash at a random moment of the poll, or right after one with a webhook. What pushing to origin costs
is measured with it (`forge_push`).
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import forge_push
from bench.daemon import CHECKOUT, daemon, git, resident, wait
from bench.ledger import environment, on_disk
from hqd import __version__
from hqd.adapters.git import Git
from hqd.codec import layout
from hqd.codec.record import write_record
from hqd.model.record import Cursor, Event, EventKind, Phase, Pin, Record, ReviewState
from hqd.model.task import State
from hqd.testing.forge_repository import ForgeRepository
from hqd.testing.forge_server import TOKEN, ForgeServer, Seen
from hqd.testing.forge_state import FakeForge

TARGETS = {"requests of a quiet poll": 60, "of them counted": 0, "noticed by webhook, s": 2.0}
SECRET = "of-the-bench"  # noqa: S105 - opens nothing
SETTINGS = """format = 1
[hq]
fetch = "10m"
[forge]
kind = "github"
repo = "acme/hq"
token = "secret:forge"
api_url = "{url}"
poll = "{poll}s"
debounce = "1s"
[webhook]
listen = "127.0.0.1:{port}"
secret = "secret:hook"
[agents.nobody]
provider = "replay"
answers = "answers.jsonl"
"""
PLAYBOOK = """name = "general"
[[steps]]
name = "write"
agent = "nobody"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "approve"
review = { reviewers = ["tim"] }
"""
WHO = b"p <p@example.org> 1790000000 +0000"


@dataclass(frozen=True)
class Scene:
    """An HQ in review, and its forge. `tasks`: by number of the pull request."""

    hq: Path
    env: Mapping[str, str]
    forge: FakeForge
    server: ForgeServer
    tasks: Mapping[int, str]
    port: int
    poll: float

    def landed(self, task: str) -> bool:
        found = git(self.hq, self.env, "log", "-1", "--format=%H", "--grep=^Hqd-Event: landed$", "--all-match",
                    f"--grep=^Hqd-Task: {task}$", "main")  # fmt: skip
        return bool(found)


def run(quick: bool) -> dict[str, Any]:
    """quick: 20 pull requests and short polls."""
    count, poll, merges = (20, 1.5, 2) if quick else (500, 10.0, 5)
    place = Path(tempfile.mkdtemp(prefix="hqd-bench-", dir=on_disk()))
    env = environment(place) | {"PYTHONPATH": str(CHECKOUT), "XDG_CACHE_HOME": str(place / "cache"), "USER": "p"}
    env |= {"HQD_SECRET_FORGE": TOKEN, "HQD_SECRET_HOOK": SECRET}
    try:
        with ForgeServer(FakeForge(ForgeRepository(Git(bare(place, env), env).quick)), limit=1_000_000) as server:
            scene = make(place, env, server, count, poll)
            measured = {"first": following(scene, merges), "restart": restarted(scene)}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    first = measured["first"]
    found = {
        "requests of a quiet poll": first["quiet_poll"]["requests"],
        "of them counted": first["quiet_poll"]["counted"],
        "noticed by webhook, s": first["noticed_by_webhook_s"]["worst"],
    }
    return {
        "pull_requests": count,
        "poll_s": poll,
        **measured,
        "origin": forge_push.run(quick),
        "against_targets": {name: {"measured": found[name], "target": target} for name, target in TARGETS.items()},
    }


def following(scene: Scene, merges: int) -> dict[str, Any]:
    chance = random.Random(7)
    with daemon(scene.hq, scene.env) as process:
        start = time.monotonic()
        wait(lambda: looked_at(scene) == len(scene.tasks), 600, pace=0.2)
        first = {"seconds": round(time.monotonic() - start, 1), "requests": len(scene.server.requests)}
        quiet = quiet_polls(scene)
        numbers = iter(sorted(scene.tasks, reverse=True))
        by_poll, by_hook = [], []
        for _ in range(merges):
            time.sleep(chance.random() * scene.poll)
            by_poll.append(merged(scene, next(numbers), hook=False))
        for _ in range(merges):
            quiet_polls(scene, polls=1)
            by_hook.append(merged(scene, next(numbers), hook=True))
        memory = resident(process.pid)
    return {
        "first_look": first,
        "quiet_poll": quiet,
        "noticed_by_poll_s": spread(by_poll),
        "noticed_by_webhook_s": spread(by_hook),
        "memory_mb": round(memory, 1),
    }


def restarted(scene: Scene) -> dict[str, Any]:
    """What a daemon asks that starts where another has just ended."""
    before = len(scene.server.requests)
    with daemon(scene.hq, scene.env):
        quiet_polls(scene, polls=1)
    asked = scene.server.requests[before:]
    return {"requests": len(asked), "counted": sum(seen.status != 304 for seen in asked)}


def merged(scene: Scene, number: int, *, hook: bool) -> float:
    """Seconds from a squash by button until main of the HQ says so. What the button takes is the fake forge's."""
    scene.forge.merge(number, "squash", by="tim")
    start = time.monotonic()
    if hook:
        scene.server.deliver(scene.forge.outbox[-1], SECRET, f"http://127.0.0.1:{scene.port}/")
    wait(lambda: scene.landed(scene.tasks[number]), 120, pace=0.02)
    return time.monotonic() - start


def quiet_polls(scene: Scene, polls: int = 3) -> dict[str, Any]:
    """The last polls in which nothing had changed: their requests, and those that were not answered 304."""
    found: list[tuple[int, int]] = []
    start = len(scene.server.requests)
    end = time.monotonic() + 600
    while len(found) < polls:
        if time.monotonic() > end:
            raise TimeoutError("no quiet poll")
        time.sleep(0.05)
        rounds = list(split(scene.server.requests[start:]))
        whole = rounds[1:-1]
        found = [(len(each), sum(seen.status != 304 for seen in each)) for each in whole]
        while found and found[0][1] > 0:
            found.pop(0)
    return {"requests": max(each for each, _ in found), "counted": max(each for _, each in found), "polls": len(found)}


def split(requests: list[Seen]) -> Iterator[list[Seen]]:
    """Requests from one list of what changed to the next."""
    current: list[Seen] = []
    for seen in requests:
        if "/pulls?" in seen.path and current:
            yield current
            current = []
        current.append(seen)
    yield current


def looked_at(scene: Scene) -> int:
    paths = {seen.path.partition("?")[0] for seen in scene.server.requests}
    return sum(path.endswith("/reviews") for path in paths)


def spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "worst": round(max(seconds), 2)}


# -- the scene ----------------------------------------------------------------------------------------------------


def bare(place: Path, env: Mapping[str, str]) -> Path:
    root = place / "origin.git"
    root.mkdir()
    git(root, env, "init", "-q", "--bare", "-b", "main", "--template=")
    return root


def make(place: Path, env: Mapping[str, str], server: ForgeServer, count: int, poll: float) -> Scene:
    """An HQ of `count` tasks in review/, each with a branch and a pull request."""
    hq, port = place / "hq", free_port()
    hq.mkdir()
    git(hq, env, "init", "-q", "-b", "main")
    files = {layout.SETTINGS: SETTINGS.format(url=server.url, poll=poll, port=port), "playbooks/general.toml": PLAYBOOK}
    files |= {"answers.jsonl": '{"answer": "three good words"}\n', "workspace/.gitattributes": layout.ATTRIBUTES}
    files |= {f"{folder}/.gitkeep": "" for folder in layout.KEPT_FOLDERS}
    imported(hq, env, [commit("refs/heads/main", "Begin", {path: text.encode() for path, text in files.items()})])
    base = git(hq, env, "rev-parse", "main")
    tasks = {number: f"20261122-review-{number:06x}" for number in range(1, count + 1)}
    work = [
        commit(f"refs/heads/hqd/{task}", f"Work\n\nHqd-Work: {task}\n", {f"content/{number}.md": b"words\n"}, "main")
        for number, task in tasks.items()
    ]
    imported(hq, env, work)
    git(hq, env, "remote", "add", "origin", str(place / "origin.git"))
    pin = Pin(
        playbooks=git(hq, env, "rev-parse", "main:playbooks"), settings=git(hq, env, "rev-parse", "main:hqd.toml")
    )
    listed = git(hq, env, "for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/heads/hqd")
    heads = dict(line.split(" ") for line in listed.splitlines())
    state: dict[str, bytes] = {}
    for number, task in tasks.items():
        state[layout.task_path(task, State.REVIEW)] = f"# Review {number}\n\nDo it.\n".encode()
        state[layout.record_path(task, 5, "review_opened")] = record(task, number, base, heads[task], pin)
    kept = [f"reset refs/hqd/review/{task}\nfrom {head}\n".encode() for task, head in heads.items()]
    imported(hq, env, [commit("refs/heads/main", "Reviews", state, "main"), *kept])
    git(hq, env, "reset", "-q", "--hard", "main")
    git(hq, env, "push", "-q", "origin", "main", "refs/heads/hqd/*:refs/heads/hqd/*")
    server.forge.add_user("tim", "write")
    for number, task in tasks.items():
        made = server.forge.open(f"hqd/{task}", "main", f"Review {number}")
        assert made.number == number, made
    return Scene(hq, env, server.forge, server, tasks, port, poll)


def record(task: str, number: int, base: str, head: str, pin: Pin) -> bytes:
    """The newest record of a task whose pull request has just been opened."""
    at = datetime(2026, 11, 22, tzinfo=UTC)
    review = ReviewState(
        step="approve", branch=f"hqd/{task}", head=head, base=base, number=number, opened=at,
        url=f"https://github.example.org/acme/hq/pull/{number}",
    )  # fmt: skip
    cursor = Cursor(
        playbook="general", step="approve", phase=Phase.REVIEW, pin=pin, attempts={"write": 1, "approve": 1},
        base=base, head=head, files=(f"content/{number}.md",), review=review, since=at,
    )  # fmt: skip
    event = Event(event=EventKind.REVIEW_OPENED, to=State.REVIEW, at=at, step="approve", review=review)
    return write_record(
        Record(**dict(event), n=5, hqd=__version__, host="bench", from_=State.ACTIVE, round=1, cursor=cursor)
    )


def commit(ref: str, text: str, files: Mapping[str, bytes], start: str = "") -> bytes:
    head = b"commit %s\ncommitter %s\ndata %d\n%s\n" % (ref.encode(), WHO, len(text.encode()), text.encode())
    head += b"from refs/heads/%s^0\n" % start.encode() if start else b""
    return head + b"".join(b"M 100644 inline %s\ndata %d\n%s\n" % (p.encode(), len(d), d) for p, d in files.items())


def imported(root: Path, env: Mapping[str, str], commits: list[bytes]) -> None:
    subprocess.run(
        ["git", "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--force", "--done", "--date-format=raw"],
        cwd=root, env=dict(env), check=True, input=b"\n".join(commits) + b"\ndone\n",
    )  # fmt: skip


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
