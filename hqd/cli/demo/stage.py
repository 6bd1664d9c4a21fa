"""The stage of `hqd demo`: a throw-away HQ, the real daemon beside it, and main's history as it grows.

Law: everything that is told comes from commits and records. What was expected and did not happen is `NotAsTold`.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hqd
from hqd.adapters import process
from hqd.adapters.git import Git
from hqd.codec import layout
from hqd.codec.message import trailers
from hqd.codec.record import read_record
from hqd.model.names import slug_of
from hqd.model.record import Record
from hqd.model.task import State
from hqd.starter.laying import Laid, lay_down, starter_files

DATA = Path(hqd.__file__).resolve().parent / "demo"
ANSWERS = "recorded.jsonl"
PACE, CALM_PACE = 'delay = "0.3s"', 'delay = "1s"'
"""How long a recorded agent thinks; longer where a person looks on."""

PATIENCE = 60.0  # seconds until something has to have happened
_LOOK = 0.1
_A_DAY = 86_400.0
_FOREIGN = ("HQD_", "ANTHROPIC_", "OPENAI_", "WATCHDOG_", "NOTIFY_SOCKET", "INVOCATION_ID", "CREDENTIALS_DIRECTORY")


class NotAsTold(Exception):
    """What the demo expected did not happen."""


@dataclass(frozen=True, slots=True)
class News:
    """One commit on main. `record` is None for a commit that is no event of a task."""

    commit: str
    subject: str
    record: Record | None = None
    task: str | None = None

    @property
    def slug(self) -> str | None:
        return slug_of(self.task) if self.task is not None else None


class Stage:
    """One HQ with its daemon. Used by one thread."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, calm: bool) -> None:
        self.root = folder / "hq"
        self.ids: dict[str, str] = {}  # slug -> task id
        self.records: dict[str, list[Record]] = {}  # slug -> its events so far
        self._env = _child_env(env, folder)
        self._git = Git(self.root, self._env)
        self._calm = calm
        self._output: list[bytes] = []
        self._ended: process.Result | None = None
        self._seen = ""

    def make(self) -> Laid:
        """Lays the HQ down, as `hqd init` does, with the demo's playbooks and agents in it."""
        files = starter_files("none", minimal=True)
        settings = (DATA / layout.SETTINGS).read_text("utf-8")
        files[layout.SETTINGS] = (settings.replace(PACE, CALM_PACE) if self._calm else settings).encode()
        files[ANSWERS] = (DATA / ANSWERS).read_bytes()
        for path in sorted((DATA / layout.PLAYBOOKS).rglob("*")):
            if path.is_file():
                files[path.relative_to(DATA).as_posix()] = path.read_bytes()
        laid = lay_down(self.root, files, self._env, "Make the HQ of the demo")
        self._seen = laid.commit
        return laid

    @contextmanager
    def daemon(self) -> Iterator[None]:
        """`hqd run` as a child process, stopped at the end as by SIGTERM."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), name="hqd-demo-daemon")
        thread.start()
        try:
            self._until(lambda: self._status_file().exists(), "the daemon is ready")
            yield
        finally:
            stop.set()
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        argv = (sys.executable, "-m", "hqd", "run")
        try:
            self._ended = process.run(
                argv, env=self._env, timeout=_A_DAY, cwd=self.root, stop=stop, grace=15.0, on_stdout=self._output.append
            )
        except process.CannotStart as fault:
            self._ended = process.Result(1, b"", fault.message.encode())

    def _status_file(self) -> Path:
        return self.root / ".git" / layout.PRIVATE / "daemon.json"

    def daemon_output(self) -> str:
        """What the daemon has printed; its errors too once it has ended."""
        errors = self._ended.stderr if self._ended is not None else b""
        return (b"".join(self._output) + errors).decode("utf-8", "replace")

    def hqd(self, *words: str) -> str:
        """Runs a command of hqd in the HQ; what it printed. Raises NotAsTold where it fails."""
        done = process.run((sys.executable, "-m", "hqd", *words), env=self._env, timeout=PATIENCE, cwd=self.root)
        if not done.ok:
            said = (done.stdout + done.stderr).decode("utf-8", "replace")
            raise NotAsTold(f"`hqd {' '.join(words)}` ended with {done.exit}: {said}")
        return done.stdout.decode("utf-8", "replace")

    def git(self, *args: str) -> str:
        return self._git.read(*args).text

    def read(self, path: str) -> str:
        """A file of main. Raises NotAsTold where there is none."""
        found = self._git.read("show", f"main:{path}", codes=(0, 128))
        if found.code != 0:
            raise NotAsTold(f"{path} is not on main")
        return found.text

    def drop(self, name: str) -> str:
        """Moves a file into the inbox, whole, as a person does; its path there."""
        draft = self.root.parent / name
        shutil.copy(DATA / "tasks" / name, draft)
        path = f"{layout.INBOX}/{name}"
        draft.rename(self.root / path)
        return path

    def state(self, slug: str) -> State | None:
        """Where a task is by its newest record; None before it is accepted."""
        known = self.records.get(slug)
        return known[-1].to if known else None

    def file_of(self, slug: str) -> str:
        """The path of an open task's file."""
        return layout.task_path(self.ids[slug], self.records[slug][-1].to)

    def follow(self, goal: Callable[[], bool], what: str, tell: Callable[[News], None]) -> None:
        """Tells each new commit on main until `goal` is reached. Raises NotAsTold after a minute without it."""

        def reached() -> bool:
            for news in self._news():
                tell(news)
            return goal()

        self._until(reached, what)

    def _until(self, goal: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not goal():
            if self._ended is not None:
                raise NotAsTold(f"the daemon ended with {self._ended.exit} before {what}")
            if time.monotonic() > end:
                raise NotAsTold(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(_LOOK)

    def _news(self) -> Iterator[News]:
        tip = self.git("rev-parse", "main")
        if tip == self._seen:
            return
        log = self.git("log", "--reverse", "--first-parent", "-z", "--format=%H%n%B", f"{self._seen}..{tip}")
        self._seen = tip
        for entry in log.split("\0"):
            commit, _, message = entry.partition("\n")
            if commit:
                yield self._understood(commit, message)

    def _understood(self, commit: str, message: str) -> News:
        subject = message.split("\n", 1)[0]
        task = trailers(message).get("Hqd-Task")
        if task is None:
            return News(commit, subject)
        changed = self.git("diff-tree", "-r", "--name-only", "--no-commit-id", commit, "--", layout.runs_folder(task))
        path = next((path for path in changed.splitlines() if path.endswith(".toml")), None)
        if path is None:
            return News(commit, subject)
        record = read_record(self.git("show", f"{commit}:{path}").encode(), path)
        self.ids[slug_of(task)] = task
        self.records.setdefault(slug_of(task), []).append(record)
        return News(commit, subject, record, task)


def _child_env(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The person's environment without keys, another HQ or a service; working copies stay in the demo's folder."""
    kept = {name: value for name, value in env.items() if not name.startswith(_FOREIGN)}
    kept.pop("CACHE_DIRECTORY", None)
    checkout = DATA.parent.parent
    if checkout.name not in ("site-packages", "dist-packages"):
        kept["PYTHONPATH"] = str(checkout)  # started from a checkout that may not be installed
    return kept | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
