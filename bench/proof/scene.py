"""A temporary HQ with the real daemon in this process: real git, real gates; what came of it is read from main's tree.

Law: nothing here knows a verdict. A scene says what was delivered, which attempts were made and what they were sent.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hqd.bootstrap import daemon
from hqd.codec import layout
from hqd.daemon.batch import Written
from hqd.daemon.loop import Loop
from hqd.model.gate import GateSpec, Level
from hqd.model.task import State
from hqd.ports import Agent

ENV = {
    "PATH": os.environ.get("PATH", ""),
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{
        f"GIT_{who}_{what}": f"bench{at}"
        for who in ("AUTHOR", "COMMITTER")
        for what, at in (("NAME", ""), ("EMAIL", "@localhost"))
    },
}
LONGEST = 900.0
"""Seconds after which a scene that does not come to rest is a failure of the benchmark."""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task to drop. `name` is its slug; `gates` stand in its own front matter."""

    name: str
    text: str
    inputs: Mapping[str, Any]
    gates: Sequence[GateSpec] = ()
    playbook: str | None = None

    def markdown(self) -> str:
        """JSON is YAML: one line a key, whatever the values hold."""
        header: dict[str, Any] = {"title": self.name, "inputs": dict(self.inputs)}
        if self.playbook is not None:
            header["playbook"] = self.playbook
        if self.gates:
            header["gates"] = [gate_table(gate) for gate in self.gates]
        lines = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in header.items())
        return f"---\n{lines}---\n\n{self.text}\n"


def gate_table(gate: GateSpec) -> dict[str, Any]:
    """A gate as a person writes it."""
    table: dict[str, Any] = {"name": gate.name, "kind": gate.kind, **gate.params}
    if gate.level is not Level.ENFORCE:
        table["level"] = gate.level.value
    if gate.message is not None:
        table["message"] = gate.message
    return table


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt as its record tells it. `sent` and `said`: characters of the prompt and of the output."""

    step: str
    number: int
    agent: str
    outcome: str
    failure: str | None
    sent: int
    said: int
    text: str
    failing: tuple[str, ...]  # names of the enforcing gates that stopped it


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a task. `delivered` is the text of its result file, as it lies in `done/`."""

    name: str
    state: State
    reason: str | None
    delivered: str | None
    attempts: tuple[Attempt, ...]
    outputs: Mapping[str, int]  # step -> number of the accepted attempt

    def accepted(self, step: str) -> Attempt | None:
        """The attempt whose output the step stands for."""
        number = self.outputs.get(step)
        return next((each for each in self.attempts if each.step == step and each.number == number), None)


class Shown:
    """Display of a daemon that nobody watches; remembers what it said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.transitions = 0
        self.holds: list[tuple[str, str, str]] = []  # (event, name, reason)

    def committed(self, written: Sequence[Written], commits: Sequence[str]) -> None:
        self.transitions += len(written)
        self.holds += [(each.event.event.value, each.hold.name, each.hold.reason) for each in written if each.hold]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, rows: object, waiting: int) -> None:
        """Not shown."""


@dataclass
class Scene:
    """An HQ on disk. `run` boots the daemon on it until it rests; `ended` reads main's tree."""

    root: Path
    cache: Path
    shown: Shown = field(default_factory=Shown)
    seconds: float = 0.0

    @cached_property
    def env(self) -> dict[str, str]:
        return {**ENV, "HOME": str(self.cache), "XDG_CACHE_HOME": str(self.cache)}

    def git(self, *args: str, data: bytes | None = None) -> bytes:
        done = subprocess.run(["git", *args], cwd=self.root, env=self.env, check=True, capture_output=True, input=data)
        return done.stdout

    def run(
        self,
        agents: Mapping[str, Agent] | None = None,
        env: Mapping[str, str] | None = None,
        until: Callable[[Loop], bool] | None = None,
    ) -> None:
        """Boots the daemon, works until `until` or until nothing moves any more, and ends it. Raises TimeoutError.

        `agents` replace the adapters of a provider.
        """
        start = time.monotonic()
        with daemon(self.root, {**self.env, **(env or {})}, self.shown) as loop:
            if agents:
                dict_of(loop).update(agents)
            wake = threading.Event()
            loop.on_result = wake.set
            loop.open()
            while not (until(loop) if until is not None else loop.idle):
                if time.monotonic() - start > LONGEST:
                    raise TimeoutError(f"{self.root.name} does not come to rest: {_stand(loop)}")
                wake.clear()
                wait = loop.turn()
                if wait > 0 and not loop.idle:
                    wake.wait(min(wait, 0.5))
            loop.stopping = True
            loop.runner.stop_all()
            while loop.runner.running and time.monotonic() - start < LONGEST:
                loop.turn()
                wake.wait(0.05)
        self.seconds += time.monotonic() - start

    def ended(self) -> dict[str, Ended]:
        """All accepted tasks of main's tree by name, however they stand."""
        listing = self.git("ls-tree", "-r", "-z", "--full-tree", "HEAD", layout.WORKSPACE).decode().split("\0")
        blobs = {path: meta.split()[2] for meta, _, path in (row.partition("\t") for row in listing if row)}
        tasks = {task: state for state, task in filter(None, map(layout.locate, blobs))}
        wanted = [path for path in blobs if path.startswith(layout.RUNS) and not path.endswith("manifest.json")]
        wanted += [path for path in blobs if path.endswith(".result.md")]
        texts = dict(zip(wanted, self._texts([blobs[path] for path in wanted]), strict=True))
        folders: dict[str, list[str]] = {}
        for path in wanted:
            if path.startswith(layout.RUNS):
                folders.setdefault(path.split("/")[-2], []).append(path)
        results = {path.rsplit("/", 1)[-1][: -len(".result.md")]: texts[path] for path in wanted if ".result." in path}
        return {
            layout.slug_of(task): _ended(task, state, sorted(folders.get(task, ())), texts, results.get(task))
            for task, state in tasks.items()
        }

    def _texts(self, blobs: Sequence[str]) -> Iterator[str]:
        out = self.git("cat-file", "--batch", data="".join(f"{blob}\n" for blob in blobs).encode())
        at = 0
        for _ in blobs:
            line = out.index(b"\n", at)
            size = int(out[at:line].split()[2])
            yield out[line + 1 : line + 1 + size].decode("utf-8", "replace")
            at = line + size + 2


def dict_of(loop: Loop) -> dict[str, Agent]:
    """The daemon's agents by provider, to put a scripted one in the place of a real one."""
    agents = loop.parts.shop.agents
    assert isinstance(agents, dict)
    return agents


def _stand(loop: Loop) -> dict[str, int]:
    stand: dict[str, int] = {}
    for task in loop.live.tasks.values():
        name = f"{task.state.value}/{task.cursor.phase.value}"
        stand[name] = stand.get(name, 0) + 1
    return stand


def _ended(task: str, state: State, paths: list[str], texts: Mapping[str, str], result: str | None) -> Ended:
    records = [tomllib.loads(texts[path]) for path in paths if path.endswith(".toml")]
    records.sort(key=lambda record: record["n"])
    cursor = records[-1]["cursor"]
    return Ended(
        name=layout.slug_of(task),
        state=state,
        reason=cursor.get("reason"),
        delivered=result if state is State.DONE else None,
        attempts=tuple(_attempt(record, texts) for record in records if record["event"] == "finished"),
        outputs={step: ref["attempt"] for step, ref in cursor.get("outputs", {}).items() if not ref.get("stale")},
    )


def _attempt(record: Mapping[str, Any], texts: Mapping[str, str]) -> Attempt:
    text = texts.get(record.get("output", ""), "")
    return Attempt(
        step=record["step"],
        number=record["attempt"],
        agent=record.get("agent", ""),
        outcome=record["outcome"],
        failure=record.get("failure"),
        sent=len(texts.get(record.get("prompt", ""), "")),
        said=len(text),
        text=text,
        failing=tuple(
            gate["name"]
            for gate in record.get("gates", ())
            if gate["status"] in ("fail", "error") and gate.get("level", "enforce") == "enforce"
        ),
    )


@contextmanager
def scene(settings: str, playbooks: Mapping[str, str], tasks: Sequence[TaskFile]) -> Iterator[Scene]:
    """An HQ with these rules, and the tasks already committed to its inbox. Gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hqd-bench-", ignore_cleanup_errors=True) as folder:
        made = Scene(Path(folder, "hq"), Path(folder, "cache"))
        for path in layout.KEPT_FOLDERS:
            _write(made.root / path / ".gitkeep", "")
        _write(made.root / "workspace/.gitattributes", layout.ATTRIBUTES)
        _write(made.root / layout.SETTINGS, settings)
        for name, text in playbooks.items():
            _write(made.root / layout.PLAYBOOKS / f"{name}.toml", f'name = "{name}"\n{text}')
        for task in tasks:
            _write(made.root / layout.INBOX / f"{task.name}.md", task.markdown())
        made.git("init", "-qb", "main")
        made.git("add", "-A")
        made.git("commit", "-qm", "an HQ for a benchmark")
        yield made


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
