"""What target repositories mean for decisions: which commit work begins at, what keeps it waiting, what holds it. Pure.

`board.targets` has the target's main as fetched a moment ago. A first claim takes its base from there, so work never
begins on what somebody has replaced long since; later attempts go on from it and need no remote.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hqd.core.moves import Park, Wait
from hqd.core.place import repo_of
from hqd.model.board import Board, Task
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.playbook import Playbook, Step, StepKind
from hqd.model.record import Event, Hold, Work
from hqd.model.spelling import meant

_WITHOUT_FILES = frozenset({StepKind.ASK, StepKind.SPAWN})
PROBE = timedelta(minutes=5)
"""After so long one task tries whether a set-up works again."""


def hold_name(repo: str) -> str:
    return f"repo-{repo}"


def push_hold_name(repo: str) -> str:
    """Of the hold on landing there: it can be read, and takes no push."""
    return f"repo-{repo}-push"


def hold_on(repo: str) -> str:
    return f"repo:{repo}"


def unready(task: Task, playbook: Playbook, step: Step, board: Board) -> Park | Wait | None:
    """Why a step cannot be claimed for want of its repository; None: it can, or it needs none."""
    wanted = task.document.header.repo or playbook.repo
    if task.cursor.base is not None and wanted != task.cursor.repo and task.cursor.head is not None:
        begun = task.cursor.repo or "the HQ"
        return Park(
            ParkReason.BAD_TASK,
            f"repo is {wanted or 'the HQ'} now, but its work began in {begun}: put it back, or drop it and add it anew",
        )
    repo = repo_of(task, playbook)
    if repo is None:
        return None
    repos = board.current.settings.repos
    if repo not in repos:
        near = meant(repo, repos) if repos else f"add [repos.{repo}] with its url"
        return Park(ParkReason.BAD_TASK, f"repo = {repo!r}: hqd.toml has no such repository; {near}")
    if step.kind in _WITHOUT_FILES or task.cursor.base is not None or repo in board.targets:
        return None
    hold = board.holds.get(hold_name(repo))
    return Wait(hold.missing if hold is not None else f"a fetch of repository {repo}", "hold")


def begins(task: Task, playbook: Playbook, step: Step, board: Board) -> Work | None:
    """Where this claim's work begins, for the claim's event; None: where it began before, or in the HQ.

    Before any work is accepted a newer main is taken as it comes; a failed attempt's patch stays on its own base.
    """
    repo = repo_of(task, playbook)
    if repo is None or step.kind in _WITHOUT_FILES or repo not in board.targets:
        return None
    if task.cursor.base is not None and (task.cursor.head is not None or task.cursor.patch is not None):
        return None
    return Work(base=board.targets[repo], repo=repo)


def held(hold: Hold, task: Task, playbook: Playbook, step: Step) -> bool:
    """Whether a hold on a repository keeps this step: all steps where the set-up fails, else those that need the
    remote, which are the first one and a review."""
    repo = repo_of(task, playbook)
    if repo is None or hold.on != hold_on(repo) or step.kind in _WITHOUT_FILES:
        return False
    return hold.reason == Failure.SETUP.value or task.cursor.base is None or step.review is not None


def setup_hold(task: Task, event: Event, now: datetime) -> Hold | None:
    """The hold that a failed set-up calls for; None: something else happened."""
    repo = task.cursor.repo
    if event.outcome is not Outcome.REFUSED or event.failure is not Failure.SETUP or repo is None:
        return None
    missing = event.message or f"setup of {repo} failed"
    name, on, reason = hold_name(repo), hold_on(repo), Failure.SETUP.value
    return Hold(name=name, on=on, reason=reason, since=now, missing=missing, probe=now + PROBE)
