"""What is done on a forge in one go, by the courier. Each may be done again: it looks first what is there.

Raise ForgeUnavailable, ForgeRefused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from hqd.codec.record import UnreadableRecord
from hqd.daemon.forge.brief import comment
from hqd.daemon.forge.story import Story, read_records
from hqd.errors import ForgeRefused
from hqd.model.names import TASK_ID
from hqd.model.problem import one_line
from hqd.model.record import Record, ReviewState
from hqd.model.review import MergeStyle, Review, ReviewStatus
from hqd.model.task import State
from hqd.ports import RemoteForge, Tree

_PREFIX = "hqd/"


def merge(
    server: RemoteForge,
    *,
    review: ReviewState,
    base: str,
    style: MergeStyle,
    message: str,
    look: Callable[[], None] = lambda: None,
) -> str:
    """Merges the pull request if its tip still is what was reviewed, and it still is to go to `base`. `look`: raises
    what else stands against it now."""
    if review.number is None:
        return ""
    there = server.review(review.number)
    if there.status is ReviewStatus.OPEN and there.base != base:
        raise ForgeRefused("blocked", f"#{review.number} is aimed at {one_line(there.base)}, not at {base}")
    if there.status is ReviewStatus.OPEN:
        look()
    commit = server.merge(review.number, review.head, style, message)
    return f"#{review.number} merged as {commit[:12]}"


def close(server: RemoteForge, *, number: int) -> str:
    """Closes a pull request that is still open."""
    if server.review(number).status is not ReviewStatus.OPEN:
        return ""
    server.close(number)
    return f"#{number} closed"


def tidy(server: RemoteForge, *, number: int, branch: str, head: str) -> str:
    """Takes away what landed work leaves behind: the branch, if its tip is what has landed; and where the work came to
    main in a way that the forge does not see, the pull request."""
    found = server.review(number)
    if found.head != head:
        return ""  # somebody went on there
    if found.status is ReviewStatus.OPEN:
        server.close(number)
    return f"{branch} deleted" if server.delete_branch(branch, head) else f"{branch} stays: it is elsewhere"


def retell(
    server: RemoteForge,
    *,
    number: int,
    told: Callable[[], Story | None],
    secrets: Callable[[], Collection[str]],
) -> str:
    """Brings the comment up to date with the task as it is by now."""
    story = told()
    if story is not None:
        server.comment(number, story.task.id, comment(story, story.task.state, secrets()))
    return ""


def sweep(server: RemoteForge, *, tree: Tree, open_tasks: Collection[str]) -> str:
    """Ends the pull requests of tasks that have ended: a crash may have come between the end and the closing."""
    ended = 0
    for found in server.changed_reviews(None):
        task = found.branch.removeprefix(_PREFIX)
        if found.fork or found.branch == task or not TASK_ID.fullmatch(task) or task in open_tasks:
            continue
        ended += _end(server, found, task, tree)
    return f"{ended} pull requests of ended tasks closed" if ended else ""


def _end(server: RemoteForge, found: Review, task: str, tree: Tree) -> bool:
    try:
        records = read_records(task, tree)
    except UnreadableRecord:
        return False
    state = records[-1].to if records else None
    if state is State.DROPPED:
        server.close(found.number)
        return True
    if state is State.DONE and _landed_head(records) == found.head:
        try:
            tidy(server, number=found.number, branch=found.branch, head=found.head)
        except ForgeRefused as refused:
            if refused.cause != "missing":
                raise
        return True
    return False


def _landed_head(records: tuple[Record, ...]) -> str | None:
    """The commit that was under review when the work landed."""
    head = None
    for record in records:
        if record.landed is not None:
            return head
        head = record.review.head if record.review is not None else head
    return None
