"""A fake forge with real git behind it, a person's clone, and an adapter that speaks to it over HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqd.adapters.forges import gitea, github, gitlab
from hqd.adapters.forges.http import Patience
from hqd.adapters.git import Git
from hqd.model.review import Review, ReviewRequest
from hqd.testing.forge_repository import ForgeRepository
from hqd.testing.forge_server import TOKEN, ForgeServer
from hqd.testing.forge_state import FakeForge

Served = github.GitHubForge | gitlab.GitLabForge | gitea.GiteaForge
CONNECT: dict[str, Callable[..., Served]] = {
    "github": github.connect,
    "github-enterprise": github.connect,
    "gitlab": gitlab.connect,
    "gitea": gitea.connect,
    "forgejo": gitea.connect,
}
QUICK = Patience(tries=3, total=10.0, connect=5.0, silence=2.0, answer=5.0, first_wait=0.01)

SLOW = Patience(tries=3, total=90.0, silence=30.0, answer=60.0, first_wait=0.01)
"""For a judge on the way that takes its time."""


@dataclass
class Scene:
    forge: FakeForge
    server: ForgeServer
    remote: Served
    bare: Path

    def git(self, *args: str, stdin: str = "") -> str:
        done = subprocess.run(["git", *args], cwd=self.bare, check=True, capture_output=True, text=True, input=stdin)
        return done.stdout.strip()

    def push(self, branch: str, files: dict[str, str], start: str = "main", message: str = "Work") -> str:
        """A person's push of one commit on top of branch `start` that writes `files`; its id."""
        return commit(self.bare, branch, files, start, message)

    def opened(self, branch: str = "hqd/T-1", *, draft: bool = False, **files: str) -> Review:
        """A pull request of hqd's with one commit on it."""
        self.push(branch, files or {"a.txt": f"work on {branch}\n"})
        return self.remote.open_review(ReviewRequest(branch=branch, base="main", title="A title", draft=draft))

    def read(self, revision: str, path: str) -> str:
        return self.git("show", f"{revision}:{path}")


def commit(bare: Path, branch: str, files: dict[str, str], start: str | None, message: str) -> str:
    """One commit, without a working tree: a single process."""
    who = "Ann <ann@example.org> 1767225600 +0000"
    lines = [f"commit refs/heads/{branch}", f"committer {who}", f"data {len(message)}", message]
    lines += [f"from refs/heads/{start}^0"] if start else []
    for name, text in files.items():
        lines += [f"M 100644 inline {name}", f"data {len(text.encode())}", text]
    stream = "\n".join([*lines, "done", ""])
    run = {"cwd": bare, "check": True, "capture_output": True, "text": True}
    subprocess.run(["git", "fast-import", "--quiet", "--force", "--done"], input=stream, **run)
    return (bare / "refs/heads" / branch).read_text(encoding="ascii").strip()


def template(folder: Path) -> Path:
    """`hq.git`, bare, main with one commit; to be copied for each test."""
    bare = folder / "hq.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", "--template=", str(bare)], check=True)
    commit(bare, "main", {"a.txt": "one\ntwo\nthree\n"}, None, "Begin")
    return folder


@contextmanager
def scene(made: Path, folder: Path, flavour: str = "github", address: Any = None, **options: Any) -> Iterator[Scene]:
    """`address`: what to point the adapter at instead of the server, given the server."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    forge = FakeForge(ForgeRepository(Git(folder / "hq.git", dict(os.environ)).quick))
    forge.add_user("tim", "write")
    forge.add_user("eve", "read")
    with ForgeServer(forge, flavour, **{key: options.pop(key) for key in ("limit",) if key in options}) as server:
        options = {"patience": QUICK if address is None else SLOW, **options}
        url = address(server) if address is not None else server.url
        remote = CONNECT[flavour](lambda: TOKEN, "acme/hq", url, **options)
        try:
            yield Scene(forge, server, remote, folder / "hq.git")
        finally:
            remote.disconnect()


def key_pair() -> tuple[str, str]:
    """A GitHub App's key: (private, public) as PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = made.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
