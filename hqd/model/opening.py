"""What a review is opened with, and what its pull request says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hqd.model.board import Task
from hqd.model.playbook import Step
from hqd.model.review import Check


@dataclass(frozen=True, slots=True)
class Brief:
    """The words of a pull request: markdown, cleaned and bounded, safe to show to anybody who may see the HQ."""

    title: str
    body: str
    comment: str  # of the one comment that is kept up to date, without its marker
    checks: tuple[Check, ...] = ()  # one for each gate that people are told of


@dataclass(frozen=True, slots=True)
class Opening:
    """The accepted work of a task that is to be put before people. `task` is as after the claim."""

    task: Task
    step: Step
    snapshot: str  # commit of the HQ that the claim was decided on
    now: datetime
    brief: Callable[[], Brief]  # asked only where there is somebody to tell: it reads the task's records
    asked: bool = True  # False: nobody is asked for a word, no reviewers are named
    theirs: str | None = None  # a person's tip of the branch, which the work has been brought together with
