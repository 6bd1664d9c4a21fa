"""`hqd why TASK`: where it is and why, what is missing, who must act, what was tried, what comes next."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hqd.cli import terminal
from hqd.cli.board.finding import Told, find
from hqd.cli.board.pull_requests import unheard
from hqd.cli.board.reading import View, now, view
from hqd.cli.board.status import _doing
from hqd.cli.board.waiting import NO_DAEMON, next_step, unasked, waits_for
from hqd.cli.call import Call
from hqd.core.flow import next_move
from hqd.core.reviews.unjudged import in_words, unjudged
from hqd.errors import EXIT_OK
from hqd.model.board import Board, Task
from hqd.model.failure import Outcome, ParkReason
from hqd.model.names import slug_of
from hqd.model.record import EventKind, Record
from hqd.model.task import State

MOST_TRIES = 6


def why(call: Call, name: str, *, as_json: bool) -> int:
    """Prints the story in about ten lines."""
    with view(call) as seen:
        story = find(seen, name)
        told = facts(seen, story, now())
    if as_json:
        terminal.data(told)
        return EXIT_OK
    terminal.title(f"{told['title']}  ({story.id})")
    rows = [
        [key, str(told[key])]
        for key in ("where", "why", "missing", "who", "best", "cost", "next", "command")
        if told[key]
    ]
    rows += [["not judged" if not place else "", line] for place, line in enumerate(told["unjudged"])]
    rows += [["not heard" if not place else "", line] for place, line in enumerate(told["unheard"])]
    tried = [["tried" if not place else "", line] for place, line in enumerate(_tries(told["tried"]))]
    terminal.rows((), [*rows[:4], *tried, *rows[4:]])
    return EXIT_OK


def facts(seen: View, story: Told, moment: datetime) -> dict[str, Any]:
    """The story as --json has it."""
    last = story.last
    task = seen.tasks.get(story.id)
    cursor = last.cursor if last is not None else None
    since = terminal.age(cursor.since, moment) if cursor is not None else ""
    at = "/".join(part for part in (cursor.playbook, cursor.step) if part) if cursor is not None else ""
    where = f"{story.state.value}/" + (f" for {since}" if since else "") + (f", at {at}" if at else "")
    told: dict[str, Any] = {
        "id": story.id,
        "title": story.document.title,
        "state": story.state.value,
        "where": where + (f", round {cursor.round}" if cursor is not None and cursor.round > 1 else ""),
        "why": _why(last) if last is not None else "",
        "missing": "",
        "unheard": [],
        "unjudged": [in_words(result) for _, result in unjudged(story.records)],
        "who": "nobody: it has ended",
        "tried": [_tried(record) for record in story.finished()],
        "best": _best(story),
        "cost": _cost(story),
        "next": "",
        "command": "",
    }
    if task is not None:
        board = seen.board(moment)
        alive = seen.daemon.alive
        told["unheard"] = unheard(seen, task)
        told["missing"] = waits_for(task, board, moment, alive=alive, doing=_doing(seen, task))
        told["who"] = who(task, board, moment, alive=alive)
        told["next"] = _next(task, board, moment)
        told["command"] = command(task)
    elif story.state is State.DONE:
        told["command"] = f"hqd show {slug_of(story.id)}"
    return told


def who(task: Task, board: Board, moment: datetime, *, alive: bool) -> str:
    """Who or what moves it on."""
    if unasked(task):
        return "the forge"
    if task.state in (State.BLOCKED, State.REVIEW):
        return "a human"
    if board.paused:
        return "a human: hqd is paused"
    if not alive:
        return f"a human: {NO_DAEMON}"
    until = getattr(next_move(task, board, moment), "until", "")
    words = {"human": "a human", "time": "nobody: time", "task": "another task", "worker": "its worker"}
    if task.state is State.ACTIVE:
        return "its worker"
    return words.get(until, "hqd")


def command(task: Task) -> str:
    """The command that helps most."""
    slug, reason = slug_of(task.id), task.cursor.reason
    if task.state is State.REVIEW and task.cursor.review is not None and task.cursor.review.audit:
        return f"hqd show {slug} --output, then hqd approve {slug} or hqd reject {slug} -m TEXT"
    if task.state is State.REVIEW:
        return f"hqd approve {slug}, or hqd request-changes {slug} -m TEXT"
    if task.state is State.BLOCKED:
        if reason in (ParkReason.NEEDS_HUMAN, ParkReason.ASKED):
            return f"hqd answer {slug} TEXT"
        return f"hqd retry {slug}, after you have mended it; or hqd drop {slug}"
    return f"hqd show {slug}"


def _next(task: Task, board: Board, moment: datetime) -> str:
    if task.state is State.BLOCKED:
        return f"a retry begins round {task.cursor.round + 1}" + (f" at {task.cursor.step}" if task.cursor.step else "")
    if task.state is State.REVIEW and task.cursor.review is not None and task.cursor.review.audit:
        return "your word is noted, nothing lands, and the task goes on as its gates have decided"
    if unasked(task):
        return "merged: the flow goes on; a word against it before then is heard, and full review comes back"
    if task.state is State.REVIEW:
        return "approved: the flow goes on; changes: back to an agent step with your words"
    if task.state is State.ACTIVE:
        return "its result is checked by the gates"
    return next_step(next_move(task, board, moment)).removeprefix("next: ")


def _why(last: Record) -> str:
    """The last event in words."""
    reason = last.reason or last.cursor.reason
    said = last.message or (last.findings[0].text if last.findings else "")
    if last.event is EventKind.PARKED and reason is not None:
        return reason.value
    what = f"{last.step} {last.outcome or last.event}" if last.step else last.event.value
    by = f" by {last.by}" if last.by != "hqd" else ""
    return f"{what}{by}" + (f": {said}" if said else "")


def _tried(record: Record) -> dict[str, Any]:
    finding = record.findings[0].text if record.findings else record.message
    return {
        "step": record.step,
        "attempt": record.attempt,
        "round": record.round,
        "agent": record.agent,
        "mode": record.cursor.mode if record.outcome is Outcome.FAILED else None,  # how its rung tried it
        "outcome": record.outcome.value if record.outcome is not None else None,
        "failure": record.failure.value if record.failure is not None else None,
        "finding": finding or None,
    }


def _tries(tried: list[dict[str, Any]]) -> list[str]:
    left_out = len(tried) - MOST_TRIES
    lines = [f"… {left_out} before these"] if left_out > 0 else []
    for each in tried[-MOST_TRIES:]:
        result = each["failure"] or each["outcome"] or "not told: an audit asks for a word without it"
        line = f"{each['step']} attempt {each['attempt']}" + (f" by {each['agent']}" if each["agent"] else "")
        line += f" ({each['mode']})" if each["mode"] not in (None, "first") else ""
        lines.append(terminal.cut(f"{line}: {result}" + (f": {each['finding']}" if each["finding"] else ""), 240))
    return lines


def _best(story: Told) -> str:
    """The best failed attempt of a parked task, where it is not the last one."""
    last = story.last
    best = last.cursor.best.get(last.cursor.step or "") if last is not None and story.state is State.BLOCKED else None
    if (
        last is None
        or best is None
        or best.output is None
        or best.output == last.cursor.last.get(last.cursor.step or "")
    ):
        return ""
    return f"attempt {best.attempt}, {best.passed} gate{'' if best.passed == 1 else 's'} held: {best.output}"


def _cost(story: Told) -> str:
    last = story.last
    if last is None:
        return ""
    attempts = len(story.finished())
    cost = terminal.dollars(last.cursor.cost) or "$0"
    return f"{cost} in {attempts} attempt{'' if attempts == 1 else 's'}, {last.cursor.tokens} tokens"
