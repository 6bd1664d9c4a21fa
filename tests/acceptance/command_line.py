"""An HQ on recorded answers, and hqd called in it as a person would, each call a process of its own.

A call of `python -m hqd` spends most of its time on imports. So one process imports everything once and forks for
each call: the same `main`, own folder, own environment, own streams, an exit code of its own. `real=True` starts
`python -m hqd` instead; some tests do, so that nothing rests on what was imported before.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """\
format = 1
[defaults]
on_fail = [{ retry = 1 }, "human"]
[agents.writer]
provider = "replay"
answers = "answers.jsonl"
"""

GENERAL = """\
name = "general"
[[steps]]
name = "write"
agent = "writer"
prompt_text = "Write about {{ task.title }}."
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "must_include", values = ["kiwi"] }]
[[steps]]
name = "approve"
review = { on_changes = "write" }
"""

ANSWERS: tuple[dict[str, Any], ...] = (
    {"slug": "fruit", "attempt": 1, "answer": "An apple.", "usage": {"input_tokens": 100, "cost_usd": 0.01}},
    {"slug": "fruit", "answer": "A kiwi.", "usage": {"input_tokens": 120, "cost_usd": 0.02}},
    {"slug": "root", "answer": "A carrot."},
    {"slug": "asks", "needs_human": "Which colour?", "answer": "?"},
)


FORKING = """
import json, os, sys
import hqd.bootstrap, hqd.cli.app, hqd.cli.run, hqd.cli.check, hqd.cli.gate, hqd.cli.board.status, hqd.cli.board.show
from hqd.cli import main
for line in sys.stdin:
    call = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(call["cwd"])
        os.environ.clear()
        os.environ.update(call["env"])
        for number, (path, how) in enumerate(call["streams"]):
            os.dup2(os.open(path, how), number)
        sys.stdin = open(0, encoding="utf-8")
        code = 70
        try:
            code = main(call["words"])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def forking() -> subprocess.Popen[str]:
    """The process that forks; ended with pytest."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )

    def end() -> None:
        cast(IO[str], process.stdin).close()
        process.wait(timeout=10)
        cast(IO[str], process.stdout).close()

    atexit.register(end)
    return process


def forked(words: tuple[str, ...], cwd: Path, env: dict[str, str], stdin: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of one call."""
    process = forking()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").write_text(stdin, "utf-8")
        streams = [(str(folder / "in"), os.O_RDONLY)]
        streams += [(str(folder / each), os.O_WRONLY | os.O_CREAT | os.O_APPEND) for each in ("out", "err")]
        call = {"words": words, "cwd": str(cwd), "env": env, "streams": streams}
        cast(IO[str], process.stdin).write(json.dumps(call) + "\n")
        cast(IO[str], process.stdin).flush()
        code = int(cast(IO[str], process.stdout).readline())
        return code, *((folder / each).read_text("utf-8") for each in ("out", "err"))


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert found["schema_version"] == 1
        return dict(found)


@dataclass(frozen=True)
class CommandLine:
    """`hqd` in one HQ. `home` is the person's, empty."""

    root: Path
    home: Path

    def env(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HQD_", "GIT_"))}
        own = {"PYTHONPATH": str(ROOT), "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache")}
        return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "COLUMNS": "100", **own, **more}

    def __call__(self, *words: str, cwd: Path | None = None, stdin: str = "", real: bool = False, **env: str) -> Said:
        if real:
            done = subprocess.run(
                [sys.executable, "-m", "hqd", *words], cwd=cwd or self.root, env=self.env(**env), input=stdin,
                check=False, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = forked(words, cwd or self.root, self.env(**env), stdin)
        assert "Traceback" not in err, err
        return Said(code, out, err)

    def ok(self, *words: str, cwd: Path | None = None, stdin: str = "", real: bool = False, **env: str) -> Said:
        said = self(*words, cwd=cwd, stdin=stdin, real=real, **env)
        assert said.code == 0, (words, said)
        return said

    def git(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=self.env(), check=check, capture_output=True, text=True, timeout=60
        )
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")

    def commit(self, path: str, text: str) -> None:
        """A person's commit of one file."""
        self.write(path, text)
        self.git("add", "--", path)
        self.git("commit", "--quiet", "--message", f"Write {path}", "--", path)

    def task(self, slug: str) -> dict[str, Any]:
        """A task's line of the board, ended ones too."""
        found = [each for each in self.ok("status", "--all", "--json").json()["tasks"] if each["slug"] == slug]
        assert len(found) == 1, found
        return dict(found[0])


def hq_on_answers(root: Path, home: Path) -> CommandLine:
    """Fills the least HQ (fixture `hq_repo`) with a playbook and its recorded answers."""
    home.mkdir(exist_ok=True)
    line = CommandLine(root, home)
    line.write("hqd.toml", SETTINGS)
    line.write("playbooks/general.toml", GENERAL)
    line.write("answers.jsonl", "".join(json.dumps(row) + "\n" for row in ANSWERS))
    line.git("add", "--all")
    line.git("commit", "--quiet", "--message", "Fill it")
    return line
