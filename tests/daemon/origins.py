"""An HQ with a bare origin, and another clone of it in which somebody else works."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.headquarters import SETTINGS, Headquarters, make

FAST = SETTINGS.replace("[hq]", '[hq]\nfetch = "200ms"\npush = "50ms"')


@dataclass
class Scene:
    hq: Headquarters
    bare: Path
    other: Headquarters

    def there(self, *args: str, check: bool = True) -> str:
        """git in the bare repository."""
        done = subprocess.run(["git", *args], cwd=self.bare, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    @property
    def tip(self) -> str:
        return self.there("rev-parse", "main")

    def in_line(self) -> bool:
        return self.tip == self.hq.git("rev-parse", "main")

    def push(self, path: str, text: str | None, message: str = "theirs") -> str:
        """Somebody else changes a file (None: deletes it) on top of origin's main, and pushes."""
        self.other.git("pull", "-q", "--rebase", "origin", "main")
        if text is None:
            self.other.git("rm", "-q", path)
        else:
            self.other.write(path, text)
        self.other.git("add", "-A")
        self.other.git("commit", "-qm", message)
        self.other.git("push", "-q", "origin", "main")
        return self.other.git("rev-parse", "HEAD")

    def hook(self, script: str | None) -> None:
        """What a server says to pushes; None: nothing."""
        path = self.bare / "hooks" / "pre-receive"
        if script is None:
            path.unlink()
            return
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)

    def away(self) -> None:
        """origin cannot be reached, until `back`. Refused at once, as by a server that is down."""
        self.hq.git("config", "remote.origin.url", "http://127.0.0.1:9/hq.git")

    def shut(self, *, down: bool) -> None:
        moved = self.bare.with_name("away.git")
        (self.bare if down else moved).rename(moved if down else self.bare)


def scene(root: Path, settings: str = FAST, **playbooks: str) -> Scene:
    hq = make(root, settings, **playbooks)
    bare = root / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    hq.git("remote", "add", "origin", str(bare))
    hq.git("push", "-q", "origin", "main")
    other = Headquarters(root / "other", {**hq.env, "GIT_AUTHOR_NAME": "Bea", "GIT_COMMITTER_NAME": "Bea"})
    subprocess.run(["git", "clone", "-q", str(bare), str(other.root)], check=True, env=hq.env)
    return Scene(hq, bare, other)
