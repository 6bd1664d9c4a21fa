"""An HQ whose origin is the bare repository behind a fake forge: real git, real HTTP, everything on 127.0.0.1."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hqd.adapters.git import Git
from hqd.testing.forge_repository import ForgeRepository
from hqd.testing.forge_server import TOKEN, ForgeServer
from hqd.testing.forge_state import FakeForge, Pull
from tests.daemon.headquarters import SETTINGS, Headquarters, make

ARTICLE = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 3 }, { kind = "must_include", values = ["zebra"], level = "shadow" }]
[[steps]]
name = "approve"
review = { reviewers = ["tim"], labels = ["article"], land = "LAND", style = "STYLE" }
"""
TASK = "---\ntags: [article]\n---\n# An article\n\nWrite it.\n"


@dataclass
class Forged:
    """An HQ, its forge, and the repository behind both."""

    hq: Headquarters
    forge: FakeForge
    server: ForgeServer
    bare: Path

    def git(self, *args: str) -> str:
        done = subprocess.run(["git", *args], cwd=self.bare, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    @property
    def pull(self) -> Pull:
        """The one pull request."""
        assert list(self.forge.pulls) == [1], self.forge.pulls
        return self.forge.pulls[1]

    def catch_up(self) -> None:
        """main here follows main there, as a person's `git pull` does."""
        self.hq.git("pull", "-q", "--no-rebase", "--no-edit", "origin", "main")


def settings(server: ForgeServer, kind: str = "github", **more: str) -> str:
    """hqd.toml for a forge, with short times; `more`: raw values of keys of [forge]; empty: without."""
    keys = {
        "kind": f'"{kind}"', "repo": '"acme/hq"', "token": '"secret:forge"', "api_url": f'"{server.url}"',
        "branch_grace": '"300ms"', "poll": '"500ms"', "debounce": '"100ms"', **more,
    }  # fmt: skip
    table = "".join(f"{key} = {value}\n" for key, value in keys.items() if value)
    return SETTINGS.replace('[forge]\nbranch_grace = "300ms"\n', f"[forge]\n{table}")


@contextmanager
def forged(
    root: Path, *, land: str = "on_merge", style: str = "merge", flavour: str = "github", **keys: str
) -> Iterator[Forged]:
    """`keys`: raw values of further keys of [forge]. The token is in the environment of the daemon, not of this."""
    bare = root / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", "--template=", str(bare)], check=True)
    forge = FakeForge(ForgeRepository(Git(bare, dict(os.environ)).quick))
    forge.add_user("tim", "write")
    with ForgeServer(forge, flavour) as server:
        playbook = ARTICLE.replace("LAND", land).replace("STYLE", style)
        text = settings(server, {"github-enterprise": "github", "forgejo": "gitea"}.get(flavour, flavour), **keys)
        hq = make(root, text, article=playbook)
        hq.env["HQD_SECRET_FORGE"] = TOKEN
        hq.git("remote", "add", "origin", str(bare))
        hq.git("push", "-q", "origin", "main")
        yield Forged(hq, forge, server, bare)
