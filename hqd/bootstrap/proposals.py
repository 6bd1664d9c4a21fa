"""Proposals of lessons beyond this clone: their pull request where the HQ has a forge, and the process that makes them.

The daemon lets a process of its own do the work: a backtest reads all of history, and has no place beside the loop.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hqd
from hqd.adapters import process
from hqd.adapters.environment import for_oneself
from hqd.adapters.git import Git
from hqd.adapters.remote import RemoteOf
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.errors import Expected, Misconfigured
from hqd.model.remote import PushOutcome, RefUpdate
from hqd.model.review import ReviewRequest, ReviewStatus
from hqd.model.settings import Settings
from hqd.ports import Remote, RemoteForge

PATIENCE = 900.0
"""Seconds that looking for a gate and trying it on all of history may take."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The forge's side of the HQ's own repository."""

    server: RemoteForge
    remote: Remote
    base: str

    def publish(self, branch: str, commit: str, before: str | None, title: str, body: str) -> str:
        """Pushes the branch and opens its pull request, or brings it up to date; its address.

        Raises Expected where somebody has changed the branch there, or the forge says no.
        """
        (pushed,) = self.remote.push([RefUpdate(f"refs/heads/{branch}", commit, before)])
        if pushed.outcome is PushOutcome.MOVED and before is not None:
            (pushed,) = self.remote.push([RefUpdate(f"refs/heads/{branch}", commit)])  # it was deleted there
        if pushed.outcome is not PushOutcome.DONE:
            why = pushed.message or "somebody has changed it there"
            raise Expected(f"{branch} cannot be pushed: {why}", remedy="merge it, or delete it there")
        review = self.server.open_review(
            ReviewRequest(branch=branch, base=self.base, title=title, body=body, draft=False)
        )
        if (review.title, review.body) != (title, body):
            review = self.server.update_review(review.number, title=title, body=body)
        return review.url

    def withdraw(self, branch: str, commit: str, why: str) -> None:
        """Closes the pull request with a word, and deletes the branch where it is still as it was."""
        review = self.server.find_review(branch)
        if review is not None and review.status is ReviewStatus.OPEN:
            self.server.comment(review.number, "lesson-declined", why)
            self.server.close(review.number)
        self.server.delete_branch(branch, commit)


@contextmanager
def forge_desk(git: Git, settings: Settings, env: Mapping[str, str]) -> Iterator[Desk | None]:
    """None where reviews are local. Raises Misconfigured."""
    if settings.forge.kind == "local":
        yield None
        return
    stop = threading.Event()
    forges = Forges(lambda: settings, EnvironmentSecrets(env), stop)
    try:
        origin = git.quick("config", "--get", "remote.origin.url", codes=(0, 1)).text
        if not origin or settings.forge.repo is None:
            raise Misconfigured(
                "pull requests need [forge] repo and a remote `origin`", remedy="git remote add origin URL"
            )
        server, _token = forges.server(settings.forge, settings.forge.repo)
        remote = RemoteOf(git, origin, name="forge", token=forges.token_for(origin), stop=stop)
        yield Desk(server, remote, settings.hq.branch)
    finally:
        forges.close()


def proposing(root: Path, env: Mapping[str, str]) -> Callable[[Sequence[str], threading.Event], None]:
    """Runs `hqd lessons propose --ready IDS` as a process of its own. Raises Expected for what it says on failure."""
    checkout = Path(hqd.__file__).resolve().parents[1]
    own = {} if checkout.name in ("site-packages", "dist-packages") else {"PYTHONPATH": str(checkout)}

    def run(ids: Sequence[str], stop: threading.Event) -> None:
        argv = (sys.executable, "-m", "hqd", "--hq", str(root), "lessons", "propose", "--ready", *ids)
        done = process.run(argv, env={**for_oneself(env), **own}, timeout=PATIENCE, cwd=root, stop=stop)
        if not done.ok and not stop.is_set():
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[-300:]
            raise Expected(f"lessons could not be proposed: {said}")

    return run
