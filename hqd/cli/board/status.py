"""`hqd status`: the board."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hqd.cli import terminal
from hqd.cli.board.faults import faults, waiting_files
from hqd.cli.board.finding import told
from hqd.cli.board.origin import origin_facts, origin_line
from hqd.cli.board.pull_requests import waiting
from hqd.cli.board.reading import View, now, view
from hqd.cli.board.waiting import waits_for
from hqd.cli.call import Call
from hqd.codec import layout
from hqd.core.decide import place_of
from hqd.core.flow import next_move
from hqd.core.moves import ClaimStep, Wait
from hqd.errors import EXIT_OK, HqdError
from hqd.model.board import Board, Task
from hqd.model.names import branch, slug_of
from hqd.model.problem import Problem, ProblemLevel
from hqd.model.record import Cursor, Hold
from hqd.model.task import State, TaskDocument

ORDER = (State.BLOCKED, State.REVIEW, State.ACTIVE, State.QUEUE, State.DONE, State.DROPPED)
"""What needs a person first."""

ENDED_DAYS = 30
HEADS = ("TASK", "PLAYBOOK/STEP", "TRY", "COST", "AGE", "WHAT")


def status(call: Call, *, as_json: bool, everything: bool, at: str | None) -> int:
    """Prints the board of main, or of a revision; the exit code is 0 whatever it shows."""
    with view(call, at) as seen:
        moment = seen.moment
        board = seen.board(moment)
        alive = seen.daemon.alive or seen.past
        rows = [row(task, board, moment, alive=alive, doing=_doing(seen, task)) for task in _sorted(board)]
        if everything:
            rows += list(ended_rows(seen, moment))
        found = faults(seen, dict(call.env))
        inbox = [] if seen.past else waiting_files(seen.repo.root)
        if as_json:
            terminal.data(_facts(seen, board, rows, found, inbox))
        else:
            _print(seen, board, rows, found, inbox, moment)
    return EXIT_OK


def row(task: Task, board: Board, moment: datetime, *, alive: bool, doing: str) -> dict[str, Any]:
    """One open task as --json has it."""
    missing = waits_for(task, board, moment, alive=alive, doing=doing)
    found = _row(task.id, task.state, task.document, task.cursor, missing)
    move = next_move(task, board, moment) if task.state is State.QUEUE and task.cursor.step is None else None
    if isinstance(move, ClaimStep):
        _rules, playbook, step = place_of(task, move, board, moment)
        found["playbook"], found["step"] = playbook.name, step.name
    return found


def _row(task: str, state: State, document: TaskDocument, cursor: Cursor, missing: str | None) -> dict[str, Any]:
    review = cursor.review if state is State.REVIEW else None
    return {
        "id": task,
        "slug": slug_of(task),
        "title": document.title,
        "state": state.value,
        "playbook": cursor.playbook or document.header.playbook,
        "step": cursor.step,
        "attempt": cursor.attempts.get(cursor.step or "", 0),
        "round": cursor.round,
        "reason": cursor.reason.value if cursor.reason is not None and state is State.BLOCKED else None,
        "missing": missing,
        "cost_usd": round(cursor.cost, 6),
        "branch": branch(task) if cursor.head is not None or review is not None else None,
        "review": review.model_dump(mode="json", exclude_none=True) if review is not None else None,
        "since": cursor.since.isoformat() if cursor.since is not None else None,
        "tags": list(document.header.tags),
        "priority": document.header.priority,
    }


def ended_rows(seen: View, moment: datetime) -> Iterator[dict[str, Any]]:
    """Tasks that ended in the last 30 days, the newest first."""
    for state in (State.DONE, State.DROPPED):
        for back in range(ENDED_DAYS + 1):
            day = layout.day_path((moment.astimezone(UTC) - timedelta(days=back)).date())
            folder = f"{layout.STATE_FOLDERS[state]}/{day}"
            for entry in reversed(seen.tree.entries(folder)):
                found = layout.locate(f"{folder}/{entry.name}")
                if found is None:
                    continue
                try:
                    story = told(seen.tree, found[1], state, f"{folder}/{entry.name}")
                except HqdError:
                    continue
                last = story.last
                if last is not None:
                    missing = last.message or (f"landed in {last.cursor.landed[:12]}" if last.cursor.landed else None)
                    yield _row(story.id, state, story.document, last.cursor, missing)


def _sorted(board: Board) -> list[Task]:
    return sorted(
        board.tasks.values(), key=lambda task: (ORDER.index(task.state), -task.document.header.priority, task.id)
    )


def _doing(seen: View, task: Task) -> str:
    """What its worker does, or what its pull request waits for."""
    if task.state is State.REVIEW:
        return waiting(seen, task, seen.moment)
    flight = seen.in_flight.get(task.id)
    if flight is None:
        return ""
    return f"{flight.get('doing') or 'working'}, {flight.get('seconds', 0)} s"


def _facts(
    seen: View, board: Board, rows: list[dict[str, Any]], found: tuple[Problem, ...], inbox: list[str]
) -> dict[str, Any]:
    return {
        "tasks": rows,
        "holds": [_hold(hold, board) for hold in board.holds.values()],
        "problems": [problem.facts() for problem in found],
        "daemon": {**seen.daemon.facts(), "origin": None if seen.past else origin_facts(seen.repo)},
        "inbox": inbox,
        "restored": dict(board.restored),
        "paused": board.paused,
        "commit": seen.tree.commit,
        "at": seen.moment.isoformat(timespec="seconds"),
        "hq": str(seen.repo.root),
    }


def _hold(hold: Hold, board: Board) -> dict[str, Any]:
    return {
        "name": hold.name,
        "on": hold.on,
        "reason": hold.reason,
        "since": hold.since.isoformat(),
        "missing": hold.missing,
        "tasks": held_tasks(hold, board),
    }


def held_tasks(hold: Hold, board: Board) -> list[str]:
    """Ids of the tasks in queue/ that this hold keeps there."""
    from hqd.core.decide import holds_on

    moment, found = now(), []
    for task in board.tasks.values():
        if task.state is not State.QUEUE:
            continue
        move = next_move(task, board, moment)
        if isinstance(move, ClaimStep):
            rules, playbook, step = place_of(task, move, board, moment)
            held = holds_on(board, task, rules, playbook, step, move.agent or step.agent)
            found += [task.id] if any(each.name == hold.name for each in held) else []
        elif isinstance(move, Wait) and move.until == "hold" and move.missing == hold.missing:
            found.append(task.id)  # it has nothing to begin on before the hold's repository was fetched once
    return found


def _print(
    seen: View, board: Board, rows: list[dict[str, Any]], found: tuple[Problem, ...], inbox: list[str], moment: datetime
) -> None:
    _head(seen, board, moment)
    for state in ORDER:
        chosen = [each for each in rows if each["state"] == state.value]
        if chosen:
            terminal.say()
            terminal.title(f"{state.value} ({len(chosen)})")
            terminal.rows(HEADS, _cells(chosen, moment), indent=2)
    if not rows:
        terminal.say()
        terminal.say("No open tasks. Drop a markdown file into workspace/inbox/, or `hqd add FILE`.")
    if inbox:
        terminal.say()
        terminal.title(f"inbox ({len(inbox)})")
        terminal.rows((), [[path] for path in inbox], indent=2)
    _holds(board, moment)
    if board.restored:
        terminal.say()
        terminal.title(f"full review restored ({len(board.restored)})")
        terminal.rows((), [[playbook, why] for playbook, why in sorted(board.restored.items())], indent=2)
    _problems(found)


def _cells(chosen: list[dict[str, Any]], moment: datetime) -> list[list[str]]:
    slugs = [each["slug"] for each in chosen]
    return [
        [
            each["slug"] if slugs.count(each["slug"]) == 1 else each["id"],
            "/".join(part for part in (each["playbook"], each["step"]) if part),
            str(each["attempt"] or "") + (f" r{each['round']}" if each["round"] > 1 else ""),
            terminal.dollars(each["cost_usd"]),
            terminal.age(datetime.fromisoformat(each["since"]), moment) if each["since"] else "",
            ": ".join(part for part in (each["reason"], each["missing"] or each["title"]) if part),
        ]
        for each in chosen
    ]


def _head(seen: View, board: Board, moment: datetime) -> None:
    daemon = seen.daemon
    where = f"{seen.repo.root.name}  {seen.repo.branch} {seen.tree.commit[:9]}"
    if seen.past:
        terminal.title(f"{where}  as of {seen.moment:%Y-%m-%d %H:%M} UTC")
        return
    if not daemon.alive:
        said = "no daemon runs (`hqd run` starts one)"
    else:
        said = f"daemon {daemon.said.get('state') or 'running'}" + (f" (process {daemon.pid})" if daemon.pid else "")
        said += f": {daemon.said['message']}" if daemon.said.get("message") else ""
    terminal.title(f"{where}  {said}")
    origin = origin_facts(seen.repo)
    line = origin_line(origin, moment) if origin is not None else ""
    if line:
        terminal.say(line)
    if board.paused:
        terminal.say("paused: nothing new begins (`hqd resume`)")


def _holds(board: Board, moment: datetime) -> None:
    if not board.holds:
        return
    terminal.say()
    terminal.title(f"holds ({len(board.holds)})")
    body = []
    for hold in board.holds.values():
        waits = len(held_tasks(hold, board))
        body.append([hold.name, hold.reason, terminal.age(hold.since, moment), f"{waits} waiting", hold.missing])
    terminal.rows(("HOLD", "REASON", "AGE", "TASKS", "WHAT IS MISSING"), body, indent=2)


def _problems(each: tuple[Problem, ...]) -> None:
    found = said_once(each)
    if found:
        terminal.say()
        terminal.title(f"to mend ({len(found)})")
        for problem in found:
            terminal.say(f"  {problem}")


def said_once(found: Iterable[Problem]) -> tuple[Problem, ...]:
    """Warnings of one file that differ in their key alone, as one that names all keys; the rest as it is."""
    once: dict[tuple[object, ...], Problem] = {}
    for place, problem in enumerate(found):
        alike = problem.level is ProblemLevel.WARNING and problem.key
        key = (problem.path, problem.message, problem.remedy) if alike else (place,)
        first = once.get(key)
        once[key] = problem if first is None else replace(first, key=f"{first.key}, {problem.key}")
    return tuple(once.values())
