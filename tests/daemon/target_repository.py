"""A target repository on a bare remote, and people who work on it: real git on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.headquarters import SETTINGS, Headquarters, make

GREEN = "def add(a, b):\n    return a + b\n"
RED = "def add(a, b):\n    return a - b\n"
TESTS = "from calc import add\n\nassert add(2, 2) == 4, add(2, 2)\n"
PYTHON = sys.executable


@dataclass
class Site:
    """The bare remote and a person's clone of it."""

    remote: Path
    clone: Path
    env: Mapping[str, str]

    def git(self, *args: str, where: Path | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *args], cwd=where or self.clone, env=dict(self.env), check=False, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)

    def commit(self, files: Mapping[str, str | None], message: str = "by hand", *, push: bool = True) -> str:
        """A person's commit on the clone's branch, pushed to the remote's branch of that name."""
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        if push:
            self.git("push", "--quiet", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        self.git("fetch", "--quiet", "origin")
        self.git("reset", "--quiet", "--hard", "origin/main")

    def tip(self, ref: str = "main") -> str:
        return self.git("rev-parse", "--verify", "--quiet", ref, where=self.remote, check=False)

    def show(self, path: str, ref: str = "main") -> str:
        return self.git("show", f"{ref}:{path}", where=self.remote)

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads", where=self.remote).split()

    def hook(self, text: str) -> None:
        """A pre-receive hook of the remote, in sh."""
        path = self.remote / "hooks" / "pre-receive"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


def site(tmp_path: Path, env: Mapping[str, str], files: Mapping[str, str | None] | None = None) -> Site:
    made = Site(tmp_path / "site.git", tmp_path / "person", env)
    made.git("init", "--quiet", "--bare", "--initial-branch=main", str(made.remote), where=tmp_path)
    made.git("clone", "--quiet", str(made.remote), str(made.clone), where=tmp_path)
    made.git("switch", "--quiet", "--create", "main", check=False)
    made.commit(files or {"calc.py": RED, "test_calc.py": TESTS, "README.md": "A calculator.\n"}, "Start")
    return made


def settings(url: str | Path, more: str = "", **agents: str) -> str:
    """Settings with repository `site` at `url`; `agents`: name -> Python that a command agent runs in its copy."""
    text = SETTINGS.replace('rescan = "1s"', 'rescan = "1s"\nfetch = "300ms"')
    for name, code in agents.items():
        text += f'[agents.{name}]\nprovider = "command"\nargv = ["{PYTHON}", "-c", {_toml(code)}]\n'
    return f'{text}\n[repos.site]\nurl = "{url}"\n{more}'


FIX = """
name = "fix"
repo = "site"
accepts = { tags = ["fix"] }
[[steps]]
name = "mend"
agent = "mender"
prompt_text = "Mend it."
gates = [{ kind = "command", argv = ["PYTHON", "test_calc.py"] }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
""".replace("PYTHON", PYTHON)
MEND = "import pathlib; pathlib.Path('calc.py').write_text('def add(a, b):\\n    return a + b\\n'); print('mended')"
TASK = "---\ntags: [fix]\n---\n# Mend add\n\nIt subtracts.\n"


def shop(
    tmp_path: Path, *, playbook: str = FIX, more: str = "", url: str | None = None, **agents: str
) -> tuple[Headquarters, Site]:
    """An HQ whose tasks tagged `fix` are worked on in a target repository with a red test."""
    hq = make(tmp_path, settings(url or tmp_path / "site.git", more, **(agents or {"mender": MEND})), fix=playbook)
    return hq, site(tmp_path, hq.env)


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
