"""Main was moved by somebody else: read it anew, find out what a person did, and whether history was rewritten."""

from __future__ import annotations

from typing import NamedTuple

from hqd.codec import layout
from hqd.core.decisions import Settled
from hqd.daemon.alarms import probe_now
from hqd.daemon.book import Book, Reading
from hqd.daemon.live import Live
from hqd.daemon.parts import Parts
from hqd.daemon.people import spool
from hqd.daemon.people.spool import Reply
from hqd.model.board import Task
from hqd.model.record import Hold
from hqd.ports import Tree

HISTORY_HOLD = "history-rewritten"


class Foreign(NamedTuple):
    """What stood before a person's commits, and what stands now."""

    before: dict[str, Task]
    reading: Reading
    old: Tree | None


def follow(live: Live, book: Book, parts: Parts, tree: Tree, old_tip: str | None, *, anew: bool = False) -> Foreign:
    """Takes a tip that hqd did not make. Records that it lacks make a hold, which only `hqd adopt` lifts.

    `anew`: what is known of the tasks is of another history, and is read again whatever the trees say.
    """
    old = _tree(parts, old_tip)
    if old_tip is not None and old_tip != tree.commit and _rewritten(live, parts, old_tip, tree):
        live.tree = tree
        return Foreign(dict(live.tasks), Reading(dict(live.tasks), {}, ()), None)
    if not anew and live.tree is not None and old is not None and _same(old, tree, layout.WORKSPACE):
        reading = Reading(dict(live.tasks), {}, (), live.task_problems)  # people commit often; tasks are many
    else:
        reading = book.read(tree)
    before = live.tasks if live.tree is not None or old is None else book.read(old).tasks
    live.tree, live.tasks = tree, reading.tasks
    live.task_problems = dict(reading.problems)
    live.read_holds(tree)
    if parts.rulebook.refresh(tree):
        probe_now(live, parts.clock.now())
    live.settled = Settled()
    live.see_decisions(parts)
    parts.followed(tree)
    parts.see_tip(tree.commit)
    return Foreign(dict(before), reading, old)


def _same(one: Tree, other: Tree, folder: str) -> bool:
    """Whether a folder is the same in both."""
    first, second = one.entry(folder), other.entry(folder)
    return first is not None and second is not None and first.id == second.id


def _tree(parts: Parts, tip: str | None) -> Tree | None:
    if tip is None:
        return None
    try:
        tree = parts.history.tree(tip)
        tree.entries("")
    except KeyError:
        return None
    return tree


def _rewritten(live: Live, parts: Parts, old_tip: str, tree: Tree) -> bool:
    """A tip that does not descend from the last one seen goes on only if every record is still there."""
    if parts.history.descends(old_tip, tree.commit):
        return False
    lost = parts.history.lost_records(old_tip, tree.commit)
    if not lost:
        return False
    missing = (
        f"main was rewritten: {len(lost)} records of {old_tip[:12]} are not in {tree.commit[:12]}"
        f" ({lost[0]}, …); go back with `git reset --hard {old_tip[:12]}`, or accept it with `hqd adopt`"
    )
    now = parts.clock.now()
    live.hold_locally(Hold(name=HISTORY_HOLD, on="hq", reason="history_rewritten", since=now, missing=missing))
    parts.display.note(missing)
    return True


def _whole_again(parts: Parts, agreed: str, tree: Tree) -> bool:
    """Whether main has every record of the tip that was last agreed to: the person went back."""
    try:
        return parts.history.descends(agreed, tree.commit) or not parts.history.lost_records(agreed, tree.commit)
    except KeyError:  # that tip is gone for good
        return False


def history_held(live: Live, book: Book, parts: Parts) -> tuple[bool, Foreign | None]:
    """Rewritten history: nothing is written until a person puts main back or says `hqd adopt`.

    (still held, what there is to follow).
    """
    hold = live.local_holds.get(HISTORY_HOLD)
    if hold is None:
        return False, None
    tree, agreed = parts.ledger.snapshot(), parts.last_tip()
    if agreed is not None and _whole_again(parts, agreed, tree):
        live.lift_locally(HISTORY_HOLD)
        parts.display.note(f"main has all records of {agreed[:12]} again: hqd goes on")
        return False, follow(live, book, parts, tree, agreed)
    for request in spool.waiting(parts.private):
        if request.word != "adopt":
            spool.answer(parts.private, request.id, Reply(False, hold.missing, "hqd adopt"))
            continue
        live.lift_locally(HISTORY_HOLD)
        parts.see_tip(tree.commit)
        foreign = follow(live, book, parts, tree, tree.commit, anew=True)
        spool.answer(parts.private, request.id, Reply(True, f"adopted {tree.commit[:12]}"))
        return False, foreign
    return True, None
